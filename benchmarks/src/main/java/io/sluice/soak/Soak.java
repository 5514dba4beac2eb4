package io.sluice.soak;

import io.sluice.soak.Feed.Endpoint;
import io.sluice.soak.Feed.Role;
import io.sluice.soak.Tally.Fault;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import java.util.LongSummaryStatistics;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.Callable;
import java.util.concurrent.TimeUnit;
import java.util.function.ToDoubleFunction;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/** Runs the daemon under load, monitors it, and prints a table of the invariants that held or failed. */
@Command(
        name = "soak",
        mixinStandardHelpOptions = true,
        description =
                "Runs the built distribution under every kind of load at once, checks each byte, and prints invariants.")
@SuppressWarnings("NullAway.Init") // picocli sets the fields
public final class Soak implements Callable<Integer> {
    @Option(
            names = "--sluice",
            paramLabel = "FILE",
            required = true,
            description = "launcher script of the distribution")
    private Path launcher;

    @Option(names = "--minutes", defaultValue = "20", description = "duration of the load (default: ${DEFAULT-VALUE})")
    private double minutes;

    @Option(
            names = "--seed",
            defaultValue = "1",
            description = "seed of the random numbers (default: ${DEFAULT-VALUE})")
    private long seed;

    @Option(names = "--rate", defaultValue = "1", description = "factor for all rates (default: ${DEFAULT-VALUE})")
    private double rate;

    @Option(
            names = "--sessions",
            defaultValue = "1000",
            description = "long-lived connections that are always busy (default: ${DEFAULT-VALUE})")
    private int connections;

    @Option(
            names = "--short-connections",
            paramLabel = "N",
            description = "run only this number of short connections, without other load")
    private int shortConnections;

    @Option(
            names = "--udp-queries",
            paramLabel = "RATE",
            description = "run only UDP queries at this rate per second, each from a new port")
    private int udpQueries;

    @Option(
            names = "--seconds",
            defaultValue = "120",
            description = "duration of --udp-queries (default: ${DEFAULT-VALUE})")
    private int seconds;

    /**
     * Two thirds of six minutes. Fewer samples give no trend, since a heap of 20 MB varies by half between two samples.
     */
    private static final int MIN_TREND_SAMPLES = 24;

    private final Tally tally = new Tally();
    private final List<Sample> samples = new ArrayList<>();
    private final List<String> report = new ArrayList<>();
    private boolean passed = true;
    /** Number of samples taken under load. */
    private int loadSamples;

    private volatile boolean watching = true;
    private volatile @Nullable DaemonProcess daemon;

    /** Memory and CPU time of the daemon at one moment. */
    private record Sample(long nanos, double minute, long heapKilobytes, long residentKilobytes, long ticks) {}

    public static void main(String[] args) {
        System.exit(new CommandLine(new Soak()).execute(args));
    }

    @Override
    public Integer call() throws Exception {
        Path directory = Files.createTempDirectory("sluice-soak-");
        Runtime.getRuntime().addShutdownHook(new Thread(() -> cleanUp(directory)));
        Feed feed = new Feed(directory, seed);
        try (TcpLoad tcp = new TcpLoad(feed, seed, tally);
                UdpLoad udp = new UdpLoad(feed, seed, tally);
                DaemonProcess started = new DaemonProcess(launcher, feed.path(), directory, flags())) {
            daemon = started;
            try {
                run(feed, tcp, udp, started);
            } catch (IOException e) {
                started.log()
                        .lines()
                        .skip(Math.max(0, started.log().lines().count() - 60))
                        .forEach(System.out::println);
                System.out.println("the end of the daemon's log is above; " + started);
                throw e;
            }
        }
        report.forEach(System.out::println);
        return passed ? 0 : 1;
    }

    private boolean everything() {
        return shortConnections == 0 && udpQueries == 0;
    }

    /** Short idle timeouts, so that flows expire under load; the defaults for UDP queries alone. */
    private List<String> flags() {
        return udpQueries > 0 ? List.of() : List.of("--udp-unreplied-timeout=10s", "--udp-replied-timeout=20s");
    }

    private void run(Feed feed, TcpLoad tcp, UdpLoad udp, DaemonProcess daemon) throws Exception {
        // Let the daemon open the descriptors of its own pages before they are counted.
        for (int i = 0; i < 20; i++) {
            daemon.probe(tally);
        }
        daemon.liveHeapKilobytes();
        long descriptors = daemon.descriptors();
        Map<String, Long> threads = daemon.threads();
        if (everything()) {
            tcp.everything(connections, rate);
            udp.everything(rate);
        } else if (shortConnections > 0) {
            tcp.shortOnly(shortConnections, 64);
        } else {
            udp.queries(udpQueries, feed.with(false, Role.STEADY).subList(0, 1));
        }
        long start = System.nanoTime();
        tcp.start();
        udp.start();
        Thread changer = new Thread(() -> change(feed, tcp), "soak-feed");
        if (everything()) {
            changer.start();
        }
        watch(start, tcp, udp, daemon);
        tcp.ending = true;
        udp.ending = true;
        watching = false;
        changer.join();
        awaitIdle(start, tcp, udp, daemon, descriptors);
        check(feed, tcp, udp, daemon, descriptors, threads);
    }

    /**
     * Changes the feed 10,000 times a minute, catching up after a pause, and every three seconds removes or adds many
     * endpoints.
     */
    private void change(Feed feed, TcpLoad tcp) {
        try {
            TimeUnit.SECONDS.sleep(3);
            long start = System.nanoTime();
            long nextEventNanos = start;
            for (int turn = 0; watching; ) {
                long now = System.nanoTime();
                if (now >= nextEventNanos) {
                    nextEventNanos += 3_000_000_000L;
                    feed.setVanishing(turn % 3 == 1);
                    feed.removeNext(turn++);
                }
                if (feed.updates() < (now - start) / 1e9 * 10_000 / 60) {
                    feed.churn();
                } else {
                    TimeUnit.MILLISECONDS.sleep(2);
                }
            }
            feed.restore();
        } catch (IOException | InterruptedException e) {
            tcp.fault(e);
        }
    }

    private void watch(long start, TcpLoad tcp, UdpLoad udp, DaemonProcess daemon) throws Exception {
        long end = start + (long) ((everything() ? minutes * 60 : udpQueries > 0 ? seconds : 3_600) * 1e9);
        long next = start;
        while (System.nanoTime() < end && !tcp.ending) {
            daemon.probe(tally);
            if (System.nanoTime() >= next) {
                next += 10_000_000_000L;
                sample(start, udp, daemon);
            }
            TimeUnit.MILLISECONDS.sleep(500);
        }
    }

    private void sample(long start, UdpLoad udp, DaemonProcess daemon) throws Exception {
        long now = System.nanoTime();
        Sample sample = new Sample(
                now, (now - start) / 60e9, daemon.liveHeapKilobytes(), daemon.residentKilobytes(), daemon.ticks());
        Map<String, Double> metrics = daemon.scrape();
        Sample last = samples.isEmpty() ? sample : samples.get(samples.size() - 1);
        samples.add(sample);
        System.out.printf(
                Locale.ROOT,
                "%5.1f min  sessions %.0f flows %.0f  exchanges %d short %d queries %d (%d waiting)  fds %d heap %.1f MB rss %d MB cpu %.0f %%  faults %d%n",
                sample.minute,
                metrics.get("sluice_sessions_active"),
                metrics.get("sluice_flows_active"),
                tally.of("exchanges"),
                tally.of("short"),
                tally.of("queries"),
                udp.open(),
                daemon.descriptors(),
                sample.heapKilobytes / 1e3,
                sample.residentKilobytes / 1000,
                last.nanos == now ? 0 : (sample.ticks - last.ticks) / ((sample.nanos - last.nanos) / 1e9),
                tally.faults());
    }

    /** Waits until all connections and queries have ended, then for the UDP idle timeouts. */
    private void awaitIdle(long start, TcpLoad tcp, UdpLoad udp, DaemonProcess daemon, long descriptors)
            throws Exception {
        System.out.println("the load has ended; waiting for open connections, flows and timers");
        loadSamples = samples.size();
        long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(120);
        while (tcp.open() + udp.open() > 0 && System.nanoTime() < deadline) {
            TimeUnit.MILLISECONDS.sleep(200);
        }
        // The longest timer is the UDP idle timeout of 120 s.
        deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(130);
        while (daemon.descriptors() != descriptors && System.nanoTime() < deadline) {
            sample(start, udp, daemon);
            TimeUnit.SECONDS.sleep(10);
        }
        sample(start, udp, daemon);
    }

    private void check(
            Feed feed, TcpLoad tcp, UdpLoad udp, DaemonProcess daemon, long descriptors, Map<String, Long> threads)
            throws Exception {
        Map<String, Double> metrics = daemon.scrape();
        report.add("");
        report.add("| invariant | result | observed |");
        report.add("|---|---|---|");
        for (Fault fault : Fault.values()) {
            check(fault.invariant, tally.of(fault) == 0, tally.of(fault) + " faults");
        }
        check(
                "all connections and queries have ended",
                tcp.open() + udp.open() == 0,
                tcp.open() + " TCP, " + udp.open() + " UDP open");
        long now = daemon.descriptors();
        check("same number of descriptors as before", now == descriptors, descriptors + " before, " + now + " after");
        Map<String, Long> after = daemon.threads();
        check("same threads as before", after.equals(threads), difference(threads, after));
        double left = value(metrics, "sluice_sessions_active") + value(metrics, "sluice_flows_active");
        check("no session or flow left", left == 0, left + " left");
        check(
                "no datagram dropped by Sluice",
                value(metrics, "sluice_datagrams_dropped_total") == 0,
                value(metrics, "sluice_datagrams_dropped_total") + "");
        LongSummaryStatistics connections = feed.with(true, Role.STEADY).get(0).endpoints().stream()
                .mapToLong((Endpoint endpoint) -> endpoint.connections)
                .summaryStatistics();
        check(
                "exact round robin",
                connections.getMax() - connections.getMin() <= 1,
                connections.getMin() + " to " + connections.getMax() + " connections per endpoint");
        if (everything()) {
            checkTrend("used heap does not grow", sample -> sample.heapKilobytes, 3_000);
            checkTrend("resident memory does not grow", sample -> sample.residentKilobytes, 12_000);
            check(
                    "10,000 endpoint updates a minute",
                    feed.updates() > (minutes - 0.1) * 9_900,
                    feed.updates() + " updates");
        }
        if (udpQueries > 0) {
            check(
                    "query rate reached",
                    tally.of("queries") > 0.98 * udpQueries * seconds,
                    tally.of("queries") + " queries");
        }
        int exit = daemon.stop();
        check("graceful shutdown", exit == 0, "exit code " + exit);
        List<String> problems = daemon.problems();
        check("no warning, error or leak in the log", problems.isEmpty(), problems.size() + " lines");
        problems.stream().limit(10).forEach(System.out::println);
        report.add("");
        report.add("Operations: " + tally.done());
        report.add("Counters of Sluice that are not zero: " + counted(metrics));
    }

    private static String difference(Map<String, Long> before, Map<String, Long> after) {
        Map<String, Long> all = new TreeMap<>(after);
        before.forEach((name, count) -> all.merge(name, -count, Long::sum));
        all.values().removeIf(count -> count == 0);
        long sum = after.values().stream().mapToLong(Long::longValue).sum();
        return sum + " after" + (all.isEmpty() ? "" : ", change " + all);
    }

    private static double value(Map<String, Double> metrics, String name) {
        return metrics.getOrDefault(name, 0.0);
    }

    private static String counted(Map<String, Double> metrics) {
        StringBuilder text = new StringBuilder();
        metrics.forEach((name, value) -> {
            if (value != 0 && name.endsWith("_total")) {
                text.append("%s %.0f, ".formatted(name.replace("sluice_", "").replace("_total", ""), value));
            }
        });
        return text.toString();
    }

    /** Fits a line to the samples after the first third, which is warm-up, and checks that its rise is small. */
    private void checkTrend(String invariant, ToDoubleFunction<Sample> figure, double allowedKilobytes) {
        List<Sample> fitted = samples.subList(loadSamples / 3, loadSamples);
        if (fitted.size() < MIN_TREND_SAMPLES) {
            report.add("| " + invariant + " | | not checked: the run was too short |");
            return;
        }
        double meanX = fitted.stream().mapToDouble(Sample::minute).average().orElse(0);
        double meanY = fitted.stream().mapToDouble(figure).average().orElse(0);
        double covariance = 0;
        double variance = 0;
        for (Sample sample : fitted) {
            covariance += (sample.minute - meanX) * (figure.applyAsDouble(sample) - meanY);
            variance += (sample.minute - meanX) * (sample.minute - meanX);
        }
        double perMinute = variance == 0 ? 0 : covariance / variance;
        double rise = fitted.isEmpty() ? 0 : perMinute * (fitted.get(fitted.size() - 1).minute - fitted.get(0).minute);
        check(
                invariant,
                rise <= Math.max(allowedKilobytes, 0.05 * meanY),
                "%.1f MB, %+.0f kB a minute, %d samples".formatted(meanY / 1e3, perMinute, fitted.size()));
    }

    private void check(String invariant, boolean ok, String observed) {
        passed &= ok;
        report.add("| " + invariant + " | " + (ok ? "PASS" : "**FAIL**") + " | " + observed + " |");
    }

    /** Stops the daemon and deletes the directory. Retries, since after an interrupt the feed may still be written. */
    private void cleanUp(Path directory) {
        watching = false;
        if (daemon != null) {
            daemon.close();
        }
        for (int attempt = 0; Files.exists(directory) && attempt < 10; attempt++) {
            try (Stream<Path> files = Files.walk(directory)) {
                for (Path path : files.sorted(Comparator.reverseOrder()).toList()) {
                    Files.deleteIfExists(path);
                }
            } catch (IOException | UncheckedIOException e) {
                System.err.println(directory + ": " + e);
            }
        }
    }
}
