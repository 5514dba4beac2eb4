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
 * Metrics about applying changes, named as in kube-proxy so that its dashboards and alerts work. kube-proxy reports
 * IPv4 and IPv6 separately; here one sync covers both families, so both series of a sync metric have the same value.
 */
public final class KubeProxyMetrics {
    private static final String SYNC = "kubeproxy_sync_proxy_rules_";
    private static final List<String> FAMILIES =
            Stream.of(Family.values()).map(Family::toString).toList();

    /** Bucket bounds in seconds; identical to kube-proxy's. */
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

    // Accessed only on the control thread.
    private ServiceSnapshot applied = ServiceSnapshot.empty();

    /**
     * Creates and registers the metrics.
     *
     * @param snapshot supplier of the applied snapshot
     */
    public KubeProxyMetrics(PrometheusRegistry registry, Supplier<SyncState> sync, Supplier<ServiceSnapshot> snapshot) {
        durations = Histogram.builder()
                .name(SYNC + "duration_seconds")
                .help("Seconds taken to apply a batch of changes")
                .labelNames("ip_family")
                .classicOnly()
                .classicExponentialUpperBounds(0.001, 2, 15)
                .register(registry);
        FAMILIES.forEach(durations::initLabelValues);
        programming = Histogram.builder()
                .name("kubeproxy_network_programming_duration_seconds")
                .help("Seconds from an endpoint change in the cluster until it was applied on this node")
                .labelNames("ip_family")
                .classicOnly()
                .classicUpperBounds(PROGRAMMING_BOUNDS)
                .register(registry);
        FAMILIES.forEach(programming::initLabelValues);
        serviceChanges = changes(
                "service", "added or removed, or whose addresses, source ranges or session affinity changed", registry);
        endpointChanges = changes("endpoint", "whose endpoints or traffic policy changed", registry);
        timestamp("last_timestamp_seconds", "Time of the last applied change", sync, SyncState::lastApplied, registry);
        timestamp(
                "last_queued_timestamp_seconds",
                "Time at which the last update from the feed or the API server was queued",
                sync,
                SyncState::lastOffered,
                registry);
        GaugeWithCallback.builder()
                .name(SYNC + "no_local_endpoints_total")
                .help("Service ports with traffic policy Local whose endpoints are all on other nodes")
                .labelNames("ip_family", "traffic_policy")
                .callback(gauge -> noLocalEndpoints(snapshot.get(), gauge))
                .register(registry);
    }

    private static Counter changes(String kind, String which, PrometheusRegistry registry) {
        return Counter.builder()
                .name(SYNC + kind + "_changes_total")
                .help("Service ports " + which + ", counted when the change is applied")
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

    /** Counts the changes since the previously applied snapshot. Must be called on the control thread. */
    public void applied(ServiceSnapshot now) {
        SnapshotDiff diff = SnapshotDiff.between(applied, now);
        applied = now;
        diff.removed().forEach(was -> count(true, !endpoints(was).isEmpty()));
        diff.added().forEach(is -> count(true, !endpoints(is).isEmpty()));
        diff.changed().forEach(change -> {
            boolean service = !addressing(change.before()).equals(addressing(change.after()));
            // Any other difference between service ports affects which endpoints are chosen.
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

    /** Returns everything about a service port that clients depend on, which excludes its endpoints. */
    private static List<Object> addressing(ServicePort port) {
        record ServiceAddress(Frontend.Kind kind, FrontendAddress address, Object allowedSources) {}
        return List.of(
                port.affinity(),
                port.frontends().stream()
                        .map(frontend ->
                                new ServiceAddress(frontend.kind(), frontend.address(), frontend.allowedSources()))
                        .toList());
    }

    private static Set<Endpoint> endpoints(ServicePort port) {
        Set<Endpoint> endpoints = new HashSet<>(port.servingEndpoints());
        for (Frontend frontend : port.frontends()) {
            endpoints.addAll(frontend.pod().endpoints());
            endpoints.addAll(frontend.node().endpoints());
            endpoints.addAll(frontend.external().endpoints());
        }
        return endpoints;
    }

    /**
     * Records one sync.
     *
     * @param nanos duration of the sync
     * @param triggers endpoint changes applied by this sync, with the time of each change in the cluster
     */
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

    /** Returns whether a traffic policy is Local and only other nodes have endpoints: the verdict is then DROP. */
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
