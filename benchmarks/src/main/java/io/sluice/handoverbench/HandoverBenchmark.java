package io.sluice.handoverbench;

import io.sluice.compare.CommandRunner;
import io.sluice.handoverbench.ClientProcess.Finished;
import io.sluice.handoverbench.ClientProcess.Window;
import io.sluice.handoverbench.EndpointProcess.Listening;
import io.sluice.handoverbench.EndpointProcess.Totals;
import io.sluice.handoverbench.HandoverResults.Handover;
import io.sluice.handoverbench.HandoverResults.Sample;
import io.sluice.handoverbench.HandoverResults.Target;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.Callable;
import java.util.concurrent.TimeUnit;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import tools.jackson.databind.json.JsonMapper;

/** Starts Sluice and the load, performs the handovers one after another, and compares the results with the targets. */
@Command(
        name = "handover",
        mixinStandardHelpOptions = true,
        description = "Performs handovers between processes of the built distribution under load, checks each byte, and"
                + " measures pauses. Exits with code 1 if a target is missed.")
@SuppressWarnings("NullAway.Init") // picocli sets the fields
public final class HandoverBenchmark implements Callable<Integer> {
    private static final String RESULT = "handover.json";
    private static final Pattern HANDOVER_LINES = Pattern.compile(" (handed over|received|moved|draining) ");
    private static final int SETTLE_MILLIS = 500;
    private static final int EXIT_SECONDS = 60;
    private static final int FEED_SECONDS = 10;

    @Option(
            names = "--sluice",
            paramLabel = "FILE",
            required = true,
            description = "launcher script of the distribution")
    private Path launcher;

    @Option(names = "--out", paramLabel = "DIRECTORY", required = true, description = "directory for the results")
    private Path out;

    @Mixin
    private LoadOptions options;

    private final HandoverResults results = new HandoverResults();
    private final List<SluiceProcess> processes = new ArrayList<>();
    private Path directory;
    private CommandRunner commands;
    private BenchNetwork network;
    private BenchFeed feed;
    private WorkerProcess client;
    private long start;
    private long failedInWarmUp;

    public static void main(String[] args) {
        System.exit(commandLine().execute(args));
    }

    static CommandLine commandLine() {
        CommandLine line = new CommandLine(new HandoverBenchmark());
        line.setExecutionExceptionHandler((e, command, result) -> {
            command.getErr().println("handover: " + e.getMessage());
            return 1;
        });
        return line;
    }

    @Override
    public Integer call() throws Exception {
        Locale.setDefault(Locale.ROOT);
        options.check();
        start = System.nanoTime();
        removeOldResults();
        directory = Files.createTempDirectory("sluice-handover-");
        commands = new CommandRunner(directory);
        network = new BenchNetwork(commands, options.isNode());
        // Also runs when the benchmark is interrupted.
        Runtime.getRuntime().addShutdownHook(new Thread(this::cleanUp));
        try (WorkerProcess endpoint =
                new WorkerProcess(commands, "endpoint", network.inEndpoint(worker(EndpointProcess.class)))) {
            List<String> addresses = new ArrayList<>(network.endpoints());
            addresses.add(network.endpoint6());
            int port = endpoint.execute("listen " + String.join(",", addresses), Listening.class)
                    .port();
            feed = new BenchFeed(directory.resolve("feed"), network, port);
            return run(endpoint);
        } catch (IOException e) {
            if (commands.isClosed()) {
                // Interrupted: the shutdown hook has ended the processes, so errors are expected.
                return 130;
            }
            throw e;
        }
    }

    private void removeOldResults() throws IOException {
        Files.createDirectories(out);
        try (Stream<Path> files = Files.list(out)) {
            for (Path file : files.toList()) {
                String name = file.getFileName().toString();
                if (name.endsWith(".log") || name.equals(RESULT)) {
                    Files.delete(file);
                }
            }
        }
    }

    private static List<String> worker(Class<?> main) {
        return CommandRunner.java(main, "-Xms768m", "-Xmx768m", "-Xmn256m", "-XX:+UseSerialGC");
    }

    private int run(WorkerProcess endpoint) throws IOException, InterruptedException {
        LoadPlan plan = options.plan(network);
        startProcess().awaitServing();
        List<String> command = worker(ClientProcess.class);
        command.add(JsonMapper.builder().build().writeValueAsString(plan));
        try (WorkerProcess started = new WorkerProcess(commands, "client", network.inClient(command))) {
            client = started;
            log("opening " + plan.connections() + " connections");
            client.execute("open");
            removeService();
            client.execute("start");
            log("warming up for " + options.warmUpSeconds() + " s");
            warmUp();
            for (int i = 1; i <= options.handovers(); i++) {
                handover(i);
            }
            return finish(plan, endpoint);
        }
    }

    /** Applies the load without a handover, and warns if the machine is too slow for it. */
    private void warmUp() throws IOException, InterruptedException {
        TimeUnit.MILLISECONDS.sleep(options.warmUpSeconds() * 500L);
        client.execute("window", Window.class);
        TimeUnit.MILLISECONDS.sleep(options.warmUpSeconds() * 500L);
        Window window = client.execute("window", Window.class);
        failedInWarmUp = window.connectFailures();
        double pause = window.pauses().maxMillis();
        if (pause > HandoverResults.MAX_PAUSE_MILLIS / 2 || window.connects().failed() > 0) {
            log("warning: the load alone causes pauses of %.0f ms and %d failed connections; results do not count. Use"
                            .formatted(pause, window.connects().failed())
                    + " a quieter machine or less load (--interval, --rate, --bulk-rate)");
        }
    }

    private SluiceProcess startProcess() throws IOException {
        List<String> command = new ArrayList<>(List.of(
                launcher.toAbsolutePath().toString(),
                "run",
                "--feed=" + feed.directory(),
                "--handover-socket=" + directory.resolve("handover.sock"),
                "--healthz-bind-address=127.0.0.1:0",
                "--metrics-bind-address=127.0.0.1:0",
                "--admin-bind-address=off",
                "--drain-timeout=" + options.drainTimeoutSeconds() + "s"));
        command.addAll(network.flags());
        Path log = out.resolve("sluice-" + processes.size() + ".log");
        SluiceProcess process = new SluiceProcess(commands, log, network.inNode(command));
        processes.add(process);
        return process;
    }

    private SluiceProcess serving() {
        return processes.get(processes.size() - 1);
    }

    /** Removes a Service, so that its connections belong to no Service of the snapshot. */
    private void removeService() throws IOException, InterruptedException {
        feed.removeService();
        serving().awaitLog(Pattern.compile("bench/" + BenchFeed.REMOVED + ".*removed"), FEED_SECONDS);
    }

    private void handover(int number) throws IOException, InterruptedException {
        // Ends the window that contains the garbage collection of the previous sample.
        client.execute("window", Window.class);
        TimeUnit.MILLISECONDS.sleep((long) (options.seconds() * 1_000));
        Window before = client.execute("window", Window.class);
        SluiceProcess old = serving();
        SluiceProcess next = startProcess();
        double servingMillis = next.awaitServing();
        if (!old.awaitExit(TimeUnit.SECONDS.toMillis(options.drainTimeoutSeconds() + EXIT_SECONDS))) {
            throw new IOException("process %d did not exit after the handover; its log:\n%s"
                    .formatted(old.pid(), String.join("\n", old.log())));
        }
        double exitedMillis = next.millisSinceStart();
        TimeUnit.MILLISECONDS.sleep(SETTLE_MILLIS);
        Window during = client.execute("window", Window.class);
        Sample sample = sample(next);
        List<String> oldLog = old.log();
        Handover handover = new Handover(
                number,
                servingMillis,
                exitedMillis,
                old.exitCode(),
                before.pauses().open(),
                before,
                during,
                sample,
                next.log(),
                oldLog.subList(Math.max(0, oldLog.size() - 10), oldLog.size()));
        results.handovers.add(handover);
        log("handover %d: %d of %d connections open, longest pause %.0f ms, old process exited after %.0f ms"
                .formatted(
                        number,
                        handover.moved(),
                        handover.openBefore(),
                        during.pauses().maxMillis(),
                        exitedMillis));
        Stream.concat(oldLog.stream(), next.log().stream())
                .filter(HANDOVER_LINES.asPredicate())
                .forEach(line -> System.out.println("          " + line));
    }

    private static Sample sample(SluiceProcess process) throws IOException, InterruptedException {
        double heap = process.liveHeapMegabytes();
        return new Sample(process.descriptors(), process.residentMegabytes(), heap);
    }

    private int finish(LoadPlan plan, WorkerProcess endpoint) throws IOException, InterruptedException {
        log("using and closing all connections");
        client.execute("stop");
        endpoint.execute("release");
        feed.addWaitingEndpoints();
        Finished finished = client.execute("finish", Finished.class);
        Totals totals = endpoint.execute("totals", Totals.class);
        serving().terminate();
        boolean exited = serving().awaitExit(TimeUnit.SECONDS.toMillis(options.drainTimeoutSeconds() + EXIT_SECONDS));
        int exitCode = exited ? serving().exitCode() : -1;
        List<Target> targets = results.verdict(options.handovers(), finished, totals, failedInWarmUp, exitCode);
        List<String> faults = Stream.concat(
                        HandoverResults.different(finished.specials(), totals.connections()).stream(),
                        Stream.of(finished.faults(), finished.connectFaults(), totals.faults())
                                .flatMap(each -> each.details().stream()))
                .toList();
        HandoverReport.write(out.resolve(RESULT), plan, results, targets, faults);
        log("wrote " + out.resolve(RESULT));
        System.out.println();
        System.out.println(HandoverReport.table(results.handovers));
        System.out.println(HandoverReport.verdict(targets));
        faults.forEach(System.out::println);
        return targets.stream().allMatch(Target::reached) ? 0 : 1;
    }

    private void log(String text) {
        System.out.printf("%6.1f s  %s%n", (System.nanoTime() - start) / 1e9, text);
    }

    private void cleanUp() {
        commands.close();
        try {
            network.close();
        } catch (IOException e) {
            System.err.println("handover: " + e);
        }
        try (Stream<Path> files = Files.walk(directory)) {
            for (Path path : files.sorted(Comparator.reverseOrder()).toList()) {
                Files.deleteIfExists(path);
            }
        } catch (IOException e) {
            System.err.println("handover: " + e);
        }
    }
}
