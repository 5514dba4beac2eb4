package io.sluice.ops;

import static org.assertj.core.api.Assertions.assertThat;

import io.prometheus.metrics.model.registry.PrometheusRegistry;
import io.prometheus.metrics.model.registry.PrometheusScrapeRequest;
import io.prometheus.metrics.model.snapshots.CounterSnapshot;
import io.prometheus.metrics.model.snapshots.HistogramSnapshot;
import io.prometheus.metrics.model.snapshots.MetricSnapshot;
import io.sluice.feed.WatchStatus;
import io.sluice.forward.FrontendCounts;
import io.sluice.model.Protocol;
import io.sluice.model.ServicePortName;
import io.sluice.model.ServiceSnapshot;
import io.sluice.stats.Counter;
import io.sluice.stats.Stats;
import io.sluice.stats.Timing;
import java.nio.file.Path;
import java.time.Clock;
import java.time.Instant;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** {@code deploy/docs/metrics.md} describes exactly the metrics and reasons of the code. */
final class MetricsReferenceTest {
    private static final PrometheusScrapeRequest WITH_TIMINGS = new PrometheusScrapeRequest() {
        @Override
        public String getRequestPath() {
            return "/metrics";
        }

        @Override
        public String[] getParameterValues(String name) {
            return name.equals("timings") ? new String[] {"service"} : new String[0];
        }
    };

    @TempDir
    private Path directory;

    private static DaemonState state() {
        WatchStatus watch = new WatchStatus("services", true, Optional.of(Instant.EPOCH), 0, 0, "https://a", "");
        SyncState sync = new SyncState(
                false, Optional.empty(), Optional.empty(), Optional.empty(), Optional.empty(), List.of(watch));
        return new DaemonState(sync, FrontendCounts.of(List.of()), List.of(), 0);
    }

    /** Registers the metrics that a daemon can have. {@code DaemonTest} verifies that it has no others. */
    private void register(PrometheusRegistry registry) {
        Stats stats = new Stats(1);
        for (Protocol protocol : Protocol.values()) {
            stats.open(new ServicePortName("shop", "web", "main", protocol)).record(0, Timing.CONNECT, 1);
        }
        Metrics.register(() -> stats, MetricsReferenceTest::state, registry);
        EndpointMetrics.register(List::of, true, registry);
        new KubeProxyMetrics(registry, () -> state().sync(), ServiceSnapshot::empty);
        new Health(() -> state().sync(), () -> state().frontends(), List::of, Clock.systemUTC(), registry);
        try (ConnectionLog log = ConnectionLog.open(directory.resolve("connections.log"), Clock.systemUTC())) {
            log.register(registry);
        }
    }

    @Test
    void metricsAndTypesAreThoseOfTheCode() throws Exception {
        PrometheusRegistry registry = new PrometheusRegistry();
        register(registry);
        Map<String, String> types = new TreeMap<>();
        for (MetricSnapshot metric : registry.scrape(WITH_TIMINGS)) {
            String name = metric.getMetadata().getPrometheusName();
            if (name.startsWith("sluice_") || name.startsWith("kubeproxy_")) {
                boolean counter = metric instanceof CounterSnapshot;
                types.put(
                        counter && !name.endsWith("_total") ? name + "_total" : name,
                        counter ? "counter" : metric instanceof HistogramSnapshot ? "histogram" : "gauge");
            }
        }
        assertThat(MetricsDocument.read().types()).isEqualTo(types);
    }

    @Test
    void reasonsAreThoseOfTheCode() throws Exception {
        Set<String> reasons = new HashSet<>();
        for (Counter counter : Counter.values()) {
            if (!counter.reason().isEmpty()) {
                reasons.add(counter.metric() + (counter.isGauge() ? " " : "_total ") + counter.reason());
            }
        }
        assertThat(MetricsDocument.read().reasons()).isEqualTo(reasons);
    }
}
