package io.sluice.balance;

import static io.sluice.balance.TestService.CLIENT;
import static io.sluice.balance.TestService.endpoint;
import static io.sluice.balance.TestService.endpoints;
import static io.sluice.balance.TestService.firstEndpoints;
import static org.assertj.core.api.Assertions.assertThat;

import io.sluice.model.Endpoint;
import io.sluice.model.TrafficPolicy.Algorithm;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class LeastConnectionsTest {
    private static TestService service(int endpoints) {
        TestService service = new TestService().with(Algorithm.LEAST_CONNECTIONS);
        service.update(firstEndpoints(endpoints));
        return service;
    }

    /** Compares with a model in which connections open and close at random. */
    @ParameterizedTest
    @ValueSource(ints = {1, 2, 3, 7, 16})
    void picksAnEndpointWithTheFewestConnections(int size) {
        Random random = new Random(size);
        TestService service = service(size);
        List<EndpointTarget> open = new ArrayList<>();
        Map<Endpoint, Integer> model = new HashMap<>();
        firstEndpoints(size).forEach(endpoint -> model.put(endpoint, 0));
        for (int step = 0; step < 5_000; step++) {
            if (random.nextInt(5) < 2 && !open.isEmpty()) {
                EndpointTarget closed = open.remove(random.nextInt(open.size()));
                closed.release();
                model.merge(closed.endpoint, -1, Integer::sum);
                continue;
            }
            EndpointTarget picked = service.pick();
            int fewest =
                    model.values().stream().mapToInt(Integer::intValue).min().orElseThrow();
            assertThat(model.get(picked.endpoint)).isEqualTo(fewest);
            assertThat(picked.tryAcquire()).isTrue();
            model.merge(picked.endpoint, 1, Integer::sum);
            open.add(picked);
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {3, 16, 17, 100})
    void equallyLoadedEndpointsArePickedInTurn(int size) {
        assertThat(service(size).counts(10 * size).values()).hasSize(size).containsOnly(10);
    }

    /** Those with the fewest connections share evenly, although a busy one is between them. */
    @Test
    void aBusyEndpointDoesNotChangeTheOrderOfTheOthers() {
        TestService service = service(4);
        service.target(2).acquire();
        assertThat(service.counts(30))
                .containsOnly(Map.entry(endpoint(0), 10), Map.entry(endpoint(1), 10), Map.entry(endpoint(3), 10));
    }

    @Test
    void picksALightlyLoadedOneOfManyEndpoints() {
        TestService service = service(100);
        firstEndpoints(50).forEach(endpoint -> service.target(endpoint).acquire());
        int busy = 0;
        for (Endpoint picked : service.next(10_000)) {
            busy += picked.address().low() - 0x0a000000 < 50 ? 1 : 0;
        }
        // Eight random endpoints are all busy in one of 256 cases.
        assertThat(busy).isLessThan(200);
    }

    @Test
    void findsTheOnlyFreeOneOfManyEndpoints() {
        TestService service = service(100).withMaxPerEndpoint(1);
        service.update(firstEndpoints(100));
        for (int i = 0; i < 100; i++) {
            assertThat(service.pick().tryAcquire()).isTrue();
        }
        assertThat(service.balancer().pick(CLIENT, List.of(), 0)).isNull();
        service.target(77).release();
        assertThat(service.next()).isEqualTo(endpoint(77));
    }

    @ParameterizedTest
    @ValueSource(ints = {3, 30})
    void passesOverTriedEndpoints(int size) {
        TestService service = service(size);
        assertThat(service.balancer()
                        .pick(CLIENT, endpoints(IntStream.range(1, size).toArray()), 0))
                .isSameAs(service.target(0));
        assertThat(service.balancer().pick(CLIENT, firstEndpoints(size), 0)).isNull();
    }

    /** Threads that pick at the same time must not all choose the endpoint that has the fewest connections. */
    @Test
    void threadsSpreadConnections() throws Exception {
        int threads = 4;
        int each = 3_000;
        TestService service = service(8);
        ExecutorService executor = Executors.newFixedThreadPool(threads);
        try {
            List<Future<?>> running = new ArrayList<>();
            for (int i = 0; i < threads; i++) {
                running.add(executor.submit(() -> {
                    for (int pick = 0; pick < each; pick++) {
                        service.pick().acquire();
                    }
                }));
            }
            for (Future<?> future : running) {
                future.get();
            }
        } finally {
            executor.shutdownNow();
        }
        for (Endpoint endpoint : firstEndpoints(8)) {
            assertThat(service.target(endpoint).connections())
                    .isBetween(threads * each / 8 - threads, threads * each / 8 + threads);
        }
    }
}
