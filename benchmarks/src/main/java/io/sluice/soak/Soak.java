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

/** Runs the daemon under load, watches it, and says in a table which invariants held. */
@Command(
        name = "soak",
        mixinStandardHelpOptions = true,
        description = "Runs the built distribution under every kind of load at once and checks each byte.")
@SuppressWarnings("NullAway.Init") // picocli sets the fields
public final class Soak implements Callable<Integer> {
    @Option(names = "--sluice", paramLabel = "FILE", required = true, description = "the launcher of the distribution")
    private Path launcher;

    @Option(
            names = "--minutes",
            defaultValue = "20",
            description = "how long everything runs at once (${DEFAULT-VALUE})")
    private double minutes;

    @Option(names = "--seed", defaultValue = "1", description = "of all that is random (${DEFAULT-VALUE})")
    private long seed;

    @Option(names = "--rate", defaultValue = "1", description = "multiplies all rates (${DEFAULT-VALUE})")
    private double rate;

    @Option(
            names = "--sessions",
            defaultValue = "1000",
            description = "long sessions that are busy all the time (${DEFAULT-VALUE})")
    private int sessions;

    @Option(names = "--short-connections", paramLabel = "N", description = "only this: so many short connections")
    private int shortConnections;

    @Option(names = "--udp-queries", paramLabel = "RATE", description = "only this: so many fresh ports a second")
    private int udpQueries;

    @Option(names = "--seconds", defaultValue = "120", description = "how long --udp-queries runs (${DEFAULT-VALUE})")
    private int seconds;

    /** Two thirds of six minutes: a heap of 20 MB goes up and down by half between two samples. */
    private static final int SAMPLES_FOR_A_TREND = 24;

    private final Tally tally = new Tally();
    private final List<Sample> samples = new ArrayList<>();
    private final List<String> report = new ArrayList<>();
    private boolean passed = true;
    /** How many of the samples were taken under load. */
    private int loaded;

    private volatile boolean watching = true;
    private volatile @Nullable Proxy proxy;

    /** The daemon at one moment. */
    private record Sample(long nanos, double minute, long heapKilobytes, long residentKilobytes, long ticks) {}

    public static void main(String[] args) {
        System.exit(new CommandLine(new Soak()).execute(args));
    }

    @Override
    public Integer call() throws Exception {
        Path folder = Files.createTempDirectory("sluice-soak-");
        Runtime.getRuntime().addShutdownHook(new Thread(() -> cleanUp(folder)));
        Feed feed = new Feed(folder, seed);
        try (TcpLoad tcp = new TcpLoad(feed, seed, tally);
                UdpLoad udp = new UdpLoad(feed, seed, tally);
                Proxy started = new Proxy(launcher, feed.path(), folder, flags())) {
            proxy = started;
            try {
                run(feed, tcp, udp, started);
            } catch (IOException e) {
                started.log()
                        .lines()
                        .skip(Math.max(0, started.log().lines().count() - 60))
                        .forEach(System.out::println);
                System.out.println("above, the end of the daemon's log; " + started);
                throw e;
            }
        }
        report.forEach(System.out::println);
        return passed ? 0 : 1;
    }

    private boolean everything() {
        return shortConnections == 0 && udpQueries == 0;
    }

    /** Short timers, so that flows expire during the load too; for queries alone those that users have. */
    private List<String> flags() {
        return udpQueries > 0 ? List.of() : List.of("--udp-unreplied-timeout=10s", "--udp-replied-timeout=20s");
    }

    private void run(Feed feed, TcpLoad tcp, UdpLoad udp, Proxy proxy) throws Exception {
        // What the daemon opens once, for its own pages, is there before it is counted.
        for (int i = 0; i < 20; i++) {
            proxy.probe(tally);
        }
        proxy.liveHeapKilobytes();
        long descriptors = proxy.descriptors();
        Map<String, Long> threads = proxy.threads();
        if (everything()) {
            tcp.everything(sessions, rate);
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
        watch(start, tcp, udp, proxy);
        tcp.ending = true;
        udp.ending = true;
        watching = false;
        changer.join();
        settle(start, tcp, udp, proxy, descriptors);
        judge(feed, tcp, udp, proxy, descriptors, threads);
    }

    /** Ten thousand changes a minute, on a schedule that makes up for a pause; the storms within the storm. */
    private void change(Feed feed, TcpLoad tcp) {
        try {
            TimeUnit.SECONDS.sleep(3);
            long start = System.nanoTime();
            long nextEventNanos = start;
            for (int turn = 0; watching; ) {
                long now = System.nanoTime();
                if (now >= nextEventNanos) {
                    nextEventNanos += 3_000_000_000L;
                    feed.vanish(turn % 3 == 1);
                    feed.leave(turn++);
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

    private void watch(long start, TcpLoad tcp, UdpLoad udp, Proxy proxy) throws Exception {
        long end = start + (long) ((everything() ? minutes * 60 : udpQueries > 0 ? seconds : 3_600) * 1e9);
        long next = start;
        while (System.nanoTime() < end && !tcp.ending) {
            proxy.probe(tally);
            if (System.nanoTime() >= next) {
                next += 10_000_000_000L;
                sample(start, udp, proxy);
            }
            TimeUnit.MILLISECONDS.sleep(500);
        }
    }

    private void sample(long start, UdpLoad udp, Proxy proxy) throws Exception {
        long now = System.nanoTime();
        Sample sample = new Sample(
                now, (now - start) / 60e9, proxy.liveHeapKilobytes(), proxy.residentKilobytes(), proxy.ticks());
        Map<String, Double> metrics = proxy.scrape();
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
                proxy.descriptors(),
                sample.heapKilobytes / 1e3,
                sample.residentKilobytes / 1000,
                last.nanos == now ? 0 : (sample.ticks - last.ticks) / ((sample.nanos - last.nanos) / 1e9),
                tally.faults());
    }

    /** Waits for what was begun to end, and then for the UDP timers. */
    private void settle(long start, TcpLoad tcp, UdpLoad udp, Proxy proxy, long descriptors) throws Exception {
        System.out.println("the load ends");
        loaded = samples.size();
        long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(120);
        while (tcp.open() + udp.open() > 0 && System.nanoTime() < deadline) {
            TimeUnit.MILLISECONDS.sleep(200);
        }
        // The longest timer is UDP's of 120 s.
        deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(130);
        while (proxy.descriptors() != descriptors && System.nanoTime() < deadline) {
            sample(start, udp, proxy);
            TimeUnit.SECONDS.sleep(10);
        }
        sample(start, udp, proxy);
    }

    private void judge(Feed feed, TcpLoad tcp, UdpLoad udp, Proxy proxy, long descriptors, Map<String, Long> threads)
            throws Exception {
        Map<String, Double> metrics = proxy.scrape();
        report.add("");
        report.add("| invariant | | seen |");
        report.add("|---|---|---|");
        for (Fault fault : Fault.values()) {
            judge(fault.invariant, tally.of(fault) == 0, tally.of(fault) + " faults");
        }
        judge(
                "everything begun has ended",
                tcp.open() + udp.open() == 0,
                tcp.open() + " TCP, " + udp.open() + " UDP open");
        long now = proxy.descriptors();
        judge("descriptors as before", now == descriptors, descriptors + " before, " + now + " after");
        Map<String, Long> after = proxy.threads();
        judge("threads as before", after.equals(threads), difference(threads, after));
        double left = value(metrics, "sluice_sessions_active") + value(metrics, "sluice_flows_active");
        judge("no session and no flow left", left == 0, left + " left");
        judge(
                "no datagram dropped by the proxy",
                value(metrics, "sluice_datagrams_dropped_total") == 0,
                value(metrics, "sluice_datagrams_dropped_total") + "");
        LongSummaryStatistics turns = feed.with(true, Role.STEADY).get(0).endpoints().stream()
                .mapToLong((Endpoint endpoint) -> endpoint.connections)
                .summaryStatistics();
        judge(
                "rotation exact",
                turns.getMax() - turns.getMin() <= 1,
                turns.getMin() + " to " + turns.getMax() + " each");
        if (everything()) {
            judgeTrend("heap after collection flat", sample -> sample.heapKilobytes, 3_000);
            judgeTrend("resident memory flat", sample -> sample.residentKilobytes, 12_000);
            judge(
                    "10,000 endpoint updates a minute",
                    feed.updates() > (minutes - 0.1) * 9_900,
                    feed.updates() + " updates");
        }
        if (udpQueries > 0) {
            judge("rate kept", tally.of("queries") > 0.98 * udpQueries * seconds, tally.of("queries") + " queries");
        }
        int exit = proxy.stop();
        judge("ends in order", exit == 0, "exit code " + exit);
        List<String> complaints = proxy.complaints();
        judge("no warning, error or leak in the log", complaints.isEmpty(), complaints.size() + " lines");
        complaints.stream().limit(10).forEach(System.out::println);
        report.add("");
        report.add("Done: " + tally.done());
        report.add("Counted by the proxy, if not zero: " + counted(metrics));
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

    /** Fits a line to the samples after the first third, which is warm-up. What it rises in that time must be small. */
    private void judgeTrend(String invariant, ToDoubleFunction<Sample> figure, double allowedKilobytes) {
        List<Sample> fitted = samples.subList(loaded / 3, loaded);
        if (fitted.size() < SAMPLES_FOR_A_TREND) {
            report.add("| " + invariant + " | | too short a run to tell |");
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
        judge(
                invariant,
                rise <= Math.max(allowedKilobytes, 0.05 * meanY),
                "%.1f MB, %+.0f kB a minute, %d samples".formatted(meanY / 1e3, perMinute, fitted.size()));
    }

    private void judge(String invariant, boolean held, String seen) {
        passed &= held;
        report.add("| " + invariant + " | " + (held ? "PASS" : "**FAIL**") + " | " + seen + " |");
    }

    /** Also when we are interrupted: then the feed may still be written while it is deleted. */
    private void cleanUp(Path folder) {
        watching = false;
        if (proxy != null) {
            proxy.close();
        }
        for (int attempt = 0; Files.exists(folder) && attempt < 10; attempt++) {
            try (Stream<Path> files = Files.walk(folder)) {
                for (Path path : files.sorted(Comparator.reverseOrder()).toList()) {
                    Files.deleteIfExists(path);
                }
            } catch (IOException | UncheckedIOException e) {
                System.err.println(folder + ": " + e);
            }
        }
    }
}
