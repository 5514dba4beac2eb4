package io.sluice.compare;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** What is measured, and with which program. */
enum Work {
    /** First, because it starts its contestants anew, which is the end of all warmth. */
    IDLE("idle", false),
    BULK_1("bulk-1", false),
    BULK_8("bulk-8", false),
    BULK_64("bulk-64", false),
    KEEP_ALIVE_1("keepalive-1", false),
    KEEP_ALIVE_64("keepalive-64", false),
    KEEP_ALIVE_512("keepalive-512", false),
    CONNECT("connect", false),
    LATENCY("latency", false),
    UDP_PING("udp-ping", true),
    UDP_THROUGHPUT("udp-throughput", true),
    UDP_FLOWS("udp-flows", true),
    /** Last, because it stops its contestants at every call. */
    SYSCALLS("syscalls", false);

    private static final int LATENCY_CONNECTIONS = 64;

    final String label;
    final boolean udp;

    Work(String label, boolean udp) {
        this.label = label;
        this.udp = udp;
    }

    /** What all works need. */
    record Setting(Bench bench, Shell shell, double seconds, int idleConnections, int requestsPerSecond) {}

    boolean suits(Contestant contestant) {
        if (this == IDLE || this == SYSCALLS) {
            return contestant.isProcess();
        }
        return !udp || contestant.hasUdp();
    }

    boolean needsWarmUp() {
        return this != IDLE && this != SYSCALLS;
    }

    static Work of(String label) {
        for (Work work : values()) {
            if (work.label.equals(label)) {
                return work;
            }
        }
        throw new IllegalArgumentException("no work is called " + label + "; see --help");
    }

    List<Figure> measure(Entry entry, Setting setting) throws IOException, InterruptedException {
        return switch (this) {
            case IDLE -> idle(entry, setting);
            case BULK_1 -> bulk(entry, setting, 1);
            case BULK_8 -> bulk(entry, setting, 8);
            case BULK_64 -> bulk(entry, setting, 64);
            case KEEP_ALIVE_1 -> keepAlive(entry, setting, 1);
            case KEEP_ALIVE_64 -> keepAlive(entry, setting, 64);
            case KEEP_ALIVE_512 -> keepAlive(entry, setting, 512);
            case CONNECT -> {
                Wrk wrk = Wrk.run(entry, setting, 32, setting.seconds, true);
                yield List.of(Figure.more(label, "connections/s", wrk.perSecond));
            }
            case LATENCY -> latency(entry, setting);
            case UDP_PING -> udpPing(entry, setting);
            case UDP_THROUGHPUT -> udp(entry, setting, "flood", Bench.FLOOD, "datagrams/s");
            case UDP_FLOWS -> udp(entry, setting, "queries", Bench.QUERY, "queries/s");
            case SYSCALLS -> systemCalls(entry, setting);
        };
    }

    private List<Figure> bulk(Entry entry, Setting setting, int streams) throws IOException, InterruptedException {
        String json = setting.bench.in(
                Bench.client(),
                "iperf3 -J -c %s -p %d -t %d -P %d"
                        .formatted(entry.address(), Bench.BULK, wholeSeconds(setting.seconds), streams));
        return List.of(Figure.more(
                label,
                "Gbit/s",
                number(json, "(?s)\"sum_received\":\\s*\\{.*?\"bits_per_second\":\\s*([0-9.e+]+)") / 1e9));
    }

    private List<Figure> keepAlive(Entry entry, Setting setting, int connections)
            throws IOException, InterruptedException {
        Wrk wrk = Wrk.run(entry, setting, connections, setting.seconds, false);
        List<Figure> figures = new ArrayList<>();
        figures.add(Figure.more(label, "requests/s", wrk.perSecond));
        if (connections == 1) {
            figures.add(Figure.less(label + " p50", "µs", wrk.medianMicros));
        }
        return figures;
    }

    private List<Figure> latency(Entry entry, Setting setting) throws IOException {
        double[] answer = setting.bench.load("rate %s %d %d %d %s %s"
                .formatted(
                        entry.address(),
                        Bench.HTTP,
                        setting.requestsPerSecond,
                        LATENCY_CONNECTIONS,
                        Math.min(2, setting.seconds),
                        setting.seconds));
        String[] names = {"p50", "p90", "p99", "p99.9", "p99.99", "max"};
        List<Figure> figures = new ArrayList<>();
        for (int i = 0; i < names.length; i++) {
            figures.add(Figure.less(label + " " + names[i], "µs", answer[i + 1]));
        }
        figures.add(Figure.note(label + ", lateness of the load p99", "µs", answer[names.length + 1]));
        return figures;
    }

    private List<Figure> udpPing(Entry entry, Setting setting) throws IOException, InterruptedException {
        String out = setting.bench.in(
                Bench.client(),
                "sockperf ping-pong -i %s -p %d -t %d"
                        .formatted(entry.address(), Bench.PING, wholeSeconds(setting.seconds)));
        return List.of(
                Figure.less(label + " p50", "µs one way", number(out, "percentile 50\\.000\\s*=\\s*([0-9.]+)")),
                Figure.less(label + " p99", "µs one way", number(out, "percentile 99\\.000\\s*=\\s*([0-9.]+)")));
    }

    private List<Figure> udp(Entry entry, Setting setting, String load, int port, String unit) throws IOException {
        double[] answer = setting.bench.load(
                "%s %s %d %s %s".formatted(load, entry.address(), port, entry.lane.clients(), setting.seconds));
        return List.of(Figure.more(label, unit, answer[0]), Figure.note(label + " lost", "datagrams", answer[1]));
    }

    private List<Figure> idle(Entry entry, Setting setting) throws IOException, InterruptedException {
        entry.restart();
        // One round of what is opened once: classes, buffers, tables.
        openIdle(entry, setting, 50);
        TimeUnit.MILLISECONDS.sleep(500);
        long before = entry.residentKilobytes();
        try {
            openIdle(entry, setting, setting.idleConnections);
            // A client is connected as soon as the kernel says so.
            for (int i = 0; entry.descriptors() < 2L * setting.idleConnections; i++) {
                if (i == 100) {
                    throw new IOException("%d descriptors for %d connections"
                            .formatted(entry.descriptors(), setting.idleConnections));
                }
                TimeUnit.MILLISECONDS.sleep(100);
            }
            TimeUnit.SECONDS.sleep(1);
            long after = entry.residentKilobytes();
            return List.of(
                    Figure.less(label, "kB/connection", (after - before) / (double) setting.idleConnections),
                    Figure.less(label + " RSS before", "MB", before / 1e3),
                    Figure.less(label + " RSS after", "MB", after / 1e3));
        } finally {
            setting.bench.load("close");
        }
    }

    private static void openIdle(Entry entry, Setting setting, int connections) throws IOException {
        setting.bench.load(
                "idle %s %d %d %s".formatted(entry.address(), Bench.HTTP, connections, entry.lane.clients()));
    }

    private List<Figure> systemCalls(Entry entry, Setting setting) throws IOException, InterruptedException {
        List<Figure> figures = new ArrayList<>();
        Map<String, Double> connection = traced(entry, setting, true);
        Map<String, Double> message = traced(entry, setting, false);
        connection.forEach(
                (call, count) -> figures.add(Figure.less(label + "/connection" + suffix(call), "calls", count)));
        message.forEach((call, count) -> figures.add(Figure.less(label + "/message" + suffix(call), "calls", count)));
        return figures;
    }

    private static String suffix(String call) {
        return call.equals("total") ? "" : " " + call;
    }

    /** Calls for each connection, or for each message: a request and its answer are two. */
    private static Map<String, Double> traced(Entry entry, Setting setting, boolean close)
            throws IOException, InterruptedException {
        Path counts = setting.shell.folder().resolve("strace.txt");
        Files.deleteIfExists(counts);
        List<String> command = new ArrayList<>(List.of("strace", "-c", "-f", "-o", counts.toString()));
        entry.pids().forEach(pid -> command.addAll(List.of("-p", String.valueOf(pid))));
        Process strace = setting.shell.start(setting.shell.folder().resolve("strace.log"), command);
        Wrk wrk;
        try {
            TimeUnit.SECONDS.sleep(1);
            wrk = Wrk.run(entry, setting, 32, 2, close);
            strace.destroy();
            strace.waitFor(10, TimeUnit.SECONDS);
        } finally {
            setting.shell.end(strace);
        }
        double things = close ? wrk.requests : wrk.requests * 2;
        Map<String, Double> result = new LinkedHashMap<>();
        for (String line : Files.readAllLines(counts)) {
            String[] words = line.trim().split("\\s+");
            if (words.length >= 5 && words[3].matches("\\d+")) {
                double each = Long.parseLong(words[3]) / things;
                String name = words[words.length - 1];
                if (each >= 0.05) {
                    result.put(name, each);
                }
            }
        }
        return result;
    }

    private static long wholeSeconds(double seconds) {
        return Math.max(1, Math.round(seconds));
    }

    private static double number(String text, String pattern) throws IOException {
        Matcher matcher = Pattern.compile(pattern).matcher(text);
        if (!matcher.find()) {
            throw new IOException("no " + pattern + " in\n" + text);
        }
        return Double.parseDouble(matcher.group(1));
    }

    /** What wrk says. */
    record Wrk(double perSecond, long requests, double medianMicros) {
        static Wrk run(Entry entry, Setting setting, int connections, double seconds, boolean close)
                throws IOException, InterruptedException {
            List<String> command = new ArrayList<>(List.of("wrk", "--latency", "-t", connections == 1 ? "1" : "2"));
            command.addAll(List.of("-c", "" + connections, "-d", wholeSeconds(seconds) + "s"));
            if (close) {
                command.addAll(List.of("-H", "Connection: close"));
            }
            command.add("http://" + entry.address() + ":" + Bench.HTTP + "/");
            String out = setting.shell.run(Bench.in(Bench.client(), command));
            if (out.contains("Socket errors") || out.contains("Non-2xx")) {
                throw new IOException(entry.contestant.label + ": " + out);
            }
            Matcher median = Pattern.compile("50%\\s+([0-9.]+)(us|ms|s)").matcher(out);
            double micros = !median.find()
                    ? 0
                    : Double.parseDouble(median.group(1))
                            * switch (median.group(2).toLowerCase(Locale.ROOT)) {
                                case "us" -> 1;
                                case "ms" -> 1e3;
                                default -> 1e6;
                            };
            return new Wrk(number(out, "Requests/sec:\\s+([0-9.]+)"), (long) number(out, "(\\d+) requests in"), micros);
        }
    }
}
