package io.sluice.ops;

import io.prometheus.metrics.model.snapshots.ClassicHistogramBuckets;
import io.prometheus.metrics.model.snapshots.CounterSnapshot;
import io.prometheus.metrics.model.snapshots.CounterSnapshot.CounterDataPointSnapshot;
import io.prometheus.metrics.model.snapshots.GaugeSnapshot;
import io.prometheus.metrics.model.snapshots.GaugeSnapshot.GaugeDataPointSnapshot;
import io.prometheus.metrics.model.snapshots.HistogramSnapshot;
import io.prometheus.metrics.model.snapshots.HistogramSnapshot.HistogramDataPointSnapshot;
import io.prometheus.metrics.model.snapshots.Labels;
import io.prometheus.metrics.model.snapshots.MetricSnapshot;
import io.sluice.model.Protocol;
import io.sluice.model.ServicePortName;
import io.sluice.stats.Buckets;
import io.sluice.stats.Counter;
import io.sluice.stats.ServiceStats;
import io.sluice.stats.Stats;
import io.sluice.stats.Timing;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.function.IntToLongFunction;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.HdrHistogram.Histogram;

/**
 * The metrics of the data path, read from {@link Stats}. The series of a Service are not registered, so they disappear
 * when the Service is removed.
 *
 * <p>Most Services of a cluster are idle, and most failures never occur. To keep the number of series small, a zero is
 * written only where it is needed: it makes the first connection of a service port visible as an increase.
 */
final class ServiceMetrics {
    /** The counters of each metric; several if the metric has the label {@code reason}. */
    private static final Map<String, List<Counter>> METRICS = Stream.of(Counter.values())
            .collect(Collectors.groupingBy(Counter::metric, LinkedHashMap::new, Collectors.toList()));

    /** Help texts of the metrics with the label {@code reason}. */
    private static final Map<String, String> HELP = Map.of(
            "sluice_sessions_rejected", "TCP connections reset before an endpoint accepted them, by reason",
            "sluice_sessions_aborted", "TCP connections that did not end with a FIN from both sides, by reason",
            "sluice_connect_failures", "failed connection attempts to endpoints, by reason",
            "sluice_flows_aborted", "UDP flows closed before their idle timeout, by reason",
            "sluice_datagrams_dropped", "datagrams that were not forwarded, by reason");

    /** Counters written for every service port, even if they are zero. */
    private static final Set<Counter> OPENED = Set.of(Counter.SESSIONS_OPENED, Counter.FLOWS_OPENED);

    /** Counters written for every service port that has had traffic, even if they are zero. */
    private static final Set<Counter> TRAFFIC = Set.of(
            Counter.SESSIONS_ACTIVE,
            Counter.FLOWS_ACTIVE,
            Counter.BYTES_TO_ENDPOINT,
            Counter.BYTES_TO_CLIENT,
            Counter.DATAGRAMS_TO_ENDPOINT,
            Counter.DATAGRAMS_TO_CLIENT);

    private ServiceMetrics() {}

    /**
     * Reads all metrics.
     *
     * @param timingsPerService whether to include histograms for each service port, which adds many series
     */
    static List<MetricSnapshot> read(Stats stats, boolean timingsPerService) {
        List<MetricSnapshot> all = new ArrayList<>();
        List<ServiceStats> services = stats.services();
        Set<ServiceStats> used =
                services.stream().filter(ServiceStats::hadTraffic).collect(Collectors.toSet());
        METRICS.forEach((name, counters) -> all.add(perService(name, counters, services, used)));
        for (Timing timing : Timing.values()) {
            all.add(HistogramSnapshot.builder()
                    .name(name(timing))
                    .help("Seconds " + timing.text())
                    .dataPoint(dataPoint(stats.total().read(timing)))
                    .build());
            if (timingsPerService) {
                all.add(perService(timing, services));
            }
        }
        return all;
    }

    private static MetricSnapshot perService(
            String name, List<Counter> counters, List<ServiceStats> services, Set<ServiceStats> used) {
        Counter first = counters.get(0);
        String text = HELP.getOrDefault(name, first.text());
        String help = text.substring(0, 1).toUpperCase(Locale.ROOT) + text.substring(1);
        CounterSnapshot.Builder totals = CounterSnapshot.builder().name(name).help(help);
        GaugeSnapshot.Builder gauges = GaugeSnapshot.builder().name(name).help(help);
        for (ServiceStats service : services) {
            for (Counter counter : counters) {
                double value = service.get(counter);
                if (value == 0 && !isWrittenAsZero(counter, service, used)) {
                    continue;
                }
                Labels labels = labels(service.name(), counter.reason());
                if (counter.isGauge()) {
                    gauges.dataPoint(new GaugeDataPointSnapshot(value, labels, null));
                } else {
                    totals.dataPoint(CounterDataPointSnapshot.builder()
                            .value(value)
                            .labels(labels)
                            .build());
                }
            }
        }
        return first.isGauge() ? gauges.build() : totals.build();
    }

    private static boolean isWrittenAsZero(Counter counter, ServiceStats service, Set<ServiceStats> used) {
        return concerns(counter, service.name().protocol())
                && (OPENED.contains(counter) || (TRAFFIC.contains(counter) && used.contains(service)));
    }

    private static boolean concerns(Counter counter, Protocol protocol) {
        String name = counter.name();
        boolean udpOnly = name.startsWith("FLOWS_") || name.startsWith("DATAGRAMS_");
        return protocol == Protocol.TCP ? !udpOnly : !name.startsWith("SESSIONS_");
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
                        labels(service.name(), "")));
            }
        }
        return histograms.build();
    }

    private static String name(Timing timing) {
        return "sluice_" + timing.name().toLowerCase(Locale.ROOT) + "_duration_seconds";
    }

    private static HistogramDataPointSnapshot dataPoint(Histogram micros) {
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

    private static HistogramDataPointSnapshot dataPoint(IntToLongFunction counts, double sumSeconds, Labels labels) {
        ClassicHistogramBuckets.Builder buckets = ClassicHistogramBuckets.builder();
        for (int bucket = 0; bucket < Buckets.count(); bucket++) {
            buckets.bucket(Buckets.boundSeconds(bucket), counts.applyAsLong(bucket));
        }
        return HistogramDataPointSnapshot.builder()
                .classicHistogramBuckets(buckets.build())
                .sum(sumSeconds)
                .labels(labels)
                .build();
    }

    private static Labels labels(ServicePortName name, String reason) {
        Labels labels = Labels.of(
                "namespace", name.namespace(),
                "service", name.service(),
                "port", name.port(),
                "protocol", name.protocol().text());
        return reason.isEmpty() ? labels : labels.add("reason", reason);
    }
}
