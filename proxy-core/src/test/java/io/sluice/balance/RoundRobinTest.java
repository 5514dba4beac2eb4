package io.sluice.balance;

import static io.sluice.balance.TestService.CLIENT;
import static io.sluice.balance.TestService.endpoint;
import static io.sluice.balance.TestService.endpoints;
import static io.sluice.balance.TestService.firstEndpoints;
import static org.assertj.core.api.Assertions.assertThat;

import io.sluice.model.Endpoint;
import io.sluice.model.TrafficPolicy.Algorithm;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

class RoundRobinTest {
    private static final Endpoint[] THREE = endpoints(1, 2, 3).toArray(Endpoint[]::new);

    @Test
    void startsAtARandomEndpoint() {
        Set<Endpoint> first = new HashSet<>();
        for (int i = 0; i < 200; i++) {
            first.add(TestService.of(THREE).next());
        }
        assertThat(first).hasSize(3);
    }

    @Test
    void keepsTheInstanceOfAnEqualList() {
        TestService service = TestService.of(THREE);
        Balancer balancer = service.balancer();
        assertThat(service.update(endpoints(1, 2, 3))).isSameAs(balancer);
        assertThat(service.withEjection(5, 1).update(endpoints(1, 2, 3))).isSameAs(balancer);
        assertThat(service.withSlowStart(1).update(endpoints(1, 2, 3))).isNotSameAs(balancer);
    }

    @Test
    void eachEndpointIsPickedOnceARound() {
        TestService service = TestService.of(THREE);
        List<Endpoint> round = service.next(3);
        assertThat(round).containsExactlyInAnyOrder(THREE);
        assertThat(service.next(3)).isEqualTo(round);
    }

    /** An endpoint that stays listed is picked regularly, however many others are added and removed. */
    @Test
    void changesOfTheListNeverStarveAnEndpoint() {
        Random random = new Random(7);
        TestService service = new TestService();
        service.update(firstEndpoints(10));
        Map<Endpoint, Integer> waits = new HashMap<>();
        // Those that stay, whether or not they are ever picked.
        endpoints(0, 1, 2).forEach(endpoint -> waits.put(endpoint, 0));
        for (int change = 0; change < 500; change++) {
            for (Endpoint picked : service.next(random.nextInt(4))) {
                waits.replaceAll((endpoint, wait) -> wait + 1);
                waits.put(picked, 0);
            }
            int[] listed = IntStream.range(0, 20)
                    .filter(i -> i < 3 || random.nextBoolean())
                    .toArray();
            service.update(endpoints(listed));
            waits.keySet().retainAll(endpoints(0, 1, 2));
            assertThat(waits.values()).allMatch(wait -> wait <= 60);
        }
        assertThat(service.next(40)).containsAll(endpoints(0, 1, 2));
    }

    @Test
    void continuesAfterARemovedEndpoint() {
        TestService service = TestService.of(endpoint(1), endpoint(2), endpoint(3), endpoint(4));
        while (!service.next().equals(endpoint(1))) {
            // repeat until endpoint 2 is the next one
        }
        service.update(endpoints(1, 3, 4));
        assertThat(service.next(3)).isEqualTo(endpoints(3, 4, 1));
    }

    @Test
    void continuesWithAnotherAlgorithm() {
        TestService service = TestService.of(THREE);
        List<Endpoint> round = service.next(3);
        service.next();
        service.with(Algorithm.LEAST_CONNECTIONS).update(endpoints(1, 2, 3));
        assertThat(service.next()).isEqualTo(round.get(1));
        service.with(Algorithm.ROUND_ROBIN).update(endpoints(1, 2, 3));
        assertThat(service.next(3)).containsExactly(round.get(2), round.get(0), round.get(1));
    }

    @Test
    void continuesInANewProcess() {
        TestService service = TestService.of(THREE);
        List<Endpoint> round = service.next(3);
        service.next(2);
        BalancePosition position = new BalancePosition(service.state.stats.name(), service.state.turns(), List.of());
        for (Algorithm algorithm : List.of(Algorithm.ROUND_ROBIN, Algorithm.LEAST_CONNECTIONS)) {
            TestService other = new TestService().with(algorithm);
            other.update(endpoints(1, 2, 3));
            other.state.resume(position, 0);
            assertThat(other.next(3)).containsExactly(round.get(2), round.get(0), round.get(1));
        }
    }

    @Test
    void findsEndpointsInShortAndLongLists() {
        for (int size : new int[] {1, 8, 9, 1000}) {
            List<Endpoint> list = firstEndpoints(size);
            TestService service = new TestService();
            service.update(list);
            for (Endpoint endpoint : list) {
                assertThat(service.target(endpoint).endpoint).isEqualTo(endpoint);
            }
            assertThat(service.balancer().find(endpoint(size + 1))).isNull();
        }
    }

    @Test
    void passesOverFullAndTriedEndpoints() {
        TestService service = new TestService().withMaxPerEndpoint(1);
        service.update(endpoints(1, 2, 3));
        assertThat(service.target(1).tryAcquire()).isTrue();
        assertThat(service.next(4)).doesNotContain(endpoint(1));
        assertThat(service.balancer().pick(CLIENT, endpoints(2), 0)).isSameAs(service.target(3));
        assertThat(service.balancer().pick(CLIENT, endpoints(2, 3), 0)).isNull();
        service.withMaxPerEndpoint(2).update(endpoints(1, 2, 3));
        assertThat(service.balancer().pick(CLIENT, endpoints(2, 3), 0)).isSameAs(service.target(1));
    }
}
