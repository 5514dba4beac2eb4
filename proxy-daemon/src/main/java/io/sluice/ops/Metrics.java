package io.sluice.ops;

import io.prometheus.metrics.instrumentation.jvm.JvmMetrics;
import io.prometheus.metrics.model.registry.MultiCollector;
import io.prometheus.metrics.model.registry.PrometheusRegistry;
import io.prometheus.metrics.model.registry.PrometheusScrapeRequest;
import io.prometheus.metrics.model.snapshots.CounterSnapshot;
import io.prometheus.metrics.model.snapshots.GaugeSnapshot;
import io.prometheus.metrics.model.snapshots.GaugeSnapshot.GaugeDataPointSnapshot;
import io.prometheus.metrics.model.snapshots.Labels;
import io.prometheus.metrics.model.snapshots.MetricSnapshot;
import io.prometheus.metrics.model.snapshots.MetricSnapshots;
import io.sluice.document.Problem;
import io.sluice.feed.WatchStatus;
import io.sluice.forward.FrontendStatus;
import io.sluice.stats.Stats;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.EnumSet;
import java.util.List;
import java.util.Locale;
import java.util.function.Supplier;

/** The metrics of Sluice, read at each scrape. Those of the data path come from {@link ServiceMetrics}. */
public final class Metrics implements MultiCollector {
    private final Supplier<Stats> stats;
    private final Supplier<DaemonState> state;

    private Metrics(Supplier<Stats> stats, Supplier<DaemonState> state) {
        this.stats = stats;
        this.state = state;
    }

    /** Registers these metrics and those of the JVM. */
    public static void register(Supplier<Stats> stats, Supplier<DaemonState> state, PrometheusRegistry registry) {
        registry.register(new Metrics(stats, state));
        JvmMetrics.builder().register(registry);
    }

    @Override
    public MetricSnapshots collect() {
        return collect(false);
    }

    /** Reads all metrics; with histograms per Service if the request has {@code timings=service}. */
    @Override
    public MetricSnapshots collect(PrometheusScrapeRequest request) {
        String[] timings = request.getParameterValues("timings");
        return collect(timings != null && Arrays.asList(timings).contains("service"));
    }

    private MetricSnapshots collect(boolean timingsPerService) {
        List<MetricSnapshot> all = new ArrayList<>(ServiceMetrics.read(stats.get(), timingsPerService));
        state(state.get(), all);
        return new MetricSnapshots(all);
    }

    private static void state(DaemonState now, List<MetricSnapshot> all) {
        GaugeSnapshot.Builder frontends =
                GaugeSnapshot.builder().name("sluice_frontends").help("Number of frontends in each state");
        for (FrontendStatus.State each : EnumSet.complementOf(EnumSet.of(FrontendStatus.State.GONE))) {
            frontends.dataPoint(
                    gauge(now.frontends().count(each), "state", each.name().toLowerCase(Locale.ROOT)));
        }
        all.add(frontends.build());
        GaugeSnapshot.Builder failed = GaugeSnapshot.builder()
                .name("sluice_frontends_failed")
                .help("Number of frontends that could not be opened, by reason");
        for (FrontendStatus.Failure each : EnumSet.complementOf(EnumSet.of(FrontendStatus.Failure.NONE))) {
            failed.dataPoint(
                    gauge(now.frontends().failed(each), "reason", each.name().toLowerCase(Locale.ROOT)));
        }
        all.add(failed.build());
        GaugeSnapshot.Builder problems =
                GaugeSnapshot.builder().name("sluice_feed_problems").help("Problems in the feed, by severity");
        for (Problem.Severity each : Problem.Severity.values()) {
            long count =
                    now.problems().stream().filter(p -> p.severity() == each).count();
            problems.dataPoint(gauge((double) count, "severity", each.name().toLowerCase(Locale.ROOT)));
        }
        all.add(problems.build());
        all.add(gauge(
                "sluice_held_bytes",
                "Bytes buffered for slow clients and endpoints, summed over all connections",
                (double) now.bufferedBytes()));
        all.add(gauge(
                "sluice_feed_synced",
                "1 once the first complete feed has been applied, otherwise 0",
                now.sync().synced() ? 1 : 0));
        Instant time = Instant.now();
        all.add(gauge(
                "sluice_feed_pending_seconds",
                "Age of the oldest change that has not been applied yet, otherwise 0",
                now.sync().pendingSince().map(since -> seconds(since, time)).orElse(0.0)));
        watches(now.sync().watches(), time, all);
        all.add(gauge("sluice_build_info", "Version of Sluice", 1, "version", BuildInfo.version()));
    }

    private static void watches(List<WatchStatus> watches, Instant now, List<MetricSnapshot> all) {
        if (watches.isEmpty()) {
            return;
        }
        GaugeSnapshot.Builder synced = GaugeSnapshot.builder()
                .name("sluice_watch_synced")
                .help("1 once the initial list of the resource is complete, otherwise 0");
        GaugeSnapshot.Builder up =
                GaugeSnapshot.builder().name("sluice_watch_up").help("1 while the watch is healthy, otherwise 0");
        GaugeSnapshot.Builder age = GaugeSnapshot.builder()
                .name("sluice_watch_last_event_age_seconds")
                .help("Seconds since the API server last sent data for the resource");
        CounterSnapshot.Builder reconnects =
                CounterSnapshot.builder().name("sluice_watch_reconnects").help("Watch requests other than the first");
        CounterSnapshot.Builder relists =
                CounterSnapshot.builder().name("sluice_watch_relists").help("List requests other than the first");
        for (WatchStatus watch : watches) {
            Labels labels = Labels.of("resource", watch.resource());
            synced.dataPoint(new GaugeDataPointSnapshot(watch.synced() ? 1 : 0, labels, null));
            up.dataPoint(new GaugeDataPointSnapshot(watch.trouble().isEmpty() ? 1 : 0, labels, null));
            watch.lastEvent()
                    .ifPresent(at -> age.dataPoint(new GaugeDataPointSnapshot(seconds(at, now), labels, null)));
            reconnects.dataPoint(counted(watch.reconnects(), labels));
            relists.dataPoint(counted(watch.relists(), labels));
        }
        all.addAll(List.of(synced.build(), up.build(), age.build(), reconnects.build(), relists.build()));
    }

    private static double seconds(Instant from, Instant to) {
        return Math.max(0, Duration.between(from, to).toMillis()) / 1e3;
    }

    private static CounterSnapshot.CounterDataPointSnapshot counted(long value, Labels labels) {
        return CounterSnapshot.CounterDataPointSnapshot.builder()
                .value((double) value)
                .labels(labels)
                .build();
    }

    private static MetricSnapshot gauge(String name, String help, double value, String... labels) {
        return GaugeSnapshot.builder()
                .name(name)
                .help(help)
                .dataPoint(gauge(value, labels))
                .build();
    }

    private static GaugeDataPointSnapshot gauge(double value, String... labels) {
        return new GaugeDataPointSnapshot(value, Labels.of(labels), null);
    }
}
