package io.sluice.balance;

import static io.sluice.balance.TestService.endpoint;
import static io.sluice.balance.TestService.endpoints;
import static io.sluice.balance.TestService.firstEndpoints;
import static org.assertj.core.api.Assertions.assertThat;

import io.sluice.model.Endpoint;
import io.sluice.model.IpAddress;
import io.sluice.model.TrafficPolicy.Algorithm;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Random;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class MaglevTest {
    private static final int CLIENTS = 50_000;

    private static TestService service(List<Endpoint> endpoints) {
        TestService service = new TestService().with(Algorithm.MAGLEV);
        service.update(endpoints);
        return service;
    }

    private static IpAddress client(int number) {
        return number % 2 == 0
                ? IpAddress.v4(0x0a640000 + number)
                : Objects.requireNonNull(IpAddress.parse("2001:db8::" + Integer.toHexString(number)));
    }

    private static Endpoint pick(TestService service, int client, Endpoint... tried) {
        return Objects.requireNonNull(service.balancer().pick(client(client), List.of(tried), service.nowNanos))
                .endpoint;
    }

    private static List<Endpoint> picks(TestService service) {
        List<Endpoint> picks = new ArrayList<>(CLIENTS);
        for (int client = 0; client < CLIENTS; client++) {
            picks.add(pick(service, client));
        }
        return picks;
    }

    @Test
    void aClientKeepsItsEndpoint() {
        TestService service = service(firstEndpoints(10));
        Endpoint picked = pick(service, 1);
        for (int i = 0; i < 10; i++) {
            assertThat(pick(service, 1)).isEqualTo(picked);
        }
    }

    @Test
    void theOrderOfTheListDoesNotMatter() {
        List<Endpoint> shuffled = new ArrayList<>(firstEndpoints(100));
        Collections.shuffle(shuffled, new Random(1));
        assertThat(picks(service(shuffled))).isEqualTo(picks(service(firstEndpoints(100))));
    }

    /** Nodes of different versions must agree, so these values must never change. */
    @Test
    void allVersionsPickTheSameEndpoint() {
        TestService service = service(firstEndpoints(10));
        List<Endpoint> picks = new ArrayList<>();
        for (int client = 0; client < 8; client++) {
            picks.add(pick(service, client));
        }
        assertThat(picks).isEqualTo(endpoints(1, 5, 8, 2, 3, 6, 9, 1));
    }

    @ParameterizedTest
    @ValueSource(ints = {2, 3, 10, 100})
    void clientsAreSpreadEvenly(int size) {
        Map<Endpoint, Integer> counts = new HashMap<>();
        picks(service(firstEndpoints(size))).forEach(endpoint -> counts.merge(endpoint, 1, Integer::sum));
        double fair = (double) CLIENTS / size;
        // Within 5 standard deviations of a random choice.
        assertThat(counts).hasSize(size);
        assertThat(counts.values()).allMatch(count -> Math.abs(count - fair) < 5 * Math.sqrt(fair));
    }

    @ParameterizedTest
    @ValueSource(ints = {0, 1, 37, 50, 99})
    void fewClientsOfOtherEndpointsMoveIfOneOfAHundredIsRemoved(int removed) {
        List<Endpoint> before = picks(service(firstEndpoints(100)));
        List<Endpoint> remaining = new ArrayList<>(firstEndpoints(100));
        remaining.remove(removed);
        List<Endpoint> after = picks(service(remaining));
        int moved = 0;
        int others = 0;
        for (int client = 0; client < CLIENTS; client++) {
            if (!before.get(client).equals(endpoint(removed))) {
                others++;
                moved += before.get(client).equals(after.get(client)) ? 0 : 1;
            }
        }
        assertThat(moved).isLessThanOrEqualTo(others / 50);
    }

    /** The clients of an endpoint that cannot be used spread over all others, and each keeps its replacement. */
    @Test
    void clientsOfATriedEndpointSpreadOverTheOthers() {
        TestService service = service(firstEndpoints(5));
        Set<Endpoint> replacements = new HashSet<>();
        for (int client = 0; client < 1_000; client++) {
            Endpoint first = pick(service, client);
            Endpoint second = pick(service, client, first);
            assertThat(second).isNotEqualTo(first).isEqualTo(pick(service, client, first));
            if (first.equals(endpoint(0))) {
                replacements.add(second);
            }
        }
        assertThat(replacements).containsExactlyInAnyOrderElementsOf(endpoints(1, 2, 3, 4));
    }

    @Test
    void findsTheOnlyUntriedOneOfManyEndpoints() {
        List<Endpoint> all = firstEndpoints(1_000);
        TestService service = service(all);
        assertThat(pick(service, 1, all.subList(1, 1_000).toArray(Endpoint[]::new)))
                .isEqualTo(endpoint(0));
        assertThat(service.balancer().pick(client(1), all, 0)).isNull();
    }

    @Test
    void keepsTheRoundRobinPosition() {
        TestService service = TestService.of(endpoint(1), endpoint(2), endpoint(3));
        List<Endpoint> round = service.next(3);
        service.next();
        service.with(Algorithm.MAGLEV).update(endpoints(1, 2, 3));
        service.next();
        service.with(Algorithm.ROUND_ROBIN).update(endpoints(1, 2, 3));
        assertThat(service.next()).isEqualTo(round.get(1));
    }
}
