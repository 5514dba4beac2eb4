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

/** The workloads, each with the program that generates it. */
enum Workload {
    /** First, because it restarts the contestants, which then have to warm up again. */
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
    /** Last, because strace slows down the contestants. */
    SYSCALLS("syscalls", false);

    private static final int LATENCY_CONNECTIONS = 64;

    final String label;
    final boolean udp;

    Workload(String label, boolean udp) {
        this.label = label;
        this.udp = udp;
    }

    /** The parameters of all workloads. */
    record Context(
            TestNetwork network, CommandRunner commands, double seconds, int idleConnections, int requestsPerSecond) {}

    boolean supports(Contestant contestant) {
        if (this == IDLE || this == SYSCALLS) {
            return contestant.isProxy();
        }
        return !udp || contestant.hasUdp();
    }

    boolean needsWarmUp() {
        return this != IDLE && this != SYSCALLS;
    }

    static Workload of(String label) {
        for (Workload workload : values()) {
            if (workload.label.equals(label)) {
                return workload;
            }
        }
        throw new IllegalArgumentException("unknown workload '" + label + "'; see --help");
    }

    List<Figure> measure(ContestantNode node, Context context) throws IOException, InterruptedException {
        return switch (this) {
            case IDLE -> idle(node, context);
            case BULK_1 -> bulk(node, context, 1);
            case BULK_8 -> bulk(node, context, 8);
            case BULK_64 -> bulk(node, context, 64);
            case KEEP_ALIVE_1 -> keepAlive(node, context, 1);
            case KEEP_ALIVE_64 -> keepAlive(node, context, 64);
            case KEEP_ALIVE_512 -> keepAlive(node, context, 512);
            case CONNECT -> {
                Wrk wrk = Wrk.run(node, context, 32, context.seconds, true);
                yield List.of(Figure.more(label, "connections/s", wrk.perSecond));
            }
            case LATENCY -> latency(node, context);
            case UDP_PING -> udpPing(node, context);
            case UDP_THROUGHPUT -> udp(node, context, "flood", TestNetwork.FLOOD, "datagrams/s");
            case UDP_FLOWS -> udp(node, context, "queries", TestNetwork.QUERY, "queries/s");
            case SYSCALLS -> systemCalls(node, context);
        };
    }

    private List<Figure> bulk(ContestantNode node, Context context, int streams)
            throws IOException, InterruptedException {
        String json = context.network.inClient("iperf3 -J -c %s -p %d -t %d -P %d"
                .formatted(node.address(), TestNetwork.BULK, wholeSeconds(context.seconds), streams));
        return List.of(Figure.more(
                label,
                "Gbit/s",
                number(json, "(?s)\"sum_received\":\\s*\\{.*?\"bits_per_second\":\\s*([0-9.e+]+)") / 1e9));
    }

    private List<Figure> keepAlive(ContestantNode node, Context context, int connections)
            throws IOException, InterruptedException {
        Wrk wrk = Wrk.run(node, context, connections, context.seconds, false);
        List<Figure> figures = new ArrayList<>();
        figures.add(Figure.more(label, "requests/s", wrk.perSecond));
        if (connections == 1) {
            figures.add(Figure.less(label + " p50", "µs", wrk.medianMicros));
        }
        return figures;
    }

    private List<Figure> latency(ContestantNode node, Context context) throws IOException {
        double[] answer = context.network.load("rate %s %d %d %d %s %s"
                .formatted(
                        node.address(),
                        TestNetwork.HTTP,
                        context.requestsPerSecond,
                        LATENCY_CONNECTIONS,
                        Math.min(2, context.seconds),
                        context.seconds));
        String[] names = {"p50", "p90", "p99", "p99.9", "p99.99", "max"};
        List<Figure> figures = new ArrayList<>();
        for (int i = 0; i < names.length; i++) {
            figures.add(Figure.less(label + " " + names[i], "µs", answer[i + 1]));
        }
        figures.add(Figure.note(label + ", lateness of the load p99", "µs", answer[names.length + 1]));
        return figures;
    }

    private List<Figure> udpPing(ContestantNode node, Context context) throws IOException, InterruptedException {
        String out = context.network.inClient("sockperf ping-pong -i %s -p %d -t %d"
                .formatted(node.address(), TestNetwork.PING, wholeSeconds(context.seconds)));
        return List.of(
                Figure.less(label + " p50", "µs one way", number(out, "percentile 50\\.000\\s*=\\s*([0-9.]+)")),
                Figure.less(label + " p99", "µs one way", number(out, "percentile 99\\.000\\s*=\\s*([0-9.]+)")));
    }

    private List<Figure> udp(ContestantNode node, Context context, String load, int port, String unit)
            throws IOException {
        double[] answer = context.network.load(
                "%s %s %d %s %s".formatted(load, node.address(), port, node.lane.clients(), context.seconds));
        return List.of(Figure.more(label, unit, answer[0]), Figure.note(label + " lost", "datagrams", answer[1]));
    }

    private List<Figure> idle(ContestantNode node, Context context) throws IOException, InterruptedException {
        node.restart();
        // Load classes and create buffers and tables before the first sample.
        openIdle(node, context, 50);
        TimeUnit.MILLISECONDS.sleep(500);
        long before = node.residentKilobytes();
        try {
            openIdle(node, context, context.idleConnections);
            // The kernel completes handshakes before the contestant accepts; wait for that.
            for (int i = 0; node.descriptors() < 2L * context.idleConnections; i++) {
                if (i == 100) {
                    throw new IOException("contestant has only %d descriptors for %d connections"
                            .formatted(node.descriptors(), context.idleConnections));
                }
                TimeUnit.MILLISECONDS.sleep(100);
            }
            TimeUnit.SECONDS.sleep(1);
            long after = node.residentKilobytes();
            return List.of(
                    Figure.less(label, "kB/connection", (after - before) / (double) context.idleConnections),
                    Figure.less(label + " RSS before", "MB", before / 1e3),
                    Figure.less(label + " RSS after", "MB", after / 1e3));
        } finally {
            context.network.load("close");
        }
    }

    private static void openIdle(ContestantNode node, Context context, int connections) throws IOException {
        context.network.load(
                "idle %s %d %d %s".formatted(node.address(), TestNetwork.HTTP, connections, node.lane.clients()));
    }

    private List<Figure> systemCalls(ContestantNode node, Context context) throws IOException, InterruptedException {
        List<Figure> figures = new ArrayList<>();
        Map<String, Double> connection = callsPerOperation(node, context, true);
        Map<String, Double> message = callsPerOperation(node, context, false);
        connection.forEach(
                (call, count) -> figures.add(Figure.less(label + "/connection" + suffix(call), "calls", count)));
        message.forEach((call, count) -> figures.add(Figure.less(label + "/message" + suffix(call), "calls", count)));
        return figures;
    }

    private static String suffix(String call) {
        return call.equals("total") ? "" : " " + call;
    }

    /**
     * System calls per connection or, if connections stay open, per message; a request and its response are two
     * messages.
     */
    private static Map<String, Double> callsPerOperation(ContestantNode node, Context context, boolean close)
            throws IOException, InterruptedException {
        Path counts = context.commands.directory().resolve("strace.txt");
        Files.deleteIfExists(counts);
        List<String> command = new ArrayList<>(List.of("strace", "-c", "-f", "-o", counts.toString()));
        node.pids().forEach(pid -> command.addAll(List.of("-p", String.valueOf(pid))));
        Process strace = context.commands.start(context.commands.directory().resolve("strace.log"), command);
        Wrk wrk;
        try {
            TimeUnit.SECONDS.sleep(1);
            wrk = Wrk.run(node, context, 32, 2, close);
            strace.destroy();
            strace.waitFor(10, TimeUnit.SECONDS);
        } finally {
            context.commands.end(strace);
        }
        double operations = close ? wrk.requests : wrk.requests * 2;
        Map<String, Double> result = new LinkedHashMap<>();
        for (String line : Files.readAllLines(counts)) {
            String[] words = line.trim().split("\\s+");
            if (words.length >= 5 && words[3].matches("\\d+")) {
                double each = Long.parseLong(words[3]) / operations;
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
            throw new IOException("no match for " + pattern + " in\n" + text);
        }
        return Double.parseDouble(matcher.group(1));
    }

    /** The results of one run of wrk. */
    record Wrk(double perSecond, long requests, double medianMicros) {
        static Wrk run(ContestantNode node, Context context, int connections, double seconds, boolean close)
                throws IOException, InterruptedException {
            List<String> command = new ArrayList<>(List.of("wrk", "--latency", "-t", connections == 1 ? "1" : "2"));
            command.addAll(List.of("-c", "" + connections, "-d", wholeSeconds(seconds) + "s"));
            if (close) {
                command.addAll(List.of("-H", "Connection: close"));
            }
            command.add("http://" + node.address() + ":" + TestNetwork.HTTP + "/");
            String out = context.network.inClient(command);
            if (out.contains("Socket errors") || out.contains("Non-2xx")) {
                throw new IOException(node.contestant.label + ": " + out);
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
