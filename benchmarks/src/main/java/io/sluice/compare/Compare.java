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

/** Runs every work through every contestant in turn, and writes down how they did. */
@Command(
        name = "compare",
        mixinStandardHelpOptions = true,
        description = "Measures the built distribution beside nftables, HAProxy and nginx, in network namespaces.")
@SuppressWarnings("NullAway.Init") // picocli sets the fields
public final class Compare implements Callable<Integer> {
    /** More SYNs sent again than this in one turn, and the bench was measured, not the contestant. */
    private static final int SYN_RETRANSMITS = 5;

    private static final int WARM_UPS = 2;
    private static final String PREFIX = "sluice-compare-";

    @Option(names = "--sluice", paramLabel = "FILE", required = true, description = "the launcher of the distribution")
    private Path launcher;

    @Option(
            names = "--baseline",
            paramLabel = "DISTRIBUTION",
            description = "proxy-daemon/target/sluice of another commit, to compare with in the same run; adds"
                    + " baseline-bind and baseline-node unless --contestants is given")
    private @Nullable Path baseline;

    @Option(names = "--out", paramLabel = "FOLDER", required = true, description = "where the results are written")
    private Path out;

    @Option(
            names = "--only",
            split = ",",
            paramLabel = "WORK",
            description = "these works: ${COMPLETION-CANDIDATES}",
            completionCandidates = Works.class)
    private List<String> only = List.of();

    @Option(
            names = "--contestants",
            split = ",",
            paramLabel = "NAME",
            description = "these: ${COMPLETION-CANDIDATES}",
            completionCandidates = Names.class)
    private List<String> names = List.of();

    @Option(names = "--rounds", defaultValue = "5", description = "turns of each contestant (${DEFAULT-VALUE})")
    private int rounds;

    @Option(names = "--seconds", defaultValue = "3", description = "of each turn (${DEFAULT-VALUE})")
    private double seconds;

    @Option(names = "--idle-connections", defaultValue = "8000", description = "for idle (${DEFAULT-VALUE})")
    private int idleConnections;

    @Option(
            names = "--rate",
            description = "requests a second for latency; without it, half of what HAProxy does with 64 connections")
    private int rate;

    @Option(
            names = "--quick",
            description = "5 minutes: fewer works, two rounds of one second after as short a warm-up")
    private boolean quick;

    private final Results results = new Results();
    private long start;

    static final class Works extends ArrayList<String> {
        private static final long serialVersionUID = 1;

        Works() {
            super(Stream.of(Work.values()).map(work -> work.label).toList());
        }
    }

    static final class Names extends ArrayList<String> {
        private static final long serialVersionUID = 1;

        Names() {
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
        List<Work> works = works();
        List<Contestant> contestants = Contestant.select(names, baseline != null);
        Path baselineLauncher = baseline == null ? launcher : launcherOf(baseline);
        if (quick) {
            rounds = 2;
            seconds = 1;
        }
        start = System.nanoTime();
        removeLeftovers();
        Path folder = Files.createTempDirectory(PREFIX + ProcessHandle.current().pid() + "-");
        // Servers that give up root must reach their files.
        folder.toFile().setExecutable(true, false);
        Shell shell = new Shell(folder);
        // Also when we are interrupted.
        Runtime.getRuntime().addShutdownHook(new Thread(() -> cleanUp(shell, folder)));
        say("building the bench, " + contestants.size() + " contestants");
        try (Bench bench = new Bench(shell, contestants.size())) {
            Map<String, String> machine = Machine.look(shell);
            if (baseline != null) {
                machine.put("baseline", baseline.toString());
            }
            List<Entry> entries = new ArrayList<>();
            for (Contestant contestant : contestants) {
                Path program = contestant.isBaseline() ? baselineLauncher : launcher;
                Entry entry = new Entry(contestant, bench.lane(entries.size()), bench, shell, program);
                entry.start();
                entries.add(entry);
                if (contestant.isSluice()) {
                    machine.put("flags of " + contestant.label, entry.flags());
                }
            }
            Report report = new Report(results, out, machine, rounds, seconds);
            for (Work work : works) {
                run(
                        work,
                        entries,
                        new Work.Setting(bench, shell, seconds, idleConnections, rate(work, entries, bench, shell)));
                report.write();
            }
        } catch (IOException e) {
            if (shell.isClosed()) {
                // Interrupted: what then fails is no news.
                return 130;
            }
            throw e;
        }
        say("written: " + out.resolve("compare.md") + ", compare.json and charts");
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

    private List<Work> works() {
        if (!only.isEmpty()) {
            return only.stream().map(Work::of).sorted().toList();
        }
        List<Work> works = new ArrayList<>(List.of(Work.values()));
        if (quick) {
            works.removeAll(List.of(Work.IDLE, Work.BULK_8, Work.BULK_64, Work.KEEP_ALIVE_512));
        }
        return works;
    }

    private int rate(Work work, List<Entry> entries, Bench bench, Shell shell)
            throws IOException, InterruptedException {
        if (work != Work.LATENCY || rate > 0) {
            return rate;
        }
        List<Entry> judges = entries.stream()
                .filter(entry -> entry.contestant == Contestant.HAPROXY)
                .toList();
        Entry judge = judges.isEmpty() ? entries.get(0) : judges.get(0);
        Work.Setting setting = new Work.Setting(bench, shell, 2, idleConnections, 0);
        rate = (int) (Work.Wrk.run(judge, setting, 64, 2, false).perSecond() / 2);
        say("latency at " + rate + " requests/s, half of what " + judge.contestant.label + " does");
        return rate;
    }

    private void run(Work work, List<Entry> all, Work.Setting setting) throws IOException, InterruptedException {
        List<Entry> entries = new ArrayList<>(
                all.stream().filter(entry -> work.suits(entry.contestant)).toList());
        for (Entry entry : entries) {
            for (int i = 0; i < WARM_UPS && work.needsWarmUp() && entry.contestant.isSluice(); i++) {
                turn(work, 0, entry, setting);
            }
        }
        int turns = work == Work.SYSCALLS ? 1 : rounds;
        for (int round = 1; round <= turns; round++) {
            for (Entry entry : entries) {
                Run run = turn(work, round, entry, setting);
                results.runs.add(run);
                say(describe(run));
            }
            // Neither the same one first always, nor the same one after the same.
            Collections.rotate(entries, 1);
            if (round % 2 == 0) {
                Collections.reverse(entries);
            }
        }
    }

    private static Run turn(Work work, int round, Entry entry, Work.Setting setting)
            throws IOException, InterruptedException {
        entry.forget();
        long before = setting.bench().synRetransmits(entry.lane);
        List<Figure> figures = List.of();
        String problem = "";
        try {
            figures = work.measure(entry, setting);
        } catch (IOException e) {
            problem = String.valueOf(e.getMessage());
            TimeUnit.SECONDS.sleep(1);
        }
        long retransmits = setting.bench().synRetransmits(entry.lane) - before;
        if (problem.isEmpty() && retransmits > SYN_RETRANSMITS) {
            problem = retransmits + " SYNs sent again";
        }
        return new Run(work, round, entry.contestant, figures, retransmits, problem.isEmpty(), problem);
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
                        run.counts() ? "" : "  DOES NOT COUNT: " + run.problem());
    }

    private void say(String text) {
        System.out.printf(Locale.ROOT, "%6.1f s  %s%n", (System.nanoTime() - start) / 1e9, text);
    }

    /** Folders of runs that were killed; their namespaces are the bench's to remove. */
    private static void removeLeftovers() throws IOException {
        Pattern ours = Pattern.compile(PREFIX + "(\\d+)-\\d+");
        try (Stream<Path> files = Files.list(Path.of(System.getProperty("java.io.tmpdir")))) {
            for (Path path : files.toList()) {
                Matcher matcher = ours.matcher(path.getFileName().toString());
                if (matcher.matches() && !Bench.isRunning(matcher.group(1))) {
                    delete(path);
                }
            }
        }
    }

    private static void delete(Path folder) throws IOException {
        try (Stream<Path> files = Files.walk(folder)) {
            for (Path path : files.sorted(Comparator.reverseOrder()).toList()) {
                Files.deleteIfExists(path);
            }
        }
    }

    private static void cleanUp(Shell shell, Path folder) {
        try {
            shell.close();
            Bench.cleanUp(folder);
            delete(folder);
        } catch (IOException | InterruptedException e) {
            System.err.println("compare: " + e);
        }
    }
}
