package io.sluice.ops;

import io.prometheus.metrics.core.metrics.Counter;
import io.prometheus.metrics.core.metrics.GaugeWithCallback;
import io.prometheus.metrics.core.metrics.Histogram;
import io.prometheus.metrics.model.registry.PrometheusRegistry;
import io.sluice.feed.SyncLoop.Trigger;
import io.sluice.model.Endpoint;
import io.sluice.model.Family;
import io.sluice.model.Frontend;
import io.sluice.model.FrontendAddress;
import io.sluice.model.Route.Verdict;
import io.sluice.model.ServicePort;
import io.sluice.model.ServiceSnapshot;
import io.sluice.model.SnapshotDiff;
import java.time.Duration;
import java.time.Instant;
import java.util.HashSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.function.Function;
import java.util.function.Supplier;
import java.util.stream.DoubleStream;
import java.util.stream.IntStream;
import java.util.stream.Stream;

/**
 * What kube-proxy's dashboards and alerts ask for, under kube-proxy's names, of how changes come into force. Where it
 * tells the IP families apart both get the same figure if one round serves both.
 */
public final class KubeProxyMetrics {
    private static final String SYNC = "kubeproxy_sync_proxy_rules_";
    private static final List<String> FAMILIES =
            Stream.of(Family.values()).map(Family::toString).toList();

    /** kube-proxy's. */
    private static final double[] PROGRAMMING_BOUNDS = Stream.of(
                    DoubleStream.of(0, 0.25, 0.5),
                    IntStream.range(1, 60).asDoubleStream(),
                    IntStream.range(12, 24).mapToDouble(i -> i * 5.0),
                    IntStream.rangeClosed(4, 10).mapToDouble(i -> i * 30.0))
            .flatMapToDouble(bounds -> bounds)
            .toArray();

    private final Histogram durations;
    private final Histogram programming;
    private final Counter serviceChanges;
    private final Counter endpointChanges;

    // Control thread only.
    private ServiceSnapshot applied = ServiceSnapshot.empty();

    /** @param snapshot what is in force */
    public KubeProxyMetrics(PrometheusRegistry registry, Supplier<SyncState> sync, Supplier<ServiceSnapshot> snapshot) {
        durations = Histogram.builder()
                .name(SYNC + "duration_seconds")
                .help("Seconds from taking up changes until they were in force")
                .labelNames("ip_family")
                .classicOnly()
                .classicExponentialUpperBounds(0.001, 2, 15)
                .register(registry);
        FAMILIES.forEach(durations::initLabelValues);
        programming = Histogram.builder()
                .name("kubeproxy_network_programming_duration_seconds")
                .help("Seconds from a change of endpoints in the cluster until it was in force here")
                .labelNames("ip_family")
                .classicOnly()
                .classicUpperBounds(PROGRAMMING_BOUNDS)
                .register(registry);
        FAMILIES.forEach(programming::initLabelValues);
        serviceChanges =
                changes("service", "added, removed, or with other addresses, client ranges or affinity", registry);
        endpointChanges = changes("endpoint", "with other endpoints or another choice of them", registry);
        timestamp(
                "last_timestamp_seconds", "When a change last came into force", sync, SyncState::lastApplied, registry);
        timestamp(
                "last_queued_timestamp_seconds",
                "When the feed was last heard of",
                sync,
                SyncState::lastOffered,
                registry);
        GaugeWithCallback.builder()
                .name(SYNC + "no_local_endpoints_total")
                .help(
                        "Service ports that a Local traffic policy leaves without an endpoint here while there are others")
                .labelNames("ip_family", "traffic_policy")
                .callback(gauge -> noLocalEndpoints(snapshot.get(), gauge))
                .register(registry);
    }

    private static Counter changes(String kind, String which, PrometheusRegistry registry) {
        return Counter.builder()
                .name(SYNC + kind + "_changes_total")
                .help("Service ports " + which + ", counted as they come into force")
                .register(registry);
    }

    private static void timestamp(
            String name,
            String help,
            Supplier<SyncState> sync,
            Function<SyncState, Optional<Instant>> time,
            PrometheusRegistry registry) {
        GaugeWithCallback.builder()
                .name(SYNC + name)
                .help(help + ", in seconds since the epoch")
                .labelNames("ip_family")
                .callback(gauge -> time.apply(sync.get())
                        .ifPresent(at -> FAMILIES.forEach(family -> gauge.call(at.toEpochMilli() / 1e3, family))))
                .register(registry);
    }

    /** A snapshot is in force. */
    public void applied(ServiceSnapshot now) {
        SnapshotDiff diff = SnapshotDiff.between(applied, now);
        applied = now;
        diff.removed().forEach(was -> count(true, !endpoints(was).isEmpty()));
        diff.added().forEach(is -> count(true, !endpoints(is).isEmpty()));
        diff.changed().forEach(change -> {
            boolean service = !reached(change.before()).equals(reached(change.after()));
            // Whatever else is different in a service port is whom its clients are sent to.
            boolean endpoint = !service || !endpoints(change.before()).equals(endpoints(change.after()));
            count(service, endpoint);
        });
    }

    private void count(boolean service, boolean endpoint) {
        if (service) {
            serviceChanges.inc();
        }
        if (endpoint) {
            endpointChanges.inc();
        }
    }

    /** How a service port is reached, whoever serves there. */
    private static List<Object> reached(ServicePort port) {
        record ServiceAddress(Frontend.Kind kind, FrontendAddress address, Object allowedSources) {}
        return List.of(
                port.affinity(),
                port.frontends().stream()
                        .map(frontend ->
                                new ServiceAddress(frontend.kind(), frontend.address(), frontend.allowedSources()))
                        .toList());
    }

    private static Set<Endpoint> endpoints(ServicePort port) {
        Set<Endpoint> endpoints = new HashSet<>(port.flowEndpoints());
        for (Frontend frontend : port.frontends()) {
            endpoints.addAll(frontend.pod().endpoints());
            endpoints.addAll(frontend.node().endpoints());
            endpoints.addAll(frontend.external().endpoints());
        }
        return endpoints;
    }

    /** How long a round took that handed on a snapshot, and since when its causes had waited for it. */
    public void round(long nanos, List<Trigger> triggers) {
        FAMILIES.forEach(family -> durations.labelValues(family).observe(nanos / 1e9));
        Instant now = Instant.now();
        for (Trigger trigger : triggers) {
            programming
                    .labelValues(trigger.family().toString())
                    .observe(Math.max(0, Duration.between(trigger.at(), now).toNanos() / 1e9));
        }
    }

    private static void noLocalEndpoints(ServiceSnapshot snapshot, GaugeWithCallback.Callback gauge) {
        for (Family family : Family.values()) {
            for (boolean external : new boolean[] {false, true}) {
                int[] ports = new int[1];
                snapshot.forEach(port -> ports[0] += lacksLocal(port, family, external) ? 1 : 0);
                gauge.call(ports[0], family.toString(), external ? "external" : "internal");
            }
        }
    }

    /** Only a Local policy drops, and only while there are endpoints elsewhere. */
    private static boolean lacksLocal(ServicePort port, Family family, boolean external) {
        for (Frontend frontend : port.frontends()) {
            if (frontend.external().verdict() == Verdict.DROP
                    && frontend.address().address().family() == family
                    && (frontend.kind() != Frontend.Kind.CLUSTER_IP) == external) {
                return true;
            }
        }
        return false;
    }
}
