package io.sluice.daemon;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Tests the script {@code bin/sluice}: how it finds its directory and Java, and which flags it passes to the JVM. */
final class LauncherIT {
    @TempDir
    private Path directory;

    private final Path launcher = SluiceProcess.HOME.resolve("bin/sluice");

    /** A Java that prints its version for {@code -version}, and its arguments, one per line, otherwise. */
    private Path fakeJava(String version) throws IOException {
        Path home = Files.createDirectories(directory.resolve("java " + version));
        Path java = Files.createDirectories(home.resolve("bin")).resolve("java");
        Files.writeString(java, """
                #!/bin/sh
                if [ "$1" = -version ]; then echo 'openjdk version "%s"' >&2; exit 0; fi
                for word in "$@"; do echo "$word"; done
                """.formatted(version));
        Files.setPosixFilePermissions(java, PosixFilePermissions.fromString("rwxr-xr-x"));
        return home;
    }

    private SluiceProcess run(Path script, Map<String, String> environment, String... args) throws Exception {
        SluiceProcess sluice = SluiceProcess.start(directory, script, environment, args);
        sluice.exitCode();
        return sluice;
    }

    private String flagsFor(String version, String options) throws Exception {
        try (SluiceProcess sluice =
                run(launcher, Map.of("JAVA_HOME", fakeJava(version).toString(), "JDK_JAVA_OPTIONS", options), "run")) {
            assertThat(sluice.exitCode()).isZero();
            assertThat(sluice.err()).isEmpty();
            return sluice.out();
        }
    }

    /**
     * The launcher runs {@code readlink} early. The replacement signals the process group, which contains only these
     * two processes.
     */
    @Test
    void ignoresSigusr1FromTheStartOfTheLauncher() throws Exception {
        Path bin = Files.createDirectories(directory.resolve("bin"));
        Path readlink = Files.writeString(bin.resolve("readlink"), """
                #!/bin/sh
                trap '' USR1
                kill -USR1 0
                PATH=${PATH#*:} exec readlink "$@"
                """);
        Path detached = Files.writeString(
                directory.resolve("detached"), "#!/bin/sh\nexec setsid --wait '" + launcher + "' \"$@\"\n");
        for (Path script : new Path[] {readlink, detached}) {
            Files.setPosixFilePermissions(script, PosixFilePermissions.fromString("rwxr-xr-x"));
        }
        Map<String, String> environment =
                Map.of("JAVA_HOME", fakeJava("17.0.1").toString(), "PATH", bin + ":" + System.getenv("PATH"));
        try (SluiceProcess sluice = run(detached, environment, "run")) {
            assertThat(sluice.exitCode()).isZero();
            assertThat(sluice.out()).endsWith("io.sluice.cli.Main\nrun\n");
        }
    }

    @Test
    void rejectsOldJavaInOneLine() throws Exception {
        for (String version : new String[] {"11.0.2", "1.8.0_372", "16"}) {
            try (SluiceProcess sluice =
                    run(launcher, Map.of("JAVA_HOME", fakeJava(version).toString()))) {
                assertThat(sluice.exitCode()).isEqualTo(2);
                assertThat(sluice.out()).isEmpty();
                assertThat(sluice.err())
                        .hasLineCount(1)
                        .startsWith("sluice: needs Java 17 or newer, but '")
                        .contains("is version " + version);
            }
        }
    }

    @Test
    void reportsAJavaHomeWithoutJava() throws Exception {
        try (SluiceProcess sluice = run(launcher, Map.of("JAVA_HOME", "/nowhere"))) {
            assertThat(sluice.exitCode()).isEqualTo(2);
            assertThat(sluice.err()).isEqualTo("sluice: JAVA_HOME is '/nowhere', but it contains no bin/java\n");
        }
    }

    @Test
    void usesJavaOnThePathWithoutJavaHome() throws Exception {
        String path = fakeJava("17.0.1").resolve("bin") + ":" + System.getenv("PATH");
        try (SluiceProcess sluice = run(launcher, Map.of("JAVA_HOME", "", "PATH", path), "--help")) {
            assertThat(sluice.exitCode()).isZero();
            assertThat(sluice.out()).endsWith("io.sluice.cli.Main\n--help\n");
        }
    }

    /** A runtime of jlink, which makes the directory independent of the Java of the machine. */
    @Test
    void prefersTheRuntimeInTheDistribution() throws Exception {
        Path bin = Files.createDirectories(directory.resolve("sluice/bin"));
        Path copy = Files.copy(launcher, bin.resolve("sluice"), StandardCopyOption.COPY_ATTRIBUTES);
        Files.move(fakeJava("25"), directory.resolve("sluice/java"));
        try (SluiceProcess sluice = run(copy, Map.of("JAVA_HOME", ""), "--help")) {
            assertThat(sluice.exitCode()).as(sluice.err()).isZero();
            assertThat(sluice.out()).endsWith("io.sluice.cli.Main\n--help\n");
        }
    }

    @Test
    void choosesFlagsForTheJavaVersion() throws Exception {
        assertThat(flagsFor("17.0.1", ""))
                .contains("-XX:+UseSerialGC\n", "-Xmx1g\n")
                .doesNotContain("--enable-native-access", "UseCompactObjectHeaders");
        assertThat(flagsFor("22", ""))
                .contains("--enable-native-access=ALL-UNNAMED\n")
                .doesNotContain("UseCompactObjectHeaders");
        assertThat(flagsFor("25-ea", ""))
                .contains("--enable-native-access=ALL-UNNAMED\n", "-XX:+UseCompactObjectHeaders\n");
    }

    @Test
    void userOptionsOverrideTheDefaults() throws Exception {
        assertThat(flagsFor("25", "-XX:+UseG1GC -Xmx100m -XX:-UseCompactObjectHeaders"))
                .doesNotContain("UseSerialGC", "-Xmx1g", "-Xms", "UseCompactObjectHeaders")
                .contains("-XX:+ExitOnOutOfMemoryError\n");
        assertThat(flagsFor("25", "-XX:MaxRAMPercentage=30")).doesNotContain("-Xm");
    }

    @Test
    void listsEveryJarInOrderOnTheClassPath() throws Exception {
        String[] lines = flagsFor("17", "").split("\n");
        String classPath = lines[java.util.Arrays.asList(lines).indexOf("-cp") + 1];
        try (Stream<Path> jars = Files.list(SluiceProcess.HOME.resolve("lib"))) {
            assertThat(classPath.split(":"))
                    .containsExactlyElementsOf(jars.map(Path::toString).sorted().toList());
        }
    }

    @Test
    void worksThroughSymbolicLinksAndFromADirectoryWithSpaces() throws Exception {
        Path home = Files.createDirectories(directory.resolve("a b/sluice home"));
        Files.createSymbolicLink(home.resolve("bin"), SluiceProcess.HOME.resolve("bin"));
        Path copied = directory.resolve("c d");
        Files.createDirectories(copied.resolve("bin"));
        Files.copy(launcher, copied.resolve("bin/sluice"), java.nio.file.StandardCopyOption.COPY_ATTRIBUTES);
        Files.createSymbolicLink(copied.resolve("lib"), SluiceProcess.HOME.resolve("lib"));
        Path relative = Files.createSymbolicLink(directory.resolve("relative"), Path.of("c d/bin/sluice"));
        Path twice = Files.createSymbolicLink(directory.resolve("twice"), relative);
        for (Path script : new Path[] {home.resolve("bin/sluice"), copied.resolve("bin/sluice"), relative, twice}) {
            try (SluiceProcess sluice = run(script, Map.of(), "--version")) {
                assertThat(sluice.exitCode()).as(script.toString()).isZero();
                assertThat(sluice.out()).startsWith("sluice ");
                assertThat(sluice.err()).isEmpty();
            }
        }
    }

    /** Copies the distribution, so that a test may add files. */
    private Path copy() throws IOException {
        Path copied = Files.createDirectories(directory.resolve("copied"));
        for (String part : new String[] {"bin", "lib"}) {
            Files.createDirectories(copied.resolve(part));
            try (Stream<Path> files = Files.list(SluiceProcess.HOME.resolve(part))) {
                for (Path file : files.toList()) {
                    Files.copy(
                            file,
                            copied.resolve(part).resolve(file.getFileName()),
                            java.nio.file.StandardCopyOption.COPY_ATTRIBUTES);
                }
            }
        }
        return copied.resolve("bin/sluice");
    }

    private static final String UNUSED = " is not used: it was created with another Java version, jars or flags;";

    private String startAndReadLog(Path script, String options) throws Exception {
        Files.writeString(directory.resolve("feed.yaml"), "{apiVersion: v1, kind: List, items: []}");
        try (SluiceProcess sluice = SluiceProcess.start(
                directory,
                script,
                Map.of("JDK_JAVA_OPTIONS", options),
                "run",
                "--feed=feed.yaml",
                "--healthz-bind-address=127.0.0.1:0",
                "--metrics-bind-address=off")) {
            RunIT.awaitReady(sluice);
            assertThat(sluice.out()).isEmpty();
            return sluice.err();
        }
    }

    @Test
    void createsACacheAndReportsAMismatchInOneLine() throws Exception {
        Path copied = copy();
        try (SluiceProcess aot = run(copied, Map.of(), "aot")) {
            assertThat(aot.err()).isEmpty();
            assertThat(aot.out()).hasLineCount(1).endsWith("; later starts use it\n");
            assertThat(aot.exitCode()).isZero();
        }
        assertThat(startAndReadLog(copied, "-Dof=mine")).doesNotContain(UNUSED, "[aot]", "[cds]");
        // Add a jar as the first one. It must not be empty: Java 25 ignores empty files, and the cache would still
        // match.
        Path lib = copied.resolveSibling("../lib");
        try (Stream<Path> jars = Files.list(lib)) {
            Files.copy(jars.findAny().orElseThrow(), lib.resolve("a.jar"));
        }
        assertThat(startAndReadLog(copied, "-Dof=mine").lines())
                .filteredOn(line -> line.contains(UNUSED) || line.contains("[aot]") || line.contains("[cds]"))
                .hasSize(1);
        assertThat(startAndReadLog(copied, "-Xshare:off"))
                .as("no message if the user disabled the cache")
                .doesNotContain(UNUSED);
    }

    @Test
    void rejectsArgumentsOfAot() throws Exception {
        try (SluiceProcess sluice = run(launcher, Map.of(), "aot", "--help")) {
            assertThat(sluice.exitCode()).isEqualTo(2);
            assertThat(sluice.err()).startsWith("sluice: aot takes no arguments");
        }
    }

    @Test
    void passesThroughExitCodeAndErrors() throws Exception {
        try (SluiceProcess sluice = run(launcher, Map.of(), "run", "--fed", "a b")) {
            assertThat(sluice.exitCode()).isEqualTo(2);
            assertThat(sluice.err()).startsWith("sluice: unknown flag '--fed'; did you mean '--feed'?");
        }
    }
}
