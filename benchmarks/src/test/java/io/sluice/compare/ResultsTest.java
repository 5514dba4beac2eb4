package io.sluice.compare;

import static org.assertj.core.api.Assertions.assertThat;

import io.sluice.compare.Results.Run;
import io.sluice.compare.Results.Summary;
import java.util.List;
import org.junit.jupiter.api.Test;

class ResultsTest {
    private final Results results = new Results();

    static Run run(int round, Contestant contestant, double value) {
        return run(round, contestant, value, true);
    }

    static Run run(int round, Contestant contestant, double value, boolean counts) {
        List<Figure> figures = List.of(Figure.more("bulk-1", "Gbit/s", value));
        return new Run(Workload.BULK_1, round, contestant, figures, 0, counts, counts ? "" : "9 SYNs retransmitted");
    }

    @Test
    void summarizesOneTwoAndThreeValues() {
        assertThat(Summary.of(List.of(7.0))).isEqualTo(new Summary(7, 7, 7, 1));
        assertThat(Summary.of(List.of(4.0, 2.0))).isEqualTo(new Summary(3, 2, 4, 2));
        assertThat(Summary.of(List.of(9.0, 1.0, 2.0))).isEqualTo(new Summary(2, 1, 9, 3));
    }

    @Test
    void ratioIsTheMedianOfTheRatiosOfEachRound() {
        // In the second round the machine was three times slower for both.
        results.runs.add(run(1, Contestant.BIND, 12));
        results.runs.add(run(1, Contestant.HAPROXY, 6));
        results.runs.add(run(2, Contestant.HAPROXY, 2));
        results.runs.add(run(2, Contestant.BIND, 4));
        results.runs.add(run(3, Contestant.HAPROXY, 5));
        results.runs.add(run(3, Contestant.BIND, 20));
        assertThat(results.ratio("bulk-1", Contestant.BIND, Contestant.HAPROXY))
                .containsExactly(new Summary(2, 2, 4, 3));
    }

    @Test
    void ignoresRoundsInWhichOneSideWasDiscarded() {
        results.runs.add(run(1, Contestant.BIND, 12));
        results.runs.add(run(1, Contestant.HAPROXY, 6, false));
        results.runs.add(run(2, Contestant.BIND, 9));
        results.runs.add(run(2, Contestant.HAPROXY, 3));
        assertThat(results.summary("bulk-1", Contestant.HAPROXY)).containsExactly(new Summary(3, 3, 3, 1));
        assertThat(results.ratio("bulk-1", Contestant.BIND, Contestant.HAPROXY))
                .containsExactly(new Summary(3, 3, 3, 1));
    }

    @Test
    void hasNoRatioToZeroOrMissingValues() {
        results.runs.add(run(1, Contestant.BIND, 12));
        results.runs.add(run(1, Contestant.HAPROXY, 0));
        assertThat(results.ratio("bulk-1", Contestant.BIND, Contestant.HAPROXY)).isEmpty();
        assertThat(results.ratio("bulk-1", Contestant.BIND, Contestant.NGINX)).isEmpty();
        assertThat(results.summary("bulk-1", Contestant.NGINX)).isEmpty();
        assertThat(results.summary("bulk-8", Contestant.BIND)).isEmpty();
    }

    @Test
    void listsContestantsInDeclarationOrder() {
        results.runs.add(run(1, Contestant.NODE, 1));
        results.runs.add(run(1, Contestant.DIRECT, 1));
        assertThat(results.contestants()).containsExactly(Contestant.DIRECT, Contestant.NODE);
    }
}
