package io.sluice.balance;

import static io.sluice.balance.TestService.CLIENT;
import static io.sluice.balance.TestService.endpoint;
import static io.sluice.balance.TestService.endpoints;
import static org.assertj.core.api.Assertions.assertThat;

import io.sluice.model.Endpoint;
import io.sluice.model.TrafficPolicy.Algorithm;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

class PreferredTest {
    private static TestService service() {
        TestService service = new TestService().preferring(endpoints(1, 3, 9));
        service.update(endpoints(1, 2, 3, 4));
        return service;
    }

    @ParameterizedTest
    @EnumSource(
            value = Algorithm.class,
            names = {"ROUND_ROBIN", "LEAST_CONNECTIONS"})
    void preferredEndpointsShareEvenly(Algorithm algorithm) {
        TestService service = service().with(algorithm);
        service.update(endpoints(1, 2, 3, 4));
        assertThat(service.counts(20)).containsOnly(Map.entry(endpoint(1), 10), Map.entry(endpoint(3), 10));
    }

    @Test
    void usesTheOthersWhilePreferredEndpointsAreFull() {
        TestService service = service().withMaxPerEndpoint(1);
        service.update(endpoints(1, 2, 3, 4));
        service.target(1).acquire();
        assertThat(service.next(4)).containsOnly(endpoint(3));
        service.target(3).acquire();
        assertThat(service.counts(4)).containsOnly(Map.entry(endpoint(2), 2), Map.entry(endpoint(4), 2));
        service.target(1).release();
        assertThat(service.next(4)).containsOnly(endpoint(1));
    }

    @Test
    void usesTheOthersForAConnectionThatTriedThePreferredEndpoints() {
        TestService service = service();
        assertThat(service.balancer().pick(CLIENT, endpoints(1), 0)).isSameAs(service.target(3));
        assertThat(service.balancer().pick(CLIENT, endpoints(1, 3, 2), 0)).isSameAs(service.target(4));
        assertThat(service.balancer().pick(CLIENT, endpoints(1, 3, 2, 4), 0)).isNull();
    }

    @Test
    void withoutAPreferredEndpointAllAreEqual() {
        TestService service = service();
        service.update(endpoints(2, 4));
        assertThat(service.counts(4).values()).containsExactly(2, 2);
        service.update(endpoints(1, 3));
        assertThat(service.counts(4).values()).containsExactly(2, 2);
    }

    @Test
    void continuesAtItsPosition() {
        TestService service = new TestService().preferring(endpoints(1, 2, 3));
        service.update(endpoints(1, 2, 3, 4));
        List<Endpoint> round = service.next(3);
        service.next();
        service.update(endpoints(1, 2, 3, 5));
        assertThat(service.next()).isEqualTo(round.get(1));
        BalancePosition position = new BalancePosition(service.state.stats.name(), service.state.turns(), List.of());
        TestService other = new TestService().preferring(endpoints(1, 2, 3));
        other.update(endpoints(1, 2, 3, 5));
        other.state.resume(position, 0);
        assertThat(other.next(3)).containsExactly(round.get(2), round.get(0), round.get(1));
        service.preferring(List.of()).update(endpoints(1, 2, 3));
        assertThat(service.next()).isEqualTo(round.get(2));
    }

    @Test
    void keepsTheInstanceIfThePreferenceIsTheSame() {
        TestService service = service();
        Balancer balancer = service.balancer();
        assertThat(service.update(endpoints(1, 2, 3, 4))).isSameAs(balancer);
        assertThat(service.preferring(endpoints(1)).update(endpoints(1, 2, 3, 4)))
                .isNotSameAs(balancer);
        assertThat(service.next(4)).containsOnly(endpoint(1));
    }
}
