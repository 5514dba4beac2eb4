package io.sluice.ops;

import io.prometheus.metrics.model.registry.MultiCollector;
import io.prometheus.metrics.model.registry.PrometheusRegistry;
import io.prometheus.metrics.model.snapshots.CounterSnapshot;
import io.prometheus.metrics.model.snapshots.CounterSnapshot.CounterDataPointSnapshot;
import io.prometheus.metrics.model.snapshots.GaugeSnapshot;
import io.prometheus.metrics.model.snapshots.GaugeSnapshot.GaugeDataPointSnapshot;
import io.prometheus.metrics.model.snapshots.Labels;
import io.prometheus.metrics.model.snapshots.MetricSnapshot;
import io.prometheus.metrics.model.snapshots.MetricSnapshots;
import io.sluice.balance.EndpointStatus;
import io.sluice.model.ServicePortName;
import java.util.List;
import java.util.function.Supplier;
import java.util.function.ToLongFunction;

/** The metrics of single endpoints: of those that have failed, or of all. */
public final class EndpointMetrics implements MultiCollector {
    private final Supplier<List<EndpointStatus>> endpoints;
    private final boolean all;

    private EndpointMetrics(Supplier<List<EndpointStatus>> endpoints, boolean all) {
        this.endpoints = endpoints;
        this.all = all;
    }

    /**
     * Registers these metrics.
     *
     * @param all whether to report all endpoints, not only those that have failed since the start
     */
    public static void register(Supplier<List<EndpointStatus>> endpoints, boolean all, PrometheusRegistry registry) {
        registry.register(new EndpointMetrics(endpoints, all));
    }

    @Override
    public MetricSnapshots collect() {
        List<EndpointStatus> reported = endpoints.get().stream()
                .filter(endpoint -> all || endpoint.stats().failed() > 0)
                .toList();
        GaugeSnapshot.Builder up = GaugeSnapshot.builder()
                .name("sluice_endpoint_up")
                .help("0 while the endpoint fails, 1 if it answers or was not tried; only endpoints that have failed,"
                        + " or all with --endpoint-metrics");
        GaugeSnapshot.Builder active = GaugeSnapshot.builder()
                .name("sluice_endpoint_connections_active")
                .help("Open connections and flows of the endpoint");
        for (EndpointStatus endpoint : reported) {
            Labels labels = labels(endpoint);
            up.dataPoint(new GaugeDataPointSnapshot(endpoint.health().state().isFailing() ? 0 : 1, labels, null));
            active.dataPoint(
                    new GaugeDataPointSnapshot((double) endpoint.stats().active(), labels, null));
        }
        return new MetricSnapshots(List.of(
                up.build(),
                active.build(),
                counter(
                        "sluice_endpoint_connections_opened",
                        "Connections and flows opened to the endpoint",
                        reported,
                        endpoint -> endpoint.stats().opened()),
                counter(
                        "sluice_endpoint_connect_failures",
                        "Failed attempts to connect to the endpoint",
                        reported,
                        endpoint -> endpoint.stats().failed()),
                counter(
                        "sluice_endpoint_bytes_to_endpoint",
                        "Bytes sent to the endpoint",
                        reported,
                        endpoint -> endpoint.stats().bytesToEndpoint()),
                counter(
                        "sluice_endpoint_bytes_to_client",
                        "Bytes received from the endpoint",
                        reported,
                        endpoint -> endpoint.stats().bytesToClient())));
    }

    private static MetricSnapshot counter(
            String name, String help, List<EndpointStatus> endpoints, ToLongFunction<EndpointStatus> value) {
        CounterSnapshot.Builder counter = CounterSnapshot.builder().name(name).help(help);
        for (EndpointStatus endpoint : endpoints) {
            counter.dataPoint(CounterDataPointSnapshot.builder()
                    .value((double) value.applyAsLong(endpoint))
                    .labels(labels(endpoint))
                    .build());
        }
        return counter.build();
    }

    private static Labels labels(EndpointStatus endpoint) {
        ServicePortName name = endpoint.service();
        return Labels.of(
                "namespace",
                name.namespace(),
                "service",
                name.service(),
                "port",
                name.port(),
                "protocol",
                name.protocol().text(),
                "endpoint",
                endpoint.endpoint().toString());
    }
}
