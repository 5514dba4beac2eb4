package io.sluice.ops;

import io.prometheus.metrics.core.metrics.Counter;
import io.prometheus.metrics.model.registry.PrometheusRegistry;
import io.sluice.feed.WatchStatus;
import io.sluice.forward.FrontendCounts;
import io.sluice.forward.FrontendStatus.State;
import io.sluice.http.Page;
import io.sluice.http.Response;
import io.sluice.text.Table;
import io.sluice.thread.Supervisor;
import java.time.Clock;
import java.time.Duration;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Function;
import java.util.function.Supplier;
import java.util.stream.Collectors;
import tools.jackson.databind.json.JsonMapper;

/**
 * What probes and load balancers are told. {@code /healthz} and {@code /livez} answer as kube-proxy's do; kube-proxy
 * has no {@code /readyz}.
 */
public final class Health {
    private static final JsonMapper JSON = JsonMapper.builder().build();

    /** A node that lacks resources for more frontends is not ready; foreign or taken addresses are a configuration problem. */
    private static final long MOST_LACKING_PERCENT = 10;

    private final Supplier<SyncState> sync;
    private final Supplier<FrontendCounts> frontends;
    private final Supplier<List<Supervisor.Failure>> threadFailures;
    private final Clock clock;
    private final Instant started;
    private final Counter healthzAnswers;
    private final Counter livezAnswers;

    /**
     * @param threadFailures threads that do not do their work
     * @param registry gets the counters of answers
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
        healthzAnswers = answers("healthz", registry);
        livezAnswers = answers("livez", registry);
    }

    private static Counter answers(String path, PrometheusRegistry registry) {
        Counter counter = Counter.builder()
                .name("kubeproxy_proxy_" + path + "_total")
                .help("Answers of /" + path + " by status code")
                .labelNames("code")
                .register(registry);
        // Present from the start, so that the first 503 is an increase.
        counter.initLabelValues("200");
        counter.initLabelValues("503");
        return counter;
    }

    /** By path. */
    public Map<String, Function<String, Page>> pages() {
        Page livez = Page.quick(() -> counted(kubeProxy(false), livezAnswers));
        Page healthz = Page.quick(() -> counted(kubeProxy(true), healthzAnswers));
        Page readyz = Page.quick(this::readyz);
        return Map.of("/livez", query -> livez, "/healthz", query -> healthz, "/readyz", query -> readyz);
    }

    private static Response counted(Response answer, Counter counter) {
        counter.labelValues(Integer.toString(answer.status())).inc();
        return answer;
    }

    private Response kubeProxy(boolean forLoadBalancers) {
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
        // kube-proxy says "now" while it is well; some load balancers look at the age.
        body.put("lastUpdated", text(ok ? time : updated));
        body.put("currentTime", text(time));
        if (forLoadBalancers) {
            body.put("nodeEligible", now.nodeEligible());
        }
        body.put("healthy", healthy);
        // One snapshot carries both families.
        Map<String, Object> status = new LinkedHashMap<>();
        status.put("IPv4", family);
        status.put("IPv6", family);
        body.put("status", status);
        if (!failures.isEmpty()) {
            body.put("failedThreads", failures);
        }
        if (!now.watches().isEmpty()) {
            body.put(
                    "watches",
                    now.watches().stream().map(watch -> watch(watch, time)).toList());
        }
        return Response.json(ok ? 200 : 503, JSON.writeValueAsString(body));
    }

    /** kube-proxy says nothing of these. They have no say in the code: what was last known goes on being served. */
    private static Map<String, Object> watch(WatchStatus watch, Instant now) {
        Map<String, Object> one = new LinkedHashMap<>();
        one.put("resource", watch.resource());
        one.put("synced", watch.synced());
        watch.lastEvent()
                .ifPresent(at -> one.put(
                        "lastEventAgeSeconds",
                        Math.max(0, Duration.between(at, now).toMillis()) / 1e3));
        one.put("reconnects", watch.reconnects());
        one.put("relists", watch.relists());
        one.put("server", watch.server());
        if (!watch.trouble().isEmpty()) {
            one.put("trouble", watch.trouble());
        }
        return one;
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
                : "not listed completely yet: " + missing;
    }

    /** What {@code /readyz} says. */
    public boolean ready() {
        return readyz().status() == 200;
    }

    private Response readyz() {
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
            return Response.text(
                    503, "not ready: " + pending + " of " + now.total() + " frontends are not opened yet\n");
        }
        int lacking = now.resourceExhausted();
        if (lacking * 100L > now.total() * MOST_LACKING_PERCENT) {
            return Response.text(
                    503,
                    "not ready: " + lacking + " of " + now.total()
                            + " frontends lack descriptors or memory (see /debug/frontends)\n");
        }
        int failed = now.count(State.FAILED);
        return Response.text(
                200,
                (failed == 0
                                ? "ready: " + Table.count(now.count(State.ACTIVE), "frontend") + "\n"
                                : "degraded: " + Table.count(failed, "frontend") + " failed (see /debug/frontends)\n")
                        + notFollowed(progress));
    }

    /** What was last known goes on being served, but an expired token should not be found out weeks later. */
    private static String notFollowed(SyncState progress) {
        return progress.watches().stream()
                .filter(watch -> !watch.trouble().isEmpty())
                .map(watch -> "not updated: " + watch.resource() + ": " + watch.trouble() + "\n")
                .collect(Collectors.joining());
    }
}
