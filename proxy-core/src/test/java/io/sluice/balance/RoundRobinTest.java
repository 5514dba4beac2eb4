package io.sluice.balance;

import static org.assertj.core.api.Assertions.assertThat;

import io.sluice.model.Endpoint;
import io.sluice.model.IpAddress;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

class RoundRobinTest {
    private static List<Endpoint> endpoints(int... lastBytes) {
        return IntStream.of(lastBytes)
                .mapToObj(last -> new Endpoint(IpAddress.v4(0x0a000000 + last), 80))
                .toList();
    }

    private static List<Endpoint> next(RoundRobin rotation, int turns) {
        List<Endpoint> picked = new ArrayList<>();
        for (int i = 0; i < turns; i++) {
            picked.add(rotation.next(0).endpoint);
        }
        return picked;
    }

    @Test
    void startsAnywhere() {
        Set<Endpoint> first = new HashSet<>();
        for (int i = 0; i < 200; i++) {
            first.add(RoundRobin.of(endpoints(1, 2, 3), List.of()).next(0).endpoint);
        }
        assertThat(first).hasSize(3);
    }

    @Test
    void sameListIsTheSameRotation() {
        RoundRobin rotation = RoundRobin.of(endpoints(1, 2, 3), List.of());
        assertThat(RoundRobin.of(endpoints(1, 2, 3), List.of(rotation))).isSameAs(rotation);
    }

    /** Whatever is added and removed, an endpoint that stays never waits longer than one round of the longer list. */
    @Test
    void changesOfTheListNeverStarveAnEndpoint() {
        Random random = new Random(7);
        RoundRobin rotation = RoundRobin.of(endpoints(IntStream.range(0, 10).toArray()), List.of());
        Map<Endpoint, Integer> waits = new HashMap<>();
        for (int change = 0; change < 500; change++) {
            for (Endpoint picked : next(rotation, random.nextInt(4))) {
                waits.replaceAll((endpoint, wait) -> wait + 1);
                waits.put(picked, 0);
            }
            int[] listed = IntStream.range(0, 20)
                    .filter(i -> i < 3 || random.nextBoolean())
                    .toArray();
            rotation = RoundRobin.of(endpoints(listed), List.of(rotation));
            waits.keySet().retainAll(endpoints(0, 1, 2));
            assertThat(waits.values()).allMatch(wait -> wait <= 60);
        }
        assertThat(next(rotation, 40)).containsAll(endpoints(0, 1, 2));
    }

    @Test
    void goesOnAfterTheEndpointThatVanished() {
        RoundRobin rotation = RoundRobin.of(endpoints(1, 2, 3, 4), List.of());
        while (!rotation.next(0).endpoint.equals(endpoints(1).get(0))) {
            // until 2 is next
        }
        RoundRobin later = RoundRobin.of(endpoints(1, 3, 4), List.of(rotation));
        assertThat(next(later, 3)).isEqualTo(endpoints(3, 4, 1));
    }

    @Test
    void findsInShortAndLongLists() {
        for (int size : new int[] {1, 8, 9, 1000}) {
            List<Endpoint> list = endpoints(IntStream.range(0, size).toArray());
            RoundRobin rotation = RoundRobin.of(list, List.of());
            for (Endpoint endpoint : list) {
                EndpointTarget target = rotation.find(endpoint);
                assertThat(target).isNotNull();
                assertThat(target.endpoint).isEqualTo(endpoint);
            }
            assertThat(rotation.find(endpoints(size + 1).get(0))).isNull();
        }
    }

    @Test
    void anEndpointIsSilentAfterTwoTimeoutsInARow() {
        EndpointTarget target = new EndpointTarget(endpoints(1).get(0));
        target.timedOut(false, 0);
        assertThat(target.mayBeTried(0)).isTrue();
        target.answered();
        target.timedOut(false, 0);
        assertThat(target.mayBeTried(0)).isTrue();
        target.timedOut(false, 0);
        assertThat(target.mayBeTried(0)).isFalse();
    }

    @Test
    void silentEndpointLosesItsTurnsUntilOneTryIsAnswered() {
        RoundRobin rotation = RoundRobin.of(endpoints(1, 2), List.of());
        Endpoint silent = endpoints(1).get(0);
        EndpointTarget target = rotation.find(silent);
        assertThat(target).isNotNull();
        target.timedOut(true, 0);
        for (int i = 0; i < 10; i++) {
            assertThat(rotation.next(4_999_999_999L).endpoint).isNotEqualTo(silent);
        }
        // A changed list knows it too.
        RoundRobin later = RoundRobin.of(endpoints(1, 2, 3), List.of(rotation));
        List<Endpoint> tried = new ArrayList<>();
        for (int i = 0; i < 10; i++) {
            tried.add(later.next(5_000_000_000L).endpoint);
        }
        assertThat(tried).containsOnlyOnce(silent);
        target.answered();
        tried.clear();
        for (int i = 0; i < 9; i++) {
            tried.add(later.next(5_000_000_001L).endpoint);
        }
        assertThat(tried).filteredOn(silent::equals).hasSize(3);
    }

    @Test
    void whenAllWereSilentTheyAreTriedAllTheSame() {
        RoundRobin rotation = RoundRobin.of(endpoints(1, 2), List.of());
        for (Endpoint endpoint : endpoints(1, 2)) {
            EndpointTarget target = rotation.find(endpoint);
            assertThat(target).isNotNull();
            target.timedOut(true, 0);
        }
        assertThat(rotation.next(1)).isNotNull();
    }
}
