package io.sluice.compare;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.PrintWriter;
import java.io.StringWriter;
import java.util.List;
import org.junit.jupiter.api.Test;
import picocli.CommandLine;

/** Tests the options of {@link Compare} and their errors; nothing is measured. */
class CompareTest {
    private final StringWriter out = new StringWriter();
    private final StringWriter err = new StringWriter();
    private final CommandLine line =
            Compare.commandLine().setOut(new PrintWriter(out, true)).setErr(new PrintWriter(err, true));

    @Test
    void helpListsEveryWorkloadAndContestant() {
        assertThat(line.execute("--help")).isZero();
        for (Workload work : Workload.values()) {
            assertThat(out.toString()).contains(work.label);
        }
        for (Contestant contestant : Contestant.values()) {
            assertThat(out.toString()).contains(contestant.label);
        }
    }

    @Test
    void rejectsAnUnknownWorkload() {
        assertThat(line.execute("--sluice=s", "--out=o", "--only=bulk-1,bulk-2"))
                .isEqualTo(1);
        assertThat(err).hasToString("compare: unknown workload 'bulk-2'; see --help" + System.lineSeparator());
    }

    @Test
    void rejectsAnUnknownContestant() {
        assertThat(line.execute("--sluice=s", "--out=o", "--contestants=nft,envoy"))
                .isEqualTo(1);
        assertThat(err).hasToString("compare: unknown contestant 'envoy'; see --help" + System.lineSeparator());
    }

    @Test
    void rejectsABaselineThatIsNotADistribution() {
        assertThat(line.execute("--sluice=s", "--out=o", "--baseline=/no/such")).isEqualTo(1);
        assertThat(err)
                .hasToString("compare: --baseline '/no/such' is not a distribution: no executable /no/such/bin/sluice"
                        + System.lineSeparator());
    }

    @Test
    void rejectsABaselineContestantWithoutBaseline() {
        assertThat(line.execute("--sluice=s", "--out=o", "--contestants=baseline-node,sluice-node"))
                .isEqualTo(1);
        assertThat(err)
                .hasToString("compare: contestants baseline-bind and baseline-node need --baseline"
                        + System.lineSeparator());
    }

    @Test
    void rejectsABaselineWithoutBaselineContestant() {
        assertThat(line.execute("--sluice=s", "--out=o", "--baseline=b", "--contestants=sluice-bind"))
                .isEqualTo(1);
        assertThat(err)
                .hasToString("compare: --baseline needs baseline-bind or baseline-node in --contestants"
                        + System.lineSeparator());
    }

    @Test
    void includesBaselineContestantsOnlyWithABaseline() {
        assertThat(Contestant.select(List.of(), true)).containsExactly(Contestant.values());
        assertThat(Contestant.select(List.of(), false))
                .contains(Contestant.BIND, Contestant.NODE)
                .doesNotContain(Contestant.BASELINE_BIND, Contestant.BASELINE_NODE);
        assertThat(Contestant.select(List.of("sluice-bind", "baseline-bind"), true))
                .containsExactly(Contestant.BIND, Contestant.BASELINE_BIND);
    }

    @Test
    void rejectsAnInvalidNumber() {
        assertThat(line.execute("--sluice=s", "--out=o", "--rounds=many")).isEqualTo(2);
        assertThat(err.toString()).contains("--rounds").contains("many");
    }

    @Test
    void findsEveryWorkloadAndContestantByLabel() {
        assertThat(Workload.values())
                .allSatisfy(work -> assertThat(Workload.of(work.label)).isEqualTo(work));
        assertThat(Contestant.values())
                .allSatisfy(each -> assertThat(Contestant.of(each.label)).isEqualTo(each));
    }

    @Test
    void skipsContestantsThatDoNotSupportAWorkload() {
        assertThat(Workload.UDP_FLOWS.supports(Contestant.HAPROXY)).isFalse();
        assertThat(Workload.UDP_FLOWS.supports(Contestant.NGINX)).isTrue();
        assertThat(Workload.CONNECT.supports(Contestant.DIRECT)).isTrue();
        assertThat(Workload.SYSCALLS.supports(Contestant.NFT)).isFalse();
        assertThat(Workload.IDLE.supports(Contestant.HAPROXY)).isTrue();
    }
}
