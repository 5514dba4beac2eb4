package io.sluice.ops;

import io.prometheus.metrics.core.metrics.Counter;
import io.prometheus.metrics.core.metrics.GaugeWithCallback;
import io.prometheus.metrics.model.registry.PrometheusRegistry;
import io.sluice.forward.FrontendCounts;
import io.sluice.forward.FrontendStatus.State;
import io.sluice.http.Page;
import io.sluice.http.Request;
import io.sluice.http.Response;
import io.sluice.text.Table;
import io.sluice.thread.Supervisor;
import java.time.Clock;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Function;
import java.util.function.Supplier;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;
import tools.jackson.databind.json.JsonMapper;

/**
 * Responses for probes and load balancers. {@code /healthz} and {@code /livez} are compatible with kube-proxy's;
 * kube-proxy has no {@code /readyz}.
 */
public final class Health {
    private static final JsonMapper JSON = JsonMapper.builder().build();

    /**
     * Maximum percentage of frontends that may fail for lack of resources while this process still reports ready.
     * Frontends whose address is in use or not local are not counted: those are configuration problems.
     */
    private static final long MAX_EXHAUSTED_PERCENT = 10;

    private final Supplier<SyncState> sync;
    private final Supplier<FrontendCounts> frontends;
    private final Supplier<List<Supervisor.Failure>> threadFailures;
    private final Clock clock;
    private final Instant started;
    private final Counter healthzResponses;
    private final Counter livezResponses;

    /**
     * @param threadFailures supplier of the threads that have failed or are stuck
     * @param registry registry for the response counters and the gauges of readiness and failed threads
     */
    public Health(
            Supplier<SyncState> sync,
            Supplier<FrontendCounts> frontends,
            Supplier<List<Supervisor.Failure>> threadFailures,
            Clock clock,
            PrometheusRegistry registry) {
        this.sync = sync;
        this.frontends = frontends;
        this.threadFailures = threadFailures;
        this.clock = clock;
        this.started = clock.instant();
        healthzResponses = responseCounter("healthz", registry);
        livezResponses = responseCounter("livez", registry);
        GaugeWithCallback.builder()
                .name("sluice_ready")
                .help("1 while /readyz returns 200, otherwise 0")
                .callback(gauge -> gauge.call(ready() ? 1 : 0))
                .register(registry);
        GaugeWithCallback.builder()
                .name("sluice_threads_failed")
                .help("Number of threads that have failed or are stuck; /livez lists them")
                .callback(gauge -> gauge.call(threadFailures.get().size()))
                .register(registry);
    }

    private static Counter responseCounter(String path, PrometheusRegistry registry) {
        Counter counter = Counter.builder()
                .name("kubeproxy_proxy_" + path + "_total")
                .help("Responses of /" + path + " by status code")
                .labelNames("code")
                .register(registry);
        // An initial 0 makes the first 503 visible as an increase.
        counter.initLabelValues("200");
        counter.initLabelValues("503");
        return counter;
    }

    /** Returns the page for each path. */
    public Map<String, Function<Request, Page>> pages() {
        Page livez = Page.quick(() -> counted(kubeProxyHealth(false), livezResponses));
        Page healthz = Page.quick(() -> counted(kubeProxyHealth(true), healthzResponses));
        Page readyz = Page.quick(this::readiness);
        return Map.of("/livez", request -> livez, "/healthz", request -> healthz, "/readyz", request -> readyz);
    }

    private static Response counted(Response response, Counter counter) {
        counter.labelValues(Integer.toString(response.status())).inc();
        return response;
    }

    private Response kubeProxyHealth(boolean forLoadBalancers) {
        SyncState now = sync.get();
        Instant time = clock.instant();
        List<Supervisor.Failure> failures = threadFailures.get();
        boolean healthy = failures.isEmpty() && now.healthy(time);
        boolean ok = healthy && (!forLoadBalancers || now.nodeEligible());
        Instant updated = now.lastApplied().orElse(started);
        Map<String, Object> family = new LinkedHashMap<>();
        family.put("lastUpdated", text(updated));
        family.put("healthy", healthy);
        Map<String, Object> body = new LinkedHashMap<>();
        // Like kube-proxy, report the current time while healthy: some load balancers check how old this value is.
        body.put("lastUpdated", text(ok ? time : updated));
        body.put("currentTime", text(time));
        if (forLoadBalancers) {
            body.put("nodeEligible", now.nodeEligible());
        }
        body.put("healthy", healthy);
        // Both families are in one snapshot, so they have the same status.
        Map<String, Object> status = new LinkedHashMap<>();
        status.put("IPv4", family);
        status.put("IPv6", family);
        body.put("status", status);
        if (!failures.isEmpty()) {
            body.put("failedThreads", failures);
        }
        if (!now.watches().isEmpty()) {
            body.put("watches", watches(now, time));
        }
        return Response.json(ok ? 200 : 503, JSON.writeValueAsString(body));
    }

    /**
     * Describes the state of the watches, which kube-proxy does not report. Unlike the admin API, omits empty fields. A
     * failing watch does not affect the status code, because the last known state is still served.
     */
    private static List<Map<String, @Nullable Object>> watches(SyncState state, Instant now) {
        List<Map<String, @Nullable Object>> watches = state.watchesAsJson(now);
        for (Map<String, @Nullable Object> watch : watches) {
            watch.remove("lastEventAgeSeconds", null);
            watch.remove("trouble", "");
        }
        return watches;
    }

    private static String text(Instant time) {
        return time.truncatedTo(ChronoUnit.MILLIS).toString();
    }

    private static String waitingFor(SyncState progress) {
        String missing = progress.watches().stream()
                .filter(watch -> !watch.synced())
                .map(watch -> watch.resource() + (watch.trouble().isEmpty() ? "" : " (" + watch.trouble() + ")"))
                .collect(Collectors.joining(", "));
        return missing.isEmpty()
                ? "the feed has not been read completely yet"
                : "waiting for the initial list of: " + missing;
    }

    /** Returns whether {@code /readyz} reports ready. */
    public boolean ready() {
        return readiness().status() == 200;
    }

    /** Returns the response of {@code /readyz}. */
    public Response readiness() {
        SyncState progress = sync.get();
        if (progress.stopping()) {
            return Response.text(503, "not ready: shutting down\n");
        }
        if (!progress.synced()) {
            return Response.text(503, "not ready: " + waitingFor(progress) + "\n");
        }
        FrontendCounts now = frontends.get();
        int pending = now.count(State.PENDING);
        if (pending > 0) {
            return Response.text(503, "not ready: " + pending + " of " + now.total() + " frontends are not open yet\n");
        }
        int exhausted = now.resourceExhausted();
        if (exhausted * 100L > now.total() * MAX_EXHAUSTED_PERCENT) {
            return Response.text(
                    503,
                    "not ready: " + exhausted + " of " + now.total()
                            + " frontends failed for lack of descriptors or memory (see /debug/frontends)\n");
        }
        int failed = now.count(State.FAILED);
        return Response.text(
                200,
                (failed == 0
                                ? "ready: " + Table.count(now.count(State.ACTIVE), "frontend") + "\n"
                                : "degraded: " + Table.count(failed, "frontend") + " failed (see /debug/frontends)\n")
                        + failingWatches(progress));
    }

    /** Lists failing watches, so that problems such as an expired token are noticed while stale state is served. */
    private static String failingWatches(SyncState progress) {
        return progress.watches().stream()
                .filter(watch -> !watch.trouble().isEmpty())
                .map(watch -> "not updated: " + watch.resource() + ": " + watch.trouble() + "\n")
                .collect(Collectors.joining());
    }
}
