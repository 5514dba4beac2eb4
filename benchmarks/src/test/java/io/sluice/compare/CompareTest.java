package io.sluice.compare;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.PrintWriter;
import java.io.StringWriter;
import java.util.List;
import org.junit.jupiter.api.Test;
import picocli.CommandLine;

/** What the command line says before anything is built or measured. */
class CompareTest {
    private final StringWriter out = new StringWriter();
    private final StringWriter err = new StringWriter();
    private final CommandLine line =
            Compare.commandLine().setOut(new PrintWriter(out, true)).setErr(new PrintWriter(err, true));

    @Test
    void helpNamesEveryWorkAndContestant() {
        assertThat(line.execute("--help")).isZero();
        for (Work work : Work.values()) {
            assertThat(out.toString()).contains(work.label);
        }
        for (Contestant contestant : Contestant.values()) {
            assertThat(out.toString()).contains(contestant.label);
        }
    }

    @Test
    void unknownWork() {
        assertThat(line.execute("--sluice=s", "--out=o", "--only=bulk-1,bulk-2"))
                .isEqualTo(1);
        assertThat(err).hasToString("compare: no work is called bulk-2; see --help" + System.lineSeparator());
    }

    @Test
    void unknownContestant() {
        assertThat(line.execute("--sluice=s", "--out=o", "--contestants=nft,envoy"))
                .isEqualTo(1);
        assertThat(err).hasToString("compare: no contestant is called envoy; see --help" + System.lineSeparator());
    }

    @Test
    void baselineIsNoDistribution() {
        assertThat(line.execute("--sluice=s", "--out=o", "--baseline=/no/such")).isEqualTo(1);
        assertThat(err)
                .hasToString("compare: --baseline '/no/such' is not a distribution: no executable /no/such/bin/sluice"
                        + System.lineSeparator());
    }

    @Test
    void baselineContestantWithoutBaseline() {
        assertThat(line.execute("--sluice=s", "--out=o", "--contestants=baseline-node,sluice-node"))
                .isEqualTo(1);
        assertThat(err)
                .hasToString("compare: contestants baseline-bind and baseline-node need --baseline"
                        + System.lineSeparator());
    }

    @Test
    void baselineWithoutBaselineContestant() {
        assertThat(line.execute("--sluice=s", "--out=o", "--baseline=b", "--contestants=sluice-bind"))
                .isEqualTo(1);
        assertThat(err)
                .hasToString("compare: --baseline needs baseline-bind or baseline-node in --contestants"
                        + System.lineSeparator());
    }

    @Test
    void baselinesTakePartWhereThereIsOne() {
        assertThat(Contestant.select(List.of(), true)).containsExactly(Contestant.values());
        assertThat(Contestant.select(List.of(), false))
                .contains(Contestant.BIND, Contestant.NODE)
                .doesNotContain(Contestant.BASELINE_BIND, Contestant.BASELINE_NODE);
        assertThat(Contestant.select(List.of("sluice-bind", "baseline-bind"), true))
                .containsExactly(Contestant.BIND, Contestant.BASELINE_BIND);
    }

    @Test
    void numbersThatAreNone() {
        assertThat(line.execute("--sluice=s", "--out=o", "--rounds=many")).isEqualTo(2);
        assertThat(err.toString()).contains("--rounds").contains("many");
    }

    @Test
    void everyNameIsFoundAgain() {
        assertThat(Work.values())
                .allSatisfy(work -> assertThat(Work.of(work.label)).isEqualTo(work));
        assertThat(Contestant.values())
                .allSatisfy(each -> assertThat(Contestant.of(each.label)).isEqualTo(each));
    }

    @Test
    void worksSuitThoseWhoCanDoThem() {
        assertThat(Work.UDP_FLOWS.suits(Contestant.HAPROXY)).isFalse();
        assertThat(Work.UDP_FLOWS.suits(Contestant.NGINX)).isTrue();
        assertThat(Work.CONNECT.suits(Contestant.DIRECT)).isTrue();
        assertThat(Work.SYSCALLS.suits(Contestant.NFT)).isFalse();
        assertThat(Work.IDLE.suits(Contestant.HAPROXY)).isTrue();
    }
}
