package io.sluice.daemon;

import io.sluice.daemon.HttpPort.Answer;
import io.sluice.daemon.HttpPort.Page;
import io.sluice.forward.FrontendStatus.State;
import java.time.Clock;
import java.time.Duration;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.function.Supplier;
import tools.jackson.databind.json.JsonMapper;

/**
 * What probes and load balancers are told. {@code /healthz} and {@code /livez} answer as kube-proxy's do; kube-proxy
 * has no {@code /readyz}.
 */
final class Health {
    /** kube-proxy's: twice its sync period. */
    private static final Duration STALE = Duration.ofSeconds(60);

    private static final JsonMapper JSON = JsonMapper.builder().build();

    private final Supplier<DaemonState> state;
    private final Clock clock;
    private final Instant started;

    Health(Supplier<DaemonState> state, Clock clock) {
        this.state = state;
        this.clock = clock;
        this.started = clock.instant();
    }

    Map<String, Page> pages() {
        return Map.of(
                "/livez", query -> kubeProxy(false),
                "/healthz", query -> kubeProxy(true),
                "/readyz", query -> readyz());
    }

    private Answer kubeProxy(boolean forLoadBalancers) {
        DaemonState now = state.get();
        Instant time = clock.instant();
        boolean healthy = now.pendingSince()
                .map(since -> Duration.between(since, time).compareTo(STALE) < 0)
                .orElse(true);
        // A daemon that drains is alive, but must get no new connections.
        boolean ok = healthy && !(forLoadBalancers && now.stopping());
        Instant updated = now.lastApplied().orElse(started);
        Map<String, Object> family = new LinkedHashMap<>();
        family.put("lastUpdated", text(updated));
        family.put("healthy", healthy);
        Map<String, Object> body = new LinkedHashMap<>();
        // kube-proxy says "now" while it is well; some load balancers look at the age.
        body.put("lastUpdated", text(ok ? time : updated));
        body.put("currentTime", text(time));
        if (forLoadBalancers) {
            body.put("nodeEligible", !now.stopping());
        }
        body.put("healthy", healthy);
        // One snapshot carries both families.
        Map<String, Object> status = new LinkedHashMap<>();
        status.put("IPv4", family);
        status.put("IPv6", family);
        body.put("status", status);
        return Answer.json(ok ? 200 : 503, JSON.writeValueAsString(body));
    }

    private static String text(Instant time) {
        return time.truncatedTo(ChronoUnit.MILLIS).toString();
    }

    private Answer readyz() {
        DaemonState now = state.get();
        long pending = now.count(State.PENDING);
        if (now.stopping()) {
            return Answer.text(503, "not ready: shutting down\n");
        }
        if (!now.synced()) {
            return Answer.text(503, "not ready: the feed has not been read completely yet\n");
        }
        if (pending > 0) {
            return Answer.text(
                    503, "not ready: " + pending + " of " + now.frontends().size() + " frontends are not opened yet\n");
        }
        long failed = now.count(State.FAILED);
        return Answer.text(
                200,
                "ready: " + Table.count(now.count(State.ACTIVE), "frontend")
                        + (failed == 0 ? "" : ", and " + failed + " failed (see /debug/frontends)") + "\n");
    }
}
