package io.sluice.compare;

import io.sluice.compare.Results.Run;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/** Runs every workload through every contestant in alternating order and writes a report. */
@Command(
        name = "compare",
        mixinStandardHelpOptions = true,
        description =
                "Compares the built distribution with nftables, HAProxy and nginx, in network namespaces. Needs root.")
@SuppressWarnings("NullAway.Init") // picocli sets the fields
public final class Compare implements Callable<Integer> {
    /**
     * With more retransmitted SYNs in one measurement, the test network was the bottleneck, and the result is
     * discarded.
     */
    private static final int SYN_RETRANSMITS = 5;

    private static final int WARM_UPS = 2;
    private static final String PREFIX = "sluice-compare-";

    @Option(
            names = "--sluice",
            paramLabel = "FILE",
            required = true,
            description = "launcher script of the distribution")
    private Path launcher;

    @Option(
            names = "--baseline",
            paramLabel = "DISTRIBUTION",
            description = "another build (its proxy-daemon/target/sluice) to measure in the same run; adds contestants"
                    + " baseline-bind and baseline-node unless --contestants is given")
    private @Nullable Path baseline;

    @Option(names = "--out", paramLabel = "DIRECTORY", required = true, description = "directory for the results")
    private Path out;

    @Option(
            names = "--only",
            split = ",",
            paramLabel = "WORKLOAD",
            description = "workloads to run, of: ${COMPLETION-CANDIDATES}",
            completionCandidates = WorkloadNames.class)
    private List<String> only = List.of();

    @Option(
            names = "--contestants",
            split = ",",
            paramLabel = "NAME",
            description = "contestants to measure, of: ${COMPLETION-CANDIDATES}",
            completionCandidates = ContestantNames.class)
    private List<String> names = List.of();

    @Option(
            names = "--rounds",
            defaultValue = "5",
            description = "measurements of each contestant (default: ${DEFAULT-VALUE})")
    private int rounds;

    @Option(
            names = "--seconds",
            defaultValue = "3",
            description = "duration of each measurement (default: ${DEFAULT-VALUE})")
    private double seconds;

    @Option(
            names = "--idle-connections",
            defaultValue = "8000",
            description = "connections of the workload idle (default: ${DEFAULT-VALUE})")
    private int idleConnections;

    @Option(
            names = "--rate",
            description =
                    "requests per second of the workload latency (default: half of HAProxy's rate with 64 connections)")
    private int rate;

    @Option(names = "--quick", description = "take 5 minutes: fewer workloads, two rounds of one second, short warm-up")
    private boolean quick;

    private final Results results = new Results();
    private long start;

    static final class WorkloadNames extends ArrayList<String> {
        private static final long serialVersionUID = 1;

        WorkloadNames() {
            super(Stream.of(Workload.values()).map(work -> work.label).toList());
        }
    }

    static final class ContestantNames extends ArrayList<String> {
        private static final long serialVersionUID = 1;

        ContestantNames() {
            super(Stream.of(Contestant.values()).map(each -> each.label).toList());
        }
    }

    public static void main(String[] args) {
        System.exit(commandLine().execute(args));
    }

    static CommandLine commandLine() {
        CommandLine line = new CommandLine(new Compare());
        line.setExecutionExceptionHandler((e, command, result) -> {
            command.getErr().println("compare: " + e.getMessage());
            return 1;
        });
        return line;
    }

    @Override
    public Integer call() throws Exception {
        Locale.setDefault(Locale.ROOT);
        List<Workload> workloads = workloads();
        List<Contestant> contestants = Contestant.select(names, baseline != null);
        Path baselineLauncher = baseline == null ? launcher : launcherOf(baseline);
        if (quick) {
            rounds = 2;
            seconds = 1;
        }
        start = System.nanoTime();
        removeLeftovers();
        Path directory =
                Files.createTempDirectory(PREFIX + ProcessHandle.current().pid() + "-");
        // HAProxy and nginx drop root privileges and must still reach their files.
        directory.toFile().setExecutable(true, false);
        CommandRunner commands = new CommandRunner(directory);
        // Also runs when the comparison is interrupted.
        Runtime.getRuntime().addShutdownHook(new Thread(() -> cleanUp(commands, directory)));
        log("setting up the test network for " + contestants.size() + " contestants");
        try (TestNetwork network =
                new TestNetwork(commands, contestants.size(), contestants.contains(Contestant.SOCKET))) {
            Map<String, String> machine = MachineInfo.collect(commands);
            if (baseline != null) {
                machine.put("baseline", baseline.toString());
            }
            List<ContestantNode> nodes = new ArrayList<>();
            for (Contestant contestant : contestants) {
                Path program = contestant.isBaseline() ? baselineLauncher : launcher;
                ContestantNode node =
                        new ContestantNode(contestant, network.lane(nodes.size()), network, commands, program);
                node.start();
                nodes.add(node);
                if (contestant.isSluice()) {
                    machine.put("flags of " + contestant.label, node.flags());
                }
                node.pause();
            }
            Report report = new Report(results, out, machine, rounds, seconds);
            for (Workload work : workloads) {
                run(
                        work,
                        nodes,
                        new Workload.Context(
                                network, commands, seconds, idleConnections, rate(work, nodes, network, commands)));
                report.write();
            }
        } catch (IOException e) {
            if (commands.isClosed()) {
                // Interrupted: the shutdown hook has ended the processes, so errors are expected.
                return 130;
            }
            throw e;
        }
        log("wrote " + out.resolve("compare.md") + ", compare.json and charts");
        System.out.println(Files.readString(out.resolve("compare.md")));
        return 0;
    }

    private static Path launcherOf(Path distribution) throws IOException {
        Path file = distribution.resolve("bin/sluice").toAbsolutePath();
        if (!Files.isExecutable(file)) {
            throw new IOException("--baseline '" + distribution + "' is not a distribution: no executable " + file);
        }
        return file;
    }

    private List<Workload> workloads() {
        if (!only.isEmpty()) {
            return only.stream().map(Workload::of).sorted().toList();
        }
        List<Workload> workloads = new ArrayList<>(List.of(Workload.values()));
        if (quick) {
            workloads.removeAll(List.of(Workload.IDLE, Workload.BULK_8, Workload.BULK_64, Workload.KEEP_ALIVE_512));
        }
        return workloads;
    }

    private int rate(Workload work, List<ContestantNode> nodes, TestNetwork network, CommandRunner commands)
            throws IOException, InterruptedException {
        if (work != Workload.LATENCY || rate > 0) {
            return rate;
        }
        List<ContestantNode> references = nodes.stream()
                .filter(node -> node.contestant == Contestant.HAPROXY)
                .toList();
        ContestantNode reference = references.isEmpty() ? nodes.get(0) : references.get(0);
        Workload.Context context = new Workload.Context(network, commands, 2, idleConnections, 0);
        reference.measure(() ->
                rate = (int) (Workload.Wrk.run(reference, context, 64, 2, false).perSecond() / 2));
        log("latency at " + rate + " requests/s, half of the rate of " + reference.contestant.label);
        return rate;
    }

    private void run(Workload work, List<ContestantNode> all, Workload.Context context)
            throws IOException, InterruptedException {
        List<ContestantNode> nodes = new ArrayList<>(
                all.stream().filter(node -> work.supports(node.contestant)).toList());
        for (ContestantNode node : nodes) {
            for (int i = 0; i < WARM_UPS && work.needsWarmUp() && node.contestant.needsWarmUp(); i++) {
                measure(work, 0, node, context);
            }
        }
        int count = work == Workload.SYSCALLS ? 1 : rounds;
        for (int round = 1; round <= count; round++) {
            for (ContestantNode node : nodes) {
                Run run = measure(work, round, node, context);
                results.runs.add(run);
                log(describe(run));
            }
            // Vary which contestant is first and which one precedes which.
            Collections.rotate(nodes, 1);
            if (round % 2 == 0) {
                Collections.reverse(nodes);
            }
        }
    }

    private static Run measure(Workload work, int round, ContestantNode node, Workload.Context context)
            throws IOException, InterruptedException {
        node.flushConnectionTracking();
        long before = context.network().synRetransmits(node.lane);
        List<Figure> figures = List.of();
        String problem = "";
        try {
            List<Figure> measured = new ArrayList<>();
            node.measure(() -> measured.addAll(work.measure(node, context)));
            figures = measured;
        } catch (IOException e) {
            problem = String.valueOf(e.getMessage());
            TimeUnit.SECONDS.sleep(1);
        }
        long retransmits = context.network().synRetransmits(node.lane) - before;
        if (problem.isEmpty() && retransmits > SYN_RETRANSMITS) {
            problem = retransmits + " SYNs retransmitted";
        }
        return new Run(work, round, node.contestant, figures, retransmits, problem.isEmpty(), problem);
    }

    private String describe(Run run) {
        String figures = run.figures().stream()
                .filter(figure -> !figure.isSystemCall())
                .map(figure -> figure.name() + " " + Report.number(figure.value()) + " " + figure.unit())
                .collect(Collectors.joining(", "));
        return "%s %d %-15s %s%s"
                .formatted(
                        run.work().label,
                        run.round(),
                        run.contestant().label,
                        figures,
                        run.counts() ? "" : "  DISCARDED: " + run.problem());
    }

    private void log(String text) {
        System.out.printf(Locale.ROOT, "%6.1f s  %s%n", (System.nanoTime() - start) / 1e9, text);
    }

    /** Removes the temporary directories of runs that were killed. {@link TestNetwork} removes their namespaces. */
    private static void removeLeftovers() throws IOException {
        Pattern ownDirectories = Pattern.compile(PREFIX + "(\\d+)-\\d+");
        try (Stream<Path> files = Files.list(Path.of(System.getProperty("java.io.tmpdir")))) {
            for (Path path : files.toList()) {
                Matcher matcher = ownDirectories.matcher(path.getFileName().toString());
                if (matcher.matches() && !TestNetwork.isRunning(matcher.group(1))) {
                    delete(path);
                }
            }
        }
    }

    private static void delete(Path directory) throws IOException {
        try (Stream<Path> files = Files.walk(directory)) {
            for (Path path : files.sorted(Comparator.reverseOrder()).toList()) {
                Files.deleteIfExists(path);
            }
        }
    }

    private static void cleanUp(CommandRunner commands, Path directory) {
        try {
            commands.close();
            TestNetwork.cleanUp(directory);
            delete(directory);
        } catch (IOException | InterruptedException e) {
            System.err.println("compare: " + e);
        }
    }
}
