package io.sluice.node;

import static org.assertj.core.api.Assertions.assertThat;

import io.sluice.model.ServiceSnapshot;
import java.io.IOException;
import org.junit.jupiter.api.Test;

final class NodeCleanupTest {
    private final FakeKernel kernel = new FakeKernel();

    private void leaveRules(RuleOptions options) {
        // Not closed, as if the process had been killed.
        new NodeRules(options, rejections -> {}, kernel, new KernelFeatures(true, true, false), () -> 0)
                .apply(ServiceSnapshot.empty());
    }

    @Test
    void removesEverythingThatTheRulesCreate() throws IOException {
        leaveRules(RuleOptions.DEFAULT);
        assertThat(kernel.dump()).isNotEmpty();
        assertThat(NodeCleanup.run(RuleOptions.DEFAULT, kernel))
                .containsExactly("nftables table inet sluice", "routing rule of priority 119 and routing table 19019");
        assertThat(kernel.dump()).isEmpty();
    }

    @Test
    void removesNothingTwice() throws IOException {
        assertThat(NodeCleanup.run(RuleOptions.DEFAULT, kernel)).isEmpty();
        assertThat(kernel.dump()).isEmpty();
    }

    @Test
    void leavesOtherTablesAndRoutes() throws IOException {
        kernel.load("table inet other\n");
        leaveRules(new RuleOptions(13, 4711, 120, false, 30, 120));
        assertThat(NodeCleanup.run(RuleOptions.DEFAULT, kernel)).containsExactly("nftables table inet sluice");
        assertThat(kernel.dump())
                .contains("table other")
                .anyMatch(line -> line.contains("routing rule"))
                .noneMatch(line -> line.contains("table sluice"));
    }

    @Test
    void removesTheProbeThatWasInterrupted() throws IOException {
        kernel.load("table inet sluice-probe\n");
        assertThat(NodeCleanup.run(RuleOptions.DEFAULT, kernel)).isEmpty();
        assertThat(kernel.dump()).isEmpty();
    }
}
