package io.sluice.ops;

import static org.assertj.core.api.Assertions.assertThat;

import io.prometheus.metrics.model.registry.PrometheusRegistry;
import io.sluice.document.Problem;
import io.sluice.document.Problem.Severity;
import io.sluice.feed.WatchStatus;
import io.sluice.forward.FrontendCounts;
import io.sluice.forward.FrontendStatus.Failure;
import io.sluice.forward.FrontendStatus.State;
import io.sluice.http.Request;
import io.sluice.model.Protocol;
import io.sluice.model.ServicePortName;
import io.sluice.stats.Counter;
import io.sluice.stats.ServiceStats;
import io.sluice.stats.Stats;
import io.sluice.stats.Timing;
import java.time.Instant;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.Set;
import java.util.regex.Pattern;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** The scraped text. */
final class MetricsTest {
    private static final Pattern COMMENT = Pattern.compile("# (HELP|TYPE) [a-z_0-9]+ .+");
    private static final Pattern SAMPLE =
            Pattern.compile("([a-z_0-9]+)(\\{([a-z_]+=\"[^\"]*\",?)+})? (NaN|[+-]Inf|[-+0-9.E]+)");

    private final Stats stats = new Stats(2);
    private final PrometheusRegistry registry = new PrometheusRegistry();

    @BeforeEach
    void register() {
        Metrics.register(() -> stats, this::state, registry);
    }

    private Optional<Instant> pendingSince = Optional.empty();

    private DaemonState state() {
        return new DaemonState(
                new SyncState(
                        false,
                        pendingSince,
                        Optional.of(Instant.EPOCH),
                        Optional.of(Instant.EPOCH),
                        Optional.empty(),
                        List.of(new WatchStatus("services", true, Optional.empty(), 3, 1, "https://a", "gone"))),
                new FrontendCounts(
                        Map.of(State.ACTIVE, 5, State.FAILED, 4),
                        Map.of(Failure.ADDRESS_IN_USE, 3, Failure.OUT_OF_DESCRIPTORS, 1)),
                List.of(new Problem(Severity.ERROR, "a.yaml", "", "", "bad")),
                4711);
    }

    /** Returns the response to a request without headers. */
    static String scrape(PrometheusRegistry registry, String query) {
        Request request = new Request("GET", "/metrics", query, header -> "", "", false);
        return Objects.requireNonNull(
                        new MetricsPages(registry, List::of, Map.of()).pages().get("/metrics"))
                .apply(request)
                .render()
                .text();
    }

    private String scrape(boolean timings) {
        return scrape(registry, timings ? "timings=service" : "");
    }

    private ServiceStats open(String service, Protocol protocol) {
        return stats.open(new ServicePortName("shop", service, "main", protocol));
    }

    @Test
    void reportsBufferedBytes() throws Exception {
        assertThat(scrape(false)).contains("sluice_held_bytes 4711.0");
    }

    @Test
    void writesValidPrometheusText() throws Exception {
        open("web", Protocol.TCP).record(0, Timing.CONNECT, 1_500_000);
        open("dns", Protocol.UDP);
        String text = scrape(true);
        assertThat(text).contains("sluice_sessions_opened_total{", "service=\"web\"", "service=\"dns\"");
        assertThat(text.lines())
                .allSatisfy(line -> assertThat(line)
                        .matches(
                                l -> COMMENT.matcher(l).matches()
                                        || SAMPLE.matcher(l).matches(),
                                "comment or sample"));
        Set<String> seen = new HashSet<>();
        text.lines()
                .filter(line -> !line.startsWith("#"))
                .map(line -> line.substring(0, line.lastIndexOf(' ')))
                .forEach(series -> assertThat(seen.add(series)).as(series).isTrue());
    }

    @Test
    void sumsCountersOverLoopsAndWritesLevelsAsGauges() throws Exception {
        ServiceStats web = open("web", Protocol.TCP);
        web.cells(0).add(Counter.SESSIONS_OPENED, 3);
        web.cells(1).add(Counter.SESSIONS_OPENED, 4);
        web.cells(1).add(Counter.SESSIONS_ACTIVE, 2);
        String labels = "{namespace=\"shop\",port=\"main\",protocol=\"tcp\",service=\"web\"} ";
        assertThat(scrape(false))
                .contains("sluice_sessions_opened_total" + labels + "7.0\n")
                .contains("# TYPE sluice_sessions_active gauge\nsluice_sessions_active" + labels + "2.0\n")
                .contains("# HELP sluice_sessions_opened_total TCP connections accepted\n");
    }

    @Test
    void writesOnlyTheMetricsOfEachProtocol() throws Exception {
        open("web", Protocol.TCP).cells(0).increment(Counter.SESSIONS_OPENED);
        open("dns", Protocol.UDP).cells(0).increment(Counter.FLOWS_OPENED);
        String text = scrape(false);
        assertThat(text.lines().filter(line -> line.startsWith("sluice_flows_opened_total")))
                .singleElement()
                .asString()
                .contains("dns");
        assertThat(text.lines().filter(line -> line.startsWith("sluice_sessions_active")))
                .singleElement()
                .asString()
                .contains("web");
        assertThat(text.lines().filter(line -> line.startsWith("sluice_bytes_to_client_total")))
                .hasSize(2);
    }

    @Test
    void writesOneSeriesForAnIdlePort() throws Exception {
        ServiceStats web = open("web", Protocol.TCP);
        open("dns", Protocol.UDP);
        assertThat(series())
                .containsExactlyInAnyOrder(
                        "sluice_sessions_opened_total{namespace=\"shop\",port=\"main\",protocol=\"tcp\",service=\"web\"} 0.0",
                        "sluice_flows_opened_total{namespace=\"shop\",port=\"main\",protocol=\"udp\",service=\"dns\"} 0.0");
        web.cells(0).increment(Counter.SESSIONS_OPENED);
        assertThat(series())
                .filteredOn(line -> line.contains("service=\"web\""))
                .extracting(line -> line.substring(0, line.indexOf('{')))
                .containsExactlyInAnyOrder(
                        "sluice_sessions_opened_total",
                        "sluice_sessions_active",
                        "sluice_bytes_to_endpoint_total",
                        "sluice_bytes_to_client_total");
    }

    @Test
    void writesFailuresByReasonOnceTheyHaveOccurred() {
        ServiceStats web = open("web", Protocol.TCP);
        web.cells(0).increment(Counter.SESSIONS_OPENED);
        assertThat(scrape(false)).doesNotContain("reason=\"refused\"", "sluice_connect_retries_total{");
        web.cells(0).increment(Counter.CONNECT_REFUSED);
        web.cells(1).add(Counter.CONNECT_TIMEOUT, 2);
        web.cells(0).increment(Counter.CONNECT_RETRIED);
        String labels = "{namespace=\"shop\",port=\"main\",protocol=\"tcp\",";
        assertThat(scrape(false).lines().filter(line -> line.startsWith("sluice_connect_")))
                .contains(
                        "sluice_connect_failures_total" + labels + "reason=\"refused\",service=\"web\"} 1.0",
                        "sluice_connect_failures_total" + labels + "reason=\"timeout\",service=\"web\"} 2.0",
                        "sluice_connect_retries_total" + labels + "service=\"web\"} 1.0")
                .noneMatch(line -> line.contains("unreachable"));
        assertThat(scrape(false))
                .containsOnlyOnce(
                        "# HELP sluice_connect_failures_total Failed connection attempts to endpoints, by reason\n")
                .containsOnlyOnce("# TYPE sluice_connect_failures_total counter\n");
    }

    @Test
    void countersOfOneMetricDifferInTheirReason() {
        Set<String> seen = new HashSet<>();
        for (Counter counter : Counter.values()) {
            assertThat(seen.add(counter.metric() + " " + counter.reason()))
                    .as(counter.name())
                    .isTrue();
            assertThat(counter.metric()).matches("sluice_[a-z_]+").doesNotEndWith("_total");
        }
    }

    private List<String> series() throws Exception {
        return scrape(false).lines().filter(line -> line.contains("service=\"")).toList();
    }

    @Test
    void removesTheSeriesOfARemovedService() throws Exception {
        ServiceStats web = open("web", Protocol.TCP);
        assertThat(scrape(true)).contains("service=\"web\"");
        stats.close(web);
        assertThat(scrape(true)).doesNotContain("service=\"web\"");
    }

    @Test
    void writesTimingsAsCumulativeBucketsInSeconds() throws Exception {
        ServiceStats web = open("web", Protocol.TCP);
        web.record(0, Timing.CONNECT, 150_000);
        web.record(1, Timing.CONNECT, 1_500_000);
        web.record(0, Timing.CONNECT, 700_000_000_000L);
        String text = scrape(false);
        assertThat(text)
                .contains("# TYPE sluice_connect_duration_seconds histogram")
                .contains("sluice_connect_duration_seconds_bucket{le=\"1.0E-4\"} 0\n")
                .contains("sluice_connect_duration_seconds_bucket{le=\"2.0E-4\"} 1\n")
                .contains("sluice_connect_duration_seconds_bucket{le=\"0.002\"} 2\n")
                .contains("sluice_connect_duration_seconds_bucket{le=\"500.0\"} 2\n")
                .contains("sluice_connect_duration_seconds_bucket{le=\"+Inf\"} 3\n")
                .contains("sluice_connect_duration_seconds_count 3\n")
                .doesNotContain("sluice_service_connect_duration_seconds");
        String labels = "{namespace=\"shop\",port=\"main\",protocol=\"tcp\",service=\"web\"";
        assertThat(scrape(true))
                .contains("sluice_service_connect_duration_seconds_bucket" + labels + ",le=\"1.0E-4\"} 0\n")
                .contains("sluice_service_connect_duration_seconds_bucket" + labels + ",le=\"2.0E-4\"} 1\n")
                .contains("sluice_service_connect_duration_seconds_bucket" + labels + ",le=\"0.002\"} 2\n")
                .contains("sluice_service_connect_duration_seconds_bucket" + labels + ",le=\"500.0\"} 2\n")
                .contains("sluice_service_connect_duration_seconds_bucket" + labels + ",le=\"+Inf\"} 3\n")
                .contains("sluice_service_connect_duration_seconds_count" + labels + "} 3\n")
                .contains("sluice_service_connect_duration_seconds_sum" + labels + "} 700.00165\n");
    }

    @Test
    void reportsTheStateOfTheDaemon() throws Exception {
        assertThat(scrape(false))
                .contains("sluice_feed_problems{severity=\"error\"} 1.0")
                .contains("sluice_frontends{state=\"active\"} 5.0")
                .contains("sluice_frontends{state=\"failed\"} 4.0")
                .contains("sluice_frontends{state=\"pending\"} 0.0")
                .contains("sluice_frontends_failed{reason=\"address_in_use\"} 3.0")
                .contains("sluice_frontends_failed{reason=\"out_of_descriptors\"} 1.0")
                .contains("sluice_frontends_failed{reason=\"owned_by_another\"} 0.0")
                .contains("sluice_feed_synced 1.0")
                .contains("jvm_memory_used_bytes");
    }

    @Test
    void reportsTheStateOfWatches() throws Exception {
        assertThat(scrape(false))
                .contains("sluice_watch_synced{resource=\"services\"} 1.0")
                .contains("sluice_watch_up{resource=\"services\"} 0.0")
                .contains("sluice_watch_reconnects_total{resource=\"services\"} 3.0")
                .contains("sluice_watch_relists_total{resource=\"services\"} 1.0");
    }

    @Test
    void reportsTheAgeOfTheOldestPendingChange() {
        assertThat(scrape(false)).contains("sluice_feed_pending_seconds 0.0\n");
        pendingSince = Optional.of(Instant.now().minusSeconds(1_000));
        assertThat(scrape(false)).containsPattern("sluice_feed_pending_seconds 10\\d\\d\\.");
    }
}
