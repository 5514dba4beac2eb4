package io.sluice.soak;

import java.io.IOException;
import java.net.Socket;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;

/** Starts the daemon from the distribution and reads its health, metrics, memory, descriptors and log. */
final class DaemonProcess implements AutoCloseable {
    private static final int TIMEOUT_MILLIS = 10_000;

    private final Process process;
    private final Path log;
    private final URI health;
    private final URI metrics;

    DaemonProcess(Path launcher, Path feed, Path directory, List<String> flags)
            throws IOException, InterruptedException {
        log = directory.resolve("sluice.log");
        List<String> command = Stream.concat(
                        Stream.of(
                                launcher.toString(),
                                "run",
                                "--feed=" + feed,
                                "--healthz-bind-address=127.0.0.1:0",
                                "--metrics-bind-address=127.0.0.1:0",
                                "--admin-bind-address=127.0.0.1:0"),
                        flags.stream())
                .toList();
        ProcessBuilder builder =
                new ProcessBuilder(command).redirectErrorStream(true).redirectOutput(log.toFile());
        builder.environment()
                .merge("JDK_JAVA_OPTIONS", "-Dio.netty.leakDetection.level=paranoid", (a, b) -> a + " " + b);
        builder.environment().put("JAVA_HOME", System.getProperty("java.home"));
        process = builder.start();
        try {
            health = await("health on (http://\\S+)");
            metrics = await("metrics on (http://\\S+)");
            for (int i = 0; !get(health, "/readyz").startsWith("HTTP/1.1 200"); i++) {
                if (i == 100) {
                    throw new IOException("the daemon did not become ready\n" + log());
                }
                TimeUnit.MILLISECONDS.sleep(100);
            }
        } catch (IOException | InterruptedException e) {
            process.destroyForcibly();
            throw e;
        }
    }

    private URI await(String line) throws IOException, InterruptedException {
        for (int i = 0; i < 200 && process.isAlive(); i++) {
            Matcher matcher = Pattern.compile(line).matcher(log());
            if (matcher.find()) {
                return URI.create(matcher.group(1));
            }
            TimeUnit.MILLISECONDS.sleep(50);
        }
        throw new IOException("the daemon did not start\n" + log());
    }

    /** Sends a request on a new connection and closes it: a connection kept open would count as a leaked descriptor. */
    private static String get(URI server, String path) throws IOException {
        try (Socket socket = new Socket(server.getHost(), server.getPort())) {
            socket.setSoTimeout(TIMEOUT_MILLIS);
            String request = "GET " + path + " HTTP/1.1\r\nHost: soak\r\nConnection: close\r\n\r\n";
            socket.getOutputStream().write(request.getBytes(StandardCharsets.US_ASCII));
            return new String(socket.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        }
    }

    /** Requests every page once and counts failures. */
    void probe(Tally tally) {
        try {
            for (String page : List.of("/readyz", "/healthz", "/livez")) {
                String answer = get(health, page);
                if (!answer.startsWith("HTTP/1.1 200")) {
                    tally.fault(Tally.Fault.PAGE, page + ": " + answer);
                }
            }
            scrape();
            tally.add("scrapes", 1);
        } catch (IOException e) {
            tally.fault(Tally.Fault.PAGE, e.toString());
        }
    }

    /** Returns the sum of each metric over its labels. */
    Map<String, Double> scrape() throws IOException {
        String text = get(metrics, "/metrics");
        if (!text.startsWith("HTTP/1.1 200")) {
            throw new IOException("/metrics: " + text.lines().findFirst().orElse("no answer"));
        }
        Map<String, Double> sums = new TreeMap<>();
        text.lines().filter(line -> line.startsWith("sluice_")).forEach(line -> {
            String name = line.substring(0, Math.max(line.indexOf('{'), line.contains("{") ? 0 : line.indexOf(' ')));
            sums.merge(name, Double.parseDouble(line.substring(line.lastIndexOf(' ') + 1)), Double::sum);
        });
        return sums;
    }

    long descriptors() throws IOException {
        try (Stream<Path> descriptors = Files.list(proc("fd"))) {
            return descriptors.count();
        }
    }

    /**
     * Counts threads by name, without those of the compiler and the common pool, which the JVM starts and ends on
     * demand.
     */
    Map<String, Long> threads() throws IOException {
        Map<String, Long> names = new TreeMap<>();
        try (Stream<Path> tasks = Files.list(proc("task"))) {
            for (Path task : tasks.toList()) {
                try {
                    String name = Files.readString(task.resolve("comm")).trim();
                    if (!name.contains("CompilerThre") && !name.startsWith("ForkJoinPool")) {
                        names.merge(name, 1L, Long::sum);
                    }
                } catch (NoSuchFileException e) {
                    names.merge("ended while counting", 1L, Long::sum);
                }
            }
        }
        return names;
    }

    long residentKilobytes() throws IOException {
        Matcher matcher = Pattern.compile("VmRSS:\\s+(\\d+)").matcher(Files.readString(proc("status")));
        return matcher.find() ? Long.parseLong(matcher.group(1)) : 0;
    }

    /** CPU time used so far, in hundredths of a second. */
    long ticks() throws IOException {
        String[] fields =
                Files.readString(proc("stat")).replaceAll(".*\\) ", "").split(" ");
        return Long.parseLong(fields[11]) + Long.parseLong(fields[12]);
    }

    /** Collects garbage and returns the used heap. */
    long liveHeapKilobytes() throws IOException, InterruptedException {
        jcmd("GC.run");
        Matcher matcher = Pattern.compile("total \\d+K, used (\\d+)K").matcher(jcmd("GC.heap_info"));
        long sum = 0;
        while (matcher.find()) {
            sum += Long.parseLong(matcher.group(1));
        }
        return sum;
    }

    private String jcmd(String command) throws IOException, InterruptedException {
        Path java = Path.of(System.getProperty("java.home"), "bin", "jcmd");
        Process jcmd = new ProcessBuilder(
                        java.toString(), "-J-XX:TieredStopAtLevel=1", String.valueOf(process.pid()), command)
                .redirectErrorStream(true)
                .start();
        String out = new String(jcmd.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        if (jcmd.waitFor() != 0) {
            throw new IOException("jcmd " + command + ": " + out);
        }
        return out;
    }

    private Path proc(String name) {
        return Path.of("/proc", String.valueOf(process.pid()), name);
    }

    String log() throws IOException {
        return Files.readString(log);
    }

    /** The log lines with warnings, errors and leaked buffers. */
    List<String> problems() throws IOException {
        return log().lines()
                .filter(line -> line.contains(" WARN ") || line.contains(" ERROR ") || line.contains("LEAK:"))
                .toList();
    }

    /** Shuts the daemon down gracefully and returns its exit code, or -1 if it does not end within 40 s. */
    int stop() throws InterruptedException {
        process.destroy();
        return process.waitFor(40, TimeUnit.SECONDS) ? process.exitValue() : -1;
    }

    @Override
    public String toString() {
        return process.toString();
    }

    @Override
    public void close() {
        process.destroyForcibly().onExit().join();
    }
}
