package io.sluice.ops;

import io.prometheus.metrics.config.EscapingScheme;
import io.prometheus.metrics.expositionformats.PrometheusTextFormatWriter;
import io.prometheus.metrics.instrumentation.jvm.JvmMetrics;
import io.prometheus.metrics.model.registry.PrometheusRegistry;
import io.prometheus.metrics.model.snapshots.ClassicHistogramBuckets;
import io.prometheus.metrics.model.snapshots.CounterSnapshot;
import io.prometheus.metrics.model.snapshots.GaugeSnapshot;
import io.prometheus.metrics.model.snapshots.GaugeSnapshot.GaugeDataPointSnapshot;
import io.prometheus.metrics.model.snapshots.HistogramSnapshot;
import io.prometheus.metrics.model.snapshots.Labels;
import io.prometheus.metrics.model.snapshots.MetricSnapshot;
import io.prometheus.metrics.model.snapshots.MetricSnapshots;
import io.sluice.document.Problem;
import io.sluice.feed.WatchStatus;
import io.sluice.forward.FrontendStatus;
import io.sluice.model.Protocol;
import io.sluice.model.ServicePortName;
import io.sluice.stats.Buckets;
import io.sluice.stats.Counter;
import io.sluice.stats.ServiceStats;
import io.sluice.stats.Stats;
import io.sluice.stats.Timing;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.EnumSet;
import java.util.List;
import java.util.Locale;
import java.util.function.IntToLongFunction;
import java.util.function.Supplier;
import org.HdrHistogram.Histogram;

/**
 * All metrics in the Prometheus text format, read from {@link Stats} at each scrape. The series of a Service are not
 * registered, so they disappear when the Service is removed.
 */
public final class Metrics {
    static final String CONTENT_TYPE = PrometheusTextFormatWriter.CONTENT_TYPE;

    private final Supplier<Stats> stats;
    private final Supplier<DaemonState> state;
    private final PrometheusRegistry registry;
    private final PrometheusTextFormatWriter writer = PrometheusTextFormatWriter.create();

    /**
     * Creates the metrics, and registers those of the JVM.
     *
     * @param registry source of additional metrics to report
     */
    public Metrics(Supplier<Stats> stats, Supplier<DaemonState> state, PrometheusRegistry registry) {
        this.stats = stats;
        this.state = state;
        this.registry = registry;
        JvmMetrics.builder().register(registry);
    }

    /**
     * Renders all metrics.
     *
     * @param timingsPerService whether to include histograms for each service port, which adds many series
     */
    String scrape(boolean timingsPerService) throws IOException {
        List<MetricSnapshot> all = new ArrayList<>();
        List<ServiceStats> services = stats.get().services();
        List<ServiceStats> used =
                services.stream().filter(ServiceStats::hadTraffic).toList();
        for (Counter counter : Counter.values()) {
            all.add(perService(counter, opened(counter) ? services : used));
        }
        for (Timing timing : Timing.values()) {
            HistogramSnapshot.Builder daemon =
                    HistogramSnapshot.builder().name(name(timing)).help("Seconds " + timing.text());
            daemon.dataPoint(dataPoint(stats.get().total().read(timing)));
            all.add(daemon.build());
            if (timingsPerService) {
                all.add(perService(timing, services));
            }
        }
        state(state.get(), all);
        registry.scrape().forEach(all::add);
        ByteArrayOutputStream out = new ByteArrayOutputStream(64 * 1024);
        writer.write(out, new MetricSnapshots(all), EscapingScheme.DEFAULT);
        return out.toString(StandardCharsets.UTF_8);
    }

    private static MetricSnapshot perService(Counter counter, List<ServiceStats> services) {
        String name = "sluice_" + counter.name().toLowerCase(Locale.ROOT);
        CounterSnapshot.Builder counters = CounterSnapshot.builder().name(name).help(help(counter.text()));
        GaugeSnapshot.Builder gauges = GaugeSnapshot.builder().name(name).help(help(counter.text()));
        for (ServiceStats service : services) {
            if (!concerns(counter, service.name().protocol())) {
                continue;
            }
            double value = service.get(counter);
            if (counter.isGauge()) {
                gauges.dataPoint(new GaugeDataPointSnapshot(value, labels(service.name()), null));
            } else {
                counters.dataPoint(CounterSnapshot.CounterDataPointSnapshot.builder()
                        .value(value)
                        .labels(labels(service.name()))
                        .build());
            }
        }
        return counter.isGauge() ? gauges.build() : counters.build();
    }

    /**
     * Returns whether this counter is reported for a service port without traffic. An initial 0 makes the first
     * connection visible as an increase. All other counters of an idle port are omitted: in a cluster with thousands of
     * Services, most of the output would be zeros.
     */
    private static boolean opened(Counter counter) {
        return counter == Counter.SESSIONS_OPENED || counter == Counter.FLOWS_OPENED;
    }

    /** Returns whether a counter applies to a protocol: flow counters only to UDP, session counters only to TCP. */
    private static boolean concerns(Counter counter, Protocol protocol) {
        String name = counter.name();
        boolean tcpOnly =
                name.startsWith("SESSIONS_") || name.startsWith("CONNECT_RE") || name.equals("CONNECT_TIMEOUT");
        boolean udpOnly = name.startsWith("FLOWS_") || name.startsWith("DATAGRAMS_");
        return protocol == Protocol.TCP ? !udpOnly : !tcpOnly;
    }

    private static MetricSnapshot perService(Timing timing, List<ServiceStats> services) {
        HistogramSnapshot.Builder histograms = HistogramSnapshot.builder()
                .name("sluice_service_" + name(timing).substring("sluice_".length()))
                .help("Seconds " + timing.text() + ", by service");
        for (ServiceStats service : services) {
            if (service.hasTimes()) {
                histograms.dataPoint(dataPoint(
                        bucket -> service.count(timing, bucket),
                        service.sumNanos(timing) / 1e9,
                        labels(service.name())));
            }
        }
        return histograms.build();
    }

    private static String name(Timing timing) {
        return "sluice_" + timing.name().toLowerCase(Locale.ROOT) + "_duration_seconds";
    }

    private static HistogramSnapshot.HistogramDataPointSnapshot dataPoint(Histogram micros) {
        long[] counts = new long[Buckets.count()];
        long before = 0;
        for (int bucket = 0; bucket < counts.length; bucket++) {
            double bound = Buckets.boundSeconds(bucket);
            long upTo = Double.isInfinite(bound)
                    ? micros.getTotalCount()
                    : micros.getCountBetweenValues(0, Math.round(bound * 1e6));
            counts[bucket] = upTo - before;
            before = upTo;
        }
        return dataPoint(bucket -> counts[bucket], micros.getMean() * micros.getTotalCount() / 1e6, Labels.EMPTY);
    }

    private static HistogramSnapshot.HistogramDataPointSnapshot dataPoint(
            IntToLongFunction counts, double sumSeconds, Labels labels) {
        ClassicHistogramBuckets.Builder buckets = ClassicHistogramBuckets.builder();
        for (int bucket = 0; bucket < Buckets.count(); bucket++) {
            buckets.bucket(Buckets.boundSeconds(bucket), counts.applyAsLong(bucket));
        }
        return HistogramSnapshot.HistogramDataPointSnapshot.builder()
                .classicHistogramBuckets(buckets.build())
                .sum(sumSeconds)
                .labels(labels)
                .build();
    }

    private static Labels labels(ServicePortName name) {
        return Labels.of(
                "namespace", name.namespace(),
                "service", name.service(),
                "port", name.port(),
                "protocol", name.protocol().text());
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
        watches(now.sync().watches(), all);
        all.add(gauge("sluice_build_info", "Version of Sluice", 1, "version", BuildInfo.version()));
    }

    private static void watches(List<WatchStatus> watches, List<MetricSnapshot> all) {
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
        Instant now = Instant.now();
        for (WatchStatus watch : watches) {
            Labels labels = Labels.of("resource", watch.resource());
            synced.dataPoint(new GaugeDataPointSnapshot(watch.synced() ? 1 : 0, labels, null));
            up.dataPoint(new GaugeDataPointSnapshot(watch.trouble().isEmpty() ? 1 : 0, labels, null));
            watch.lastEvent()
                    .ifPresent(at -> age.dataPoint(new GaugeDataPointSnapshot(
                            Math.max(0, Duration.between(at, now).toMillis()) / 1e3, labels, null)));
            reconnects.dataPoint(counted(watch.reconnects(), labels));
            relists.dataPoint(counted(watch.relists(), labels));
        }
        all.addAll(List.of(synced.build(), up.build(), age.build(), reconnects.build(), relists.build()));
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

    private static String help(String text) {
        return text.substring(0, 1).toUpperCase(Locale.ROOT) + text.substring(1);
    }
}
