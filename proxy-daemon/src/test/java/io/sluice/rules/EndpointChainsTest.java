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

/** What scenarios are too small for. */
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
    void aLongCycleIsLeftOutAsAWholeAndDescribedInShort() {
        for (int i = 0; i < MANY; i++) {
            put(link(i, (i + 1) % MANY));
        }
        assertThat(chains.judge()).hasSize(MANY);
        assertThat(chains.whyLeftOut(link(7, 8)))
                .isEqualTo("traffic would loop: default/s7 -> default/s8 -> ... -> default/s7, 20000" + " Services");
    }

    @Test
    void aLongChainIsCutIntoPiecesOfTheGreatestDepth() {
        for (int i = 0; i < MANY; i++) {
            put(link(i, i + 1));
        }
        chains.judge();
        for (int i = 0; i < MANY; i++) {
            boolean cut = (MANY - i) % (EndpointChains.MAX_DEPTH + 1) == 0;
            assertThat(chains.whyLeftOut(link(i, i + 1)) != null)
                    .as("from %d", i)
                    .isEqualTo(cut);
        }
    }

    @Test
    void whatLeadsToACycleAndFromOneCycleToAnotherIsFollowed() {
        put(link(0, 1));
        put(link(1, 2));
        put(link(2, 1), link(2, 3));
        put(link(3, 4));
        put(link(4, 3));
        assertThat(chains.judge()).hasSize(4);
        assertThat(chains.whyLeftOut(link(0, 1))).isNull();
        assertThat(chains.whyLeftOut(link(2, 3))).isNull();
        assertThat(chains.whyLeftOut(link(2, 1))).contains("default/s2 -> default/s1 -> default/s2");
    }

    @Test
    void onlyThoseJudgedDifferentlyAreReturned() {
        put(link(0, 1));
        put(link(2, 3));
        assertThat(chains.judge()).isEmpty();
        put(link(1, 0));
        assertThat(chains.judge()).containsExactlyInAnyOrder(key(0), key(1));
        assertThat(chains.judge()).isEmpty();
        chains.replace(key(1), Set.of());
        assertThat(chains.judge()).containsExactlyInAnyOrder(key(0), key(1));
    }

    private static ServiceKey key(int number) {
        return new ServiceKey("default", "s" + number);
    }
}
