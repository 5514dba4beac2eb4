package io.sluice;

import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.classes;
import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.noClasses;
import static com.tngtech.archunit.library.dependencies.SlicesRuleDefinition.slices;
import static org.assertj.core.api.Assertions.assertThat;

import com.tngtech.archunit.core.domain.JavaAccess;
import com.tngtech.archunit.core.domain.JavaClass;
import com.tngtech.archunit.core.domain.JavaClasses;
import com.tngtech.archunit.core.domain.JavaModifier;
import com.tngtech.archunit.core.importer.ClassFileImporter;
import com.tngtech.archunit.core.importer.ImportOption;
import com.tngtech.archunit.lang.ArchCondition;
import com.tngtech.archunit.lang.ConditionEvents;
import com.tngtech.archunit.lang.SimpleConditionEvent;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Deque;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.concurrent.CompletableFuture;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/** Permitted dependencies between packages. Data flows from reflector to snapshot to sockets, never back. */
final class PackageEdgesTest {
    private static final String ROOT = "io.sluice.";
    private static final JavaClasses CLASSES = new ClassFileImporter()
            .withImportOption(ImportOption.Predefined.DO_NOT_INCLUDE_TESTS)
            .importPackages("io.sluice");

    private static final String JACKSON = "tools.jackson..";
    private static final String LOG = "org.slf4j..";

    /** Own packages are given by their last name, libraries by a package pattern. */
    static Stream<Arguments> edges() {
        return Stream.of(
                edge("model"),
                edge("stats", "model", "org.HdrHistogram.."),
                edge("proxyprotocol", "model"),
                edge("thread", "io.netty..", LOG),
                edge("socket", "model", "io.netty..", "com.sun.management..", LOG),
                edge("balance", "model", "stats", "com.github.benmanes.caffeine.."),
                edge("forward", "model", "stats", "thread", "socket", "balance", "proxyprotocol", "io.netty..", LOG),
                edge("text"),
                // The parser behind Jackson's YAML, for its size limit.
                edge("document", "model", JACKSON, "org.snakeyaml.engine.."),
                edge("objects", "document", "model", JACKSON),
                edge("rules", "objects", "document", "text", "model"),
                edge("feed", "rules", "objects", "document", "model", "thread", JACKSON, LOG),
                // Only apiserver uses javax.net.ssl, for the JDK's HTTP client.
                edge(
                        "apiserver",
                        "feed",
                        "rules",
                        "objects",
                        "document",
                        "model",
                        "thread",
                        "javax.net.ssl..",
                        JACKSON,
                        "com.fasterxml.jackson.annotation..",
                        LOG),
                // Jackson for the output of nft and ip; socket for kernel settings.
                edge("node", "model", "socket", "thread", JACKSON, LOG),
                // JNA calls libbpf.
                edge("socketlb", "model", "thread", "com.sun.jna..", LOG),
                // config creates the options of these packages.
                edge(
                        "config",
                        "document",
                        "text",
                        "model",
                        "socket",
                        "forward",
                        "rules",
                        "apiserver",
                        "node",
                        "socketlb",
                        JACKSON,
                        LOG),
                edge("http", "model", "socket", "thread", "io.netty..", LOG),
                edge(
                        "ops",
                        "http",
                        "feed",
                        "rules",
                        "document",
                        "text",
                        "socketlb",
                        "forward",
                        "balance",
                        "stats",
                        "model",
                        "thread",
                        "io.netty.channel..",
                        // For the log level, which slf4j cannot change.
                        "ch.qos.logback.classic..",
                        "io.prometheus..",
                        "org.HdrHistogram..",
                        JACKSON,
                        LOG),
                // Whatever ops may use, so that pages and routes can show the same things; handover for upgrades.
                edge(
                        "admin",
                        "handover",
                        "http",
                        "ops",
                        "socketlb",
                        "balance",
                        "feed",
                        "rules",
                        "document",
                        "text",
                        "forward",
                        "stats",
                        "model",
                        "thread",
                        "io.netty.channel..",
                        "io.prometheus..",
                        "org.HdrHistogram..",
                        JACKSON,
                        LOG),
                edge(
                        "handover",
                        "forward",
                        "balance",
                        "socket",
                        "model",
                        "text",
                        "thread",
                        "io.netty..",
                        JACKSON,
                        "com.fasterxml.jackson.annotation..",
                        LOG));
    }

    private static Arguments edge(String of, String... others) {
        return Arguments.of(of, List.of(others));
    }

    /** Packages that compose the others and may use all of them. */
    private static final List<String> COMPOSING = List.of("daemon", "demo", "cli");

    @ParameterizedTest
    @MethodSource("edges")
    void usesOnlyPermittedPackages(String of, List<String> others) {
        List<String> allowed = new ArrayList<>(List.of(ROOT + of, "java..", "org.jspecify.annotations.."));
        others.forEach(each -> allowed.add(each.contains(".") ? each : ROOT + each));
        classes()
                .that()
                .resideInAPackage(ROOT + of)
                .should()
                .onlyDependOnClassesThat()
                .resideInAnyPackage(allowed.toArray(String[]::new))
                .check(CLASSES);
    }

    @Test
    void everyPackageIsListed() {
        List<String> packages = new ArrayList<>(COMPOSING);
        edges().forEach(each -> packages.add((String) each.get()[0]));
        assertThat(CLASSES.stream().map(each -> each.getPackageName()).distinct())
                .containsExactlyInAnyOrderElementsOf(
                        packages.stream().map(each -> ROOT + each).toList());
    }

    /** A thread that is started elsewhere could fail without a restart or a report. */
    @Test
    void startsThreadsOnlyThroughTheSupervisor() {
        noClasses()
                .that()
                .resideOutsideOfPackage("io.sluice.thread")
                // The demo is not part of the daemon.
                .and()
                .haveSimpleNameNotStartingWith("Demo")
                .should(startThreads())
                .check(CLASSES);
    }

    private static ArchCondition<JavaClass> startThreads() {
        List<String> owners = List.of(
                "java.lang.Thread$Builder",
                "java.util.Timer",
                "java.util.concurrent.Executors",
                "java.util.concurrent.ForkJoinPool",
                "java.util.concurrent.ThreadPoolExecutor",
                "java.util.concurrent.ScheduledThreadPoolExecutor",
                "io.netty.channel.MultiThreadIoEventLoopGroup",
                "io.netty.util.concurrent.DefaultThreadFactory",
                "io.netty.util.concurrent.GlobalEventExecutor");
        return new ArchCondition<>("start threads") {
            @Override
            public void check(JavaClass from, ConditionEvents events) {
                for (JavaAccess<?> access : from.getAccessesFromSelf()) {
                    String owner = access.getTargetOwner().getName();
                    String name = access.getTarget().getName();
                    boolean starts = owners.contains(owner)
                            || (access.getTargetOwner().isAssignableTo(Thread.class)
                                    && (name.equals("<init>")
                                            || name.equals("ofVirtual")
                                            || name.equals("startVirtualThread")))
                            || (owner.equals(CompletableFuture.class.getName()) && name.endsWith("Async"));
                    if (starts) {
                        events.add(SimpleConditionEvent.satisfied(from, access.getDescription()));
                    }
                }
            }
        };
    }

    @Test
    void hasNoCyclesBetweenPackages() {
        slices().matching("io.sluice.(*)..").should().beFreeOfCycles().check(CLASSES);
    }

    /** Classes that depend on each other must be read together, so their number is limited. */
    @Test
    void hasNoLongCyclesOfClasses() {
        Map<String, Set<String>> uses = new TreeMap<>();
        for (JavaClass from : CLASSES) {
            Set<String> used = uses.computeIfAbsent(topLevel(from), name -> new TreeSet<>());
            from.getDirectDependenciesFromSelf().stream()
                    .map(dependency -> topLevel(dependency.getTargetClass()))
                    .filter(name -> name.startsWith(ROOT))
                    .forEach(used::add);
        }
        for (Set<String> cycle : cycles(uses)) {
            String first = cycle.iterator().next().substring(ROOT.length());
            int most = LONGEST_CYCLES.getOrDefault(first.substring(0, first.indexOf('.')), 3);
            assertThat(cycle).hasSizeLessThanOrEqualTo(most);
        }
    }

    /**
     * Exceptions: in forward a session and its parts; in thread the supervisor and the threads that it creates; in objects
     * the sealed kinds of objects; in cli the commands, which refer to their parent.
     */
    private static final Map<String, Integer> LONGEST_CYCLES =
            Map.of("forward", 6, "thread", 5, "objects", 5, "cli", 6);

    private static String topLevel(JavaClass of) {
        return of.getName().replaceFirst("\\$.*", "");
    }

    /** Returns the sets of classes that all reach each other. */
    private static Collection<Set<String>> cycles(Map<String, Set<String>> uses) {
        Map<String, Set<String>> reach = new TreeMap<>();
        for (String from : uses.keySet()) {
            Set<String> reached = new TreeSet<>();
            Deque<String> next = new ArrayDeque<>(List.of(from));
            while (!next.isEmpty()) {
                for (String used : uses.getOrDefault(next.remove(), Set.of())) {
                    if (reached.add(used)) {
                        next.add(used);
                    }
                }
            }
            reach.put(from, reached);
        }
        Set<Set<String>> cycles = new HashSet<>();
        for (Map.Entry<String, Set<String>> each : reach.entrySet()) {
            Set<String> cycle = new TreeSet<>(Set.of(each.getKey()));
            each.getValue().stream()
                    .filter(other -> reach.getOrDefault(other, Set.of()).contains(each.getKey()))
                    .forEach(cycle::add);
            cycles.add(cycle);
        }
        return cycles;
    }

    /** The daemon and the configuration depend on few types, so that the others can change freely. */
    @Test
    void fewPublicTypesInApiserver() {
        assertThat(CLASSES.stream()
                        .filter(each -> each.getPackageName().equals(ROOT + "apiserver"))
                        .filter(each ->
                                each.isTopLevelClass() && each.getModifiers().contains(JavaModifier.PUBLIC))
                        .map(JavaClass::getSimpleName))
                .hasSizeLessThanOrEqualTo(5);
    }

    /** A longer file probably has more than one responsibility. */
    @Test
    void hasNoLongFiles() throws IOException {
        Map<String, Long> tooLong = new TreeMap<>();
        for (String module : List.of("proxy-core", "proxy-daemon")) {
            try (Stream<Path> files = Files.walk(Path.of("..", module, "src", "main", "java"))) {
                for (Path file : files.filter(Files::isRegularFile).toList()) {
                    try (Stream<String> lines = Files.lines(file)) {
                        long length = lines.count();
                        boolean onDataPath = module.equals("proxy-core")
                                && CONTROL_SIDE.stream().noneMatch(file::endsWith);
                        if (length > (onDataPath ? 300 : 400)) {
                            tooLong.put(String.valueOf(file.getFileName()), length);
                        }
                    }
                }
            }
        }
        // The exceptions are tables.
        assertThat(tooLong.keySet()).containsExactlyInAnyOrderElementsOf(LONG_FILES);
    }

    private static final Set<String> CONTROL_SIDE =
            Set.of("forward/Forwarder.java", "forward/FrontendTable.java", "socket/UnixSocket.java");
    private static final Set<String> LONG_FILES = Set.of("Setting.java");
}
