package io.sluice.rules;

import static org.assertj.core.api.Assertions.assertThat;

import io.sluice.model.FrontendAddress;
import io.sluice.model.IpAddress;
import io.sluice.model.Protocol;
import io.sluice.model.ServicePortName;
import io.sluice.objects.ServiceKey;
import io.sluice.rules.EndpointChains.Link;
import java.util.Set;
import org.junit.jupiter.api.Test;

/** Graphs of Services that are too large for a scenario. */
class EndpointChainsTest {
    private static final int MANY = 20_000;

    private final EndpointChains chains = new EndpointChains();

    private static ServicePortName port(int number) {
        return new ServicePortName("default", "s" + number, "", Protocol.TCP);
    }

    private static Link link(int from, int to) {
        return new Link(port(from), new FrontendAddress(Protocol.TCP, IpAddress.v4(0xc6120000 + to), 80), port(to));
    }

    private void put(Link... links) {
        chains.replace(new ServiceKey("default", links[0].from().service()), Set.of(links));
    }

    @Test
    void excludesALongCycleAndAbbreviatesTheMessage() {
        for (int i = 0; i < MANY; i++) {
            put(link(i, (i + 1) % MANY));
        }
        assertThat(chains.evaluate()).hasSize(MANY);
        assertThat(chains.exclusionReason(link(7, 8)))
                .isEqualTo("traffic would loop: default/s7 -> default/s8 -> ... -> default/s7 (20000 Services)");
    }

    @Test
    void splitsALongChainIntoPartsOfMaximumDepth() {
        for (int i = 0; i < MANY; i++) {
            put(link(i, i + 1));
        }
        chains.evaluate();
        for (int i = 0; i < MANY; i++) {
            boolean cut = (MANY - i) % (EndpointChains.MAX_DEPTH + 1) == 0;
            assertThat(chains.exclusionReason(link(i, i + 1)) != null)
                    .as("from %d", i)
                    .isEqualTo(cut);
        }
    }

    @Test
    void followsLinksToACycleAndBetweenCycles() {
        put(link(0, 1));
        put(link(1, 2));
        put(link(2, 1), link(2, 3));
        put(link(3, 4));
        put(link(4, 3));
        assertThat(chains.evaluate()).hasSize(4);
        assertThat(chains.exclusionReason(link(0, 1))).isNull();
        assertThat(chains.exclusionReason(link(2, 3))).isNull();
        assertThat(chains.exclusionReason(link(2, 1))).contains("default/s2 -> default/s1 -> default/s2");
    }

    @Test
    void returnsOnlyServicesWhoseResultChanged() {
        put(link(0, 1));
        put(link(2, 3));
        assertThat(chains.evaluate()).isEmpty();
        put(link(1, 0));
        assertThat(chains.evaluate()).containsExactlyInAnyOrder(key(0), key(1));
        assertThat(chains.evaluate()).isEmpty();
        chains.replace(key(1), Set.of());
        assertThat(chains.evaluate()).containsExactlyInAnyOrder(key(0), key(1));
    }

    private static ServiceKey key(int number) {
        return new ServiceKey("default", "s" + number);
    }
}
