package io.sluice.handoverbench;

import io.sluice.compare.CommandRunner;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;

/** A process of the distribution: its log, descriptors and memory. */
final class SluiceProcess {
    private static final Pattern SERVING = Pattern.compile(" synced: ");
    private static final int START_SECONDS = 60;

    private final Process process;
    private final Path log;
    private final long startNanos = System.nanoTime();

    SluiceProcess(CommandRunner runner, Path log, List<String> command) throws IOException {
        this.log = log;
        this.process = runner.start(log, command);
    }

    long pid() {
        return process.pid();
    }

    long startNanos() {
        return startNanos;
    }

    boolean isRunning() {
        return process.isAlive();
    }

    /** Waits until the process serves, and returns the time since it was started. */
    double awaitServing() throws IOException, InterruptedException {
        awaitLog(SERVING, START_SECONDS);
        return millisSinceStart();
    }

    double millisSinceStart() {
        return (System.nanoTime() - startNanos) / 1e6;
    }

    void awaitLog(Pattern line, int seconds) throws IOException, InterruptedException {
        long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(seconds);
        while (!line.matcher(Files.readString(log)).find()) {
            if (System.nanoTime() > deadline || !process.isAlive()) {
                throw new IOException("process %d %s before it logged '%s'; its log:\n%s"
                        .formatted(
                                pid(),
                                process.isAlive() ? "took longer than " + seconds + " s" : "ended",
                                line,
                                String.join("\n", log())));
            }
            TimeUnit.MILLISECONDS.sleep(2);
        }
    }

    boolean awaitExit(long millis) throws InterruptedException {
        return process.waitFor(millis, TimeUnit.MILLISECONDS);
    }

    int exitCode() {
        return process.exitValue();
    }

    void terminate() {
        process.destroy();
    }

    List<String> log() throws IOException {
        return Files.readAllLines(log);
    }

    long descriptors() throws IOException {
        try (Stream<Path> all = Files.list(proc("fd"))) {
            return all.count();
        }
    }

    double residentMegabytes() throws IOException {
        Matcher matcher = Pattern.compile("VmRSS:\\s+(\\d+)").matcher(Files.readString(proc("status")));
        return matcher.find() ? Long.parseLong(matcher.group(1)) / 1e3 : 0;
    }

    /** Collects garbage and returns the used heap. */
    double liveHeapMegabytes() throws IOException, InterruptedException {
        jcmd("GC.run");
        Matcher matcher = Pattern.compile("total \\d+K, used (\\d+)K").matcher(jcmd("GC.heap_info"));
        long sum = 0;
        while (matcher.find()) {
            sum += Long.parseLong(matcher.group(1));
        }
        return sum / 1e3;
    }

    private String jcmd(String command) throws IOException, InterruptedException {
        Path program = Path.of(System.getProperty("java.home"), "bin", "jcmd");
        Process jcmd = new ProcessBuilder(
                        program.toString(), "-J-XX:TieredStopAtLevel=1", String.valueOf(pid()), command)
                .redirectErrorStream(true)
                .start();
        String out = new String(jcmd.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        if (jcmd.waitFor() != 0) {
            throw new IOException("jcmd " + command + ": " + out);
        }
        return out;
    }

    private Path proc(String name) {
        return Path.of("/proc", String.valueOf(pid()), name);
    }
}
