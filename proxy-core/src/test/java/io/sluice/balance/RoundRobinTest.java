package io.sluice.balance;

import static org.assertj.core.api.Assertions.assertThat;

import io.sluice.model.Endpoint;
import io.sluice.model.IpAddress;
import io.sluice.model.Protocol;
import io.sluice.model.ServicePortName;
import io.sluice.stats.Stats;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Random;
import java.util.Set;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

class RoundRobinTest {
    private static final IpAddress CLIENT = IpAddress.v4(0x0a010001);
    private static final ServiceState SERVICE = new ServiceState(
            new Stats(1).open(new ServicePortName("test", "web", "", Protocol.TCP)), new AffinityTable(), change -> {});

    private static RoundRobin roundRobin(List<Endpoint> endpoints, List<RoundRobin> before) {
        return RoundRobin.of(endpoints, before, endpoint -> {
            for (RoundRobin old : before) {
                EndpointTarget known = old.find(endpoint);
                if (known != null) {
                    return known;
                }
            }
            return SERVICE.newTarget(endpoint);
        });
    }

    private static List<Endpoint> endpoints(int... lastBytes) {
        return IntStream.of(lastBytes)
                .mapToObj(last -> new Endpoint(IpAddress.v4(0x0a000000 + last), 80))
                .toList();
    }

    private static Endpoint pick(RoundRobin roundRobin, long nowNanos) {
        return Objects.requireNonNull(roundRobin.pick(CLIENT, List.of(), nowNanos)).endpoint;
    }

    private static List<Endpoint> next(RoundRobin roundRobin, int count) {
        List<Endpoint> picked = new ArrayList<>();
        for (int i = 0; i < count; i++) {
            picked.add(pick(roundRobin, 0));
        }
        return picked;
    }

    @Test
    void startsAtARandomEndpoint() {
        Set<Endpoint> first = new HashSet<>();
        for (int i = 0; i < 200; i++) {
            first.add(pick(roundRobin(endpoints(1, 2, 3), List.of()), 0));
        }
        assertThat(first).hasSize(3);
    }

    @Test
    void keepsTheInstanceOfAnEqualList() {
        RoundRobin roundRobin = roundRobin(endpoints(1, 2, 3), List.of());
        assertThat(roundRobin(endpoints(1, 2, 3), List.of(roundRobin))).isSameAs(roundRobin);
    }

    /** An endpoint that stays listed is picked regularly, however many others are added and removed. */
    @Test
    void changesOfTheListNeverStarveAnEndpoint() {
        Random random = new Random(7);
        RoundRobin roundRobin = roundRobin(endpoints(IntStream.range(0, 10).toArray()), List.of());
        Map<Endpoint, Integer> waits = new HashMap<>();
        // Those that stay, whether or not they are ever picked.
        endpoints(0, 1, 2).forEach(endpoint -> waits.put(endpoint, 0));
        for (int change = 0; change < 500; change++) {
            for (Endpoint picked : next(roundRobin, random.nextInt(4))) {
                waits.replaceAll((endpoint, wait) -> wait + 1);
                waits.put(picked, 0);
            }
            int[] listed = IntStream.range(0, 20)
                    .filter(i -> i < 3 || random.nextBoolean())
                    .toArray();
            roundRobin = roundRobin(endpoints(listed), List.of(roundRobin));
            waits.keySet().retainAll(endpoints(0, 1, 2));
            assertThat(waits.values()).allMatch(wait -> wait <= 60);
        }
        assertThat(next(roundRobin, 40)).containsAll(endpoints(0, 1, 2));
    }

    @Test
    void continuesAfterARemovedEndpoint() {
        RoundRobin roundRobin = roundRobin(endpoints(1, 2, 3, 4), List.of());
        while (!pick(roundRobin, 0).equals(endpoints(1).get(0))) {
            // repeat until endpoint 2 is the next one
        }
        RoundRobin later = roundRobin(endpoints(1, 3, 4), List.of(roundRobin));
        assertThat(next(later, 3)).isEqualTo(endpoints(3, 4, 1));
    }

    @Test
    void findsEndpointsInShortAndLongLists() {
        for (int size : new int[] {1, 8, 9, 1000}) {
            List<Endpoint> list = endpoints(IntStream.range(0, size).toArray());
            RoundRobin roundRobin = roundRobin(list, List.of());
            for (Endpoint endpoint : list) {
                EndpointTarget target = roundRobin.find(endpoint);
                assertThat(target).isNotNull();
                assertThat(target.endpoint).isEqualTo(endpoint);
            }
            assertThat(roundRobin.find(endpoints(size + 1).get(0))).isNull();
        }
    }

    @Test
    void anEndpointIsSilentAfterTwoTimeoutsInARow() {
        EndpointTarget target = SERVICE.newTarget(endpoints(1).get(0));
        target.timedOut(false, 0);
        assertThat(target.allowsAttempt(0)).isTrue();
        target.answered();
        target.timedOut(false, 0);
        assertThat(target.allowsAttempt(0)).isTrue();
        target.timedOut(false, 0);
        assertThat(target.allowsAttempt(0)).isFalse();
    }

    @Test
    void skipsASilentEndpointUntilAnAttemptIsAnswered() {
        RoundRobin roundRobin = roundRobin(endpoints(1, 2), List.of());
        Endpoint silent = endpoints(1).get(0);
        EndpointTarget target = roundRobin.find(silent);
        assertThat(target).isNotNull();
        target.timedOut(true, 0);
        for (int i = 0; i < 10; i++) {
            assertThat(pick(roundRobin, 4_999_999_999L)).isNotEqualTo(silent);
        }
        // The round robin of a changed list skips it as well.
        RoundRobin later = roundRobin(endpoints(1, 2, 3), List.of(roundRobin));
        List<Endpoint> tried = new ArrayList<>();
        for (int i = 0; i < 10; i++) {
            tried.add(pick(later, 5_000_000_000L));
        }
        assertThat(tried).containsOnlyOnce(silent);
        target.answered();
        tried.clear();
        for (int i = 0; i < 9; i++) {
            tried.add(pick(later, 5_000_000_001L));
        }
        assertThat(tried).filteredOn(silent::equals).hasSize(3);
    }

    @Test
    void usesSilentEndpointsIfAllAreSilent() {
        RoundRobin roundRobin = roundRobin(endpoints(1, 2), List.of());
        for (Endpoint endpoint : endpoints(1, 2)) {
            EndpointTarget target = roundRobin.find(endpoint);
            assertThat(target).isNotNull();
            target.timedOut(true, 0);
        }
        assertThat(roundRobin.pick(CLIENT, List.of(), 1)).isNotNull();
    }
}
