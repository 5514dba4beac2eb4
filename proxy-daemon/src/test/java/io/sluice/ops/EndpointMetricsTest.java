package io.sluice.ops;

import static org.assertj.core.api.Assertions.assertThat;

import io.prometheus.metrics.model.registry.PrometheusRegistry;
import io.sluice.balance.EndpointHealth;
import io.sluice.balance.EndpointHealth.State;
import io.sluice.balance.EndpointStatus;
import io.sluice.model.Endpoint;
import io.sluice.model.IpAddress;
import io.sluice.model.Protocol;
import io.sluice.model.ServicePortName;
import io.sluice.stats.EndpointStats;
import java.time.Instant;
import java.util.List;
import java.util.Objects;
import org.junit.jupiter.api.Test;

/** Metrics of single endpoints. */
final class EndpointMetricsTest {
    private static EndpointStatus endpoint(String address, State state, boolean failed) {
        EndpointStats stats = new EndpointStats(1);
        stats.cells(0).opened();
        stats.cells(0).toClient(70);
        if (failed) {
            stats.cells(0).failed();
        }
        return new EndpointStatus(
                new ServicePortName("shop", "web", "http", Protocol.TCP),
                new Endpoint(Objects.requireNonNull(IpAddress.parse(address)), 8080),
                new EndpointHealth(state, Instant.EPOCH, "", null, 0, null),
                stats,
                null);
    }

    private static String scrape(boolean all) {
        PrometheusRegistry registry = new PrometheusRegistry();
        List<EndpointStatus> endpoints =
                List.of(endpoint("198.18.0.1", State.REFUSING, true), endpoint("2001:db8::2", State.UP, false));
        EndpointMetrics.register(() -> endpoints, all, registry);
        return MetricsTest.scrape(registry, "");
    }

    private static String labels(String endpoint) {
        return "{endpoint=\"" + endpoint + "\",namespace=\"shop\",port=\"http\",protocol=\"tcp\",service=\"web\"} ";
    }

    @Test
    void reportsOnlyEndpointsThatHaveFailed() {
        assertThat(scrape(false))
                .contains("sluice_endpoint_up" + labels("198.18.0.1:8080") + "0.0\n")
                .contains("sluice_endpoint_connect_failures_total" + labels("198.18.0.1:8080") + "1.0\n")
                .contains("sluice_endpoint_bytes_to_client_total" + labels("198.18.0.1:8080") + "70.0\n")
                .contains("sluice_endpoint_connections_active" + labels("198.18.0.1:8080") + "1.0\n")
                .doesNotContain("2001:db8::2");
    }

    @Test
    void reportsAllEndpointsOnRequest() {
        assertThat(scrape(true)).contains("sluice_endpoint_up" + labels("[2001:db8::2]:8080") + "1.0\n");
    }
}
