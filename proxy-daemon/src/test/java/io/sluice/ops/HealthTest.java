package io.sluice.ops;

import static org.assertj.core.api.Assertions.assertThat;

import io.prometheus.metrics.model.registry.PrometheusRegistry;
import io.sluice.feed.WatchStatus;
import io.sluice.forward.FrontendCounts;
import io.sluice.forward.FrontendStatus.Failure;
import io.sluice.forward.FrontendStatus.State;
import io.sluice.http.Page;
import io.sluice.http.Request;
import io.sluice.http.Response;
import io.sluice.thread.Supervisor;
import java.time.Clock;
import java.time.Instant;
import java.time.ZoneId;
import java.time.ZoneOffset;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.function.Function;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/** Responses to probes in each state. */
final class HealthTest {
    private static final Instant NOW = Instant.parse("2026-01-02T03:04:05Z");
    private static final Instant EARLIER = Instant.parse("2026-01-02T03:00:00Z");

    private static final FrontendCounts NO_FRONTENDS = FrontendCounts.of(List.of());

    private static Response get(String path, DaemonState state) throws Exception {
        Health health = new Health(
                state::sync, state::frontends, List::of, Clock.fixed(NOW, ZoneOffset.UTC), new PrometheusRegistry());
        return render(health.pages(), path);
    }

    private static Response render(Map<String, Function<Request, Page>> pages, String path) {
        return Objects.requireNonNull(pages.get(path))
                .apply(new Request("GET", path, "", name -> "", "", false))
                .render();
    }

    private static String statusAndText(Response response) {
        return response.status() + " " + response.text();
    }

    private static DaemonState state(
            boolean stopping, boolean synced, @Nullable Instant pendingSince, State... states) {
        Map<State, Integer> counts = new EnumMap<>(State.class);
        for (State state : states) {
            counts.merge(state, 1, Integer::sum);
        }
        int failed = counts.getOrDefault(State.FAILED, 0);
        FrontendCounts frontends =
                new FrontendCounts(counts, failed == 0 ? Map.of() : Map.of(Failure.ADDRESS_IN_USE, failed));
        SyncState sync = new SyncState(
                stopping,
                Optional.ofNullable(pendingSince),
                synced ? Optional.of(EARLIER) : Optional.empty(),
                Optional.empty(),
                Optional.empty(),
                List.of());
        return new DaemonState(sync, frontends, List.of(), 0);
    }

    @Test
    void isReadyOnceSyncedAndOpenUntilItStops() throws Exception {
        assertThat(statusAndText(get("/readyz", state(false, false, null))))
                .isEqualTo("503 not ready: the feed has not been read completely yet\n");
        assertThat(statusAndText(get("/readyz", state(false, true, null, State.ACTIVE, State.PENDING))))
                .isEqualTo("503 not ready: 1 of 2 frontends are not open yet\n");
        assertThat(statusAndText(get("/readyz", state(true, true, null, State.ACTIVE))))
                .isEqualTo("503 not ready: shutting down\n");
        assertThat(statusAndText(get("/readyz", state(false, true, null, State.ACTIVE))))
                .isEqualTo("200 ready: 1 frontend\n");
    }

    @Test
    void isReadyDespiteFailedFrontends() throws Exception {
        assertThat(statusAndText(get("/readyz", state(false, true, null, State.ACTIVE, State.FAILED))))
                .isEqualTo("200 degraded: 1 frontend failed (see /debug/frontends)\n");
        assertThat(statusAndText(get("/readyz", state(false, true, null, State.FAILED, State.FAILED))))
                .isEqualTo("200 degraded: 2 frontends failed (see /debug/frontends)\n");
    }

    @Test
    void isNotReadyIfMoreThanTenPercentLackResources() throws Exception {
        assertThat(statusAndText(get("/readyz", exhausted(90, 10))))
                .isEqualTo("200 degraded: 10 frontends failed (see /debug/frontends)\n");
        assertThat(statusAndText(get("/readyz", exhausted(89, 11))))
                .isEqualTo("503 not ready: 11 of 100 frontends failed for lack of descriptors or memory"
                        + " (see /debug/frontends)\n");
    }

    private static DaemonState exhausted(int active, int exhausted) {
        return new DaemonState(
                state(false, true, null).sync(),
                new FrontendCounts(
                        Map.of(State.ACTIVE, active, State.FAILED, exhausted),
                        Map.of(Failure.OUT_OF_DESCRIPTORS, exhausted - 1, Failure.OUT_OF_MEMORY, 1)),
                List.of(),
                0);
    }

    @Test
    void isHealthyWhileStarting() throws Exception {
        assertThat(get("/healthz", state(false, false, null)).status()).isEqualTo(200);
        assertThat(get("/livez", state(false, false, null)).status()).isEqualTo(200);
    }

    @Test
    void isUnhealthyIfAChangeIsPendingForAMinute() throws Exception {
        assertThat(get("/livez", state(false, true, NOW.minusSeconds(59))).status())
                .isEqualTo(200);
        Response late = get("/livez", state(false, true, NOW.minusSeconds(60)));
        assertThat(late.status()).isEqualTo(503);
        JsonNode body = JsonMapper.shared().readTree(late.text());
        assertThat(body.at("/healthy").booleanValue()).isFalse();
        assertThat(body.at("/lastUpdated").stringValue()).isEqualTo(EARLIER.toString());
    }

    @Test
    void isUnhealthyAndNamesAFailedThread() throws Exception {
        DaemonState state = state(false, true, null);
        List<Supervisor.Failure> failures = List.of(new Supervisor.Failure("sluice-sync", "stuck for 61 s"));
        Health health = new Health(
                state::sync,
                state::frontends,
                () -> failures,
                Clock.fixed(NOW, ZoneOffset.UTC),
                new PrometheusRegistry());
        for (String path : List.of("/livez", "/healthz")) {
            Response answer = render(health.pages(), path);
            assertThat(answer.status()).isEqualTo(503);
            assertThat(answer.text())
                    .contains("\"healthy\":false")
                    .contains("\"failedThreads\":[{\"thread\":\"sluice-sync\",\"error\":\"stuck for 61 s\"}]");
        }
    }

    @Test
    void bodyIsCompatibleWithKubeProxy() throws Exception {
        Response answer = get("/healthz", state(false, true, null));
        assertThat(answer.contentType()).isEqualTo("application/json");
        assertThat(answer.text())
                .isEqualTo("{\"lastUpdated\":\"2026-01-02T03:04:05Z\",\"currentTime\":\"2026-01-02T03:04:05Z\","
                        + "\"nodeEligible\":true,\"healthy\":true,\"status\":"
                        + "{\"IPv4\":{\"lastUpdated\":\"2026-01-02T03:00:00Z\",\"healthy\":true},"
                        + "\"IPv6\":{\"lastUpdated\":\"2026-01-02T03:00:00Z\",\"healthy\":true}}}");
        assertThat(get("/livez", state(false, true, null)).text()).doesNotContain("nodeEligible");
    }

    @Test
    void isAliveButNotEligibleWhileDraining() throws Exception {
        assertThat(get("/livez", state(true, true, null)).status()).isEqualTo(200);
        Response answer = get("/healthz", state(true, true, null));
        assertThat(answer.status()).isEqualTo(503);
        assertThat(answer.text()).contains("\"nodeEligible\":false");
    }

    @Test
    void isAliveButNotEligibleOnAnIneligibleNode() throws Exception {
        SyncState unfit = new SyncState(
                false,
                Optional.empty(),
                Optional.of(EARLIER),
                Optional.of(EARLIER),
                Optional.of("it is being deleted"),
                List.of());
        DaemonState state = new DaemonState(unfit, NO_FRONTENDS, List.of(), 0);
        Response healthz = get("/healthz", state);
        assertThat(healthz.status()).isEqualTo(503);
        JsonNode body = JsonMapper.shared().readTree(healthz.text());
        assertThat(body.at("/healthy").booleanValue()).isTrue();
        assertThat(body.at("/nodeEligible").booleanValue()).isFalse();
        assertThat(body.at("/lastUpdated").stringValue()).isEqualTo(EARLIER.toString());
        assertThat(get("/livez", state).status()).isEqualTo(200);
    }

    @Test
    void namesResourcesThatAreNotListedYet() throws Exception {
        SyncState waiting = new SyncState(
                false,
                Optional.empty(),
                Optional.empty(),
                Optional.of(EARLIER),
                Optional.empty(),
                List.of(
                        new WatchStatus("services", true, Optional.of(EARLIER), 2, 1, "https://a", ""),
                        new WatchStatus("nodes", false, Optional.empty(), 0, 0, "https://a", "403 no")));
        DaemonState state = new DaemonState(waiting, NO_FRONTENDS, List.of(), 0);
        assertThat(get("/readyz", state).text())
                .isEqualTo("not ready: waiting for the initial list of: nodes (403 no)\n");
        JsonNode body = JsonMapper.shared().readTree(get("/healthz", state).text());
        assertThat(body.at("/watches/0/reconnects").intValue()).isEqualTo(2);
        assertThat(body.at("/watches/0/lastEventAgeSeconds").isNumber()).isTrue();
        assertThat(body.at("/watches/0").has("trouble")).isFalse();
        assertThat(body.at("/watches/1/trouble").stringValue()).isEqualTo("403 no");
    }

    @Test
    void readinessNamesFailingWatches() throws Exception {
        String why = "https://a: watch services: 401 Unauthorized; credentials sent: the token in /var/token";
        SyncState expired = new SyncState(
                false,
                Optional.empty(),
                Optional.of(EARLIER),
                Optional.of(EARLIER),
                Optional.empty(),
                List.of(
                        new WatchStatus("services", true, Optional.of(EARLIER), 2, 1, "https://a", why),
                        new WatchStatus("nodes", true, Optional.of(EARLIER), 2, 1, "https://a", "")));
        assertThat(statusAndText(get("/readyz", new DaemonState(expired, NO_FRONTENDS, List.of(), 0))))
                .isEqualTo("200 ready: 0 frontends\nnot updated: services: " + why + "\n");
    }

    /** Corresponds to kube-proxy's TestHealthzServer and TestLivezServer, except that one sync covers both families. */
    @Test
    void isUnhealthyOnlyWhileAChangeIsOverdue() throws Exception {
        Instant[] now = {EARLIER};
        @Nullable Instant[] pending = {null};
        @Nullable Instant[] applied = {null};
        Supplier<SyncState> sync = () -> new SyncState(
                false,
                Optional.ofNullable(pending[0]),
                Optional.ofNullable(applied[0]),
                Optional.empty(),
                Optional.empty(),
                List.of());
        Clock clock = new Clock() {
            @Override
            public Instant instant() {
                return now[0];
            }

            @Override
            public ZoneId getZone() {
                return ZoneOffset.UTC;
            }

            @Override
            public Clock withZone(ZoneId zone) {
                throw new UnsupportedOperationException();
            }
        };
        PrometheusRegistry registry = new PrometheusRegistry();
        Map<String, Function<Request, Page>> pages =
                new Health(sync, () -> NO_FRONTENDS, List::of, clock, registry).pages();
        List<Integer> codes = new ArrayList<>();
        Runnable get = () -> {
            for (String path : List.of("/healthz", "/livez")) {
                codes.add(render(pages, path).status());
            }
        };
        get.run(); // before any update
        applied[0] = now[0];
        get.run();
        now[0] = now[0].plusSeconds(150); // nothing queued
        get.run();
        pending[0] = now[0];
        now[0] = now[0].plusSeconds(150);
        get.run();
        pending[0] = null;
        applied[0] = now[0];
        now[0] = now[0].plusSeconds(30);
        get.run();
        pending[0] = now[0];
        now[0] = now[0].plusSeconds(59);
        get.run();
        now[0] = now[0].plusSeconds(1);
        get.run();
        assertThat(codes).containsExactly(200, 200, 200, 200, 200, 200, 503, 503, 200, 200, 200, 200, 503, 503);
        assertThat(MetricsTest.scrape(registry, ""))
                .contains("kubeproxy_proxy_healthz_total{code=\"200\"} 5.0\n")
                .contains("kubeproxy_proxy_healthz_total{code=\"503\"} 2.0\n")
                .contains("kubeproxy_proxy_livez_total{code=\"200\"} 5.0\n")
                .contains("kubeproxy_proxy_livez_total{code=\"503\"} 2.0\n");
    }

    @Test
    void countsResponsesFromZero() throws Exception {
        PrometheusRegistry registry = new PrometheusRegistry();
        DaemonState state = state(false, true, null);
        Health health = new Health(state::sync, state::frontends, List::of, Clock.systemUTC(), registry);
        assertThat(health.pages()).hasSize(3);
        assertThat(MetricsTest.scrape(registry, ""))
                .contains("kubeproxy_proxy_healthz_total{code=\"200\"} 0.0\n")
                .contains("kubeproxy_proxy_healthz_total{code=\"503\"} 0.0\n")
                .contains("kubeproxy_proxy_livez_total{code=\"200\"} 0.0\n")
                .contains("kubeproxy_proxy_livez_total{code=\"503\"} 0.0\n");
    }

    @Test
    void reportsReadinessAndFailedThreadsAsMetrics() {
        DaemonState[] state = {state(false, true, null, State.PENDING)};
        List<Supervisor.Failure> failures = new ArrayList<>();
        PrometheusRegistry registry = new PrometheusRegistry();
        Health health = new Health(
                () -> state[0].sync(), () -> state[0].frontends(), () -> failures, Clock.systemUTC(), registry);
        assertThat(health.ready()).isFalse();
        assertThat(MetricsTest.scrape(registry, "")).contains("sluice_ready 0.0\n", "sluice_threads_failed 0.0\n");
        state[0] = state(false, true, null, State.ACTIVE);
        failures.add(new Supervisor.Failure("sluice-loop-0", "java.lang.StackOverflowError"));
        assertThat(health.ready()).isTrue();
        assertThat(MetricsTest.scrape(registry, "")).contains("sluice_ready 1.0\n", "sluice_threads_failed 1.0\n");
    }
}
