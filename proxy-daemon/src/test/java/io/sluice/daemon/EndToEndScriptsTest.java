package io.sluice.daemon;

import static io.sluice.daemon.Manifests.DEPLOY;
import static org.assertj.core.api.Assertions.assertThat;

import io.sluice.daemon.Manifests.Output;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** The parts of {@code deploy/e2e} that need no cluster. */
@Tag("one-jdk")
final class EndToEndScriptsTest {
    private static final Path SCRIPTS = DEPLOY.resolve("e2e");

    @TempDir
    private Path directory;

    @ParameterizedTest
    @ValueSource(strings = {"build", "images", "cluster", "suite", "scenarios", "policies", "kernel"})
    void printsHowToUseIt(String script) throws Exception {
        Path file = SCRIPTS.resolve(script);
        assertThat(Manifests.run(List.of("bash", "-n", file.toString())).text()).isEmpty();
        Output help = Manifests.run(List.of(file.toString(), "--help"));
        assertThat(help.code()).isZero();
        assertThat(help.text()).startsWith("usage: deploy/e2e/" + script);
        assertThat(Files.readString(SCRIPTS.resolve("README.md"))).contains("| `" + script + "` |");
    }

    private String run(String name, String... cases) throws Exception {
        Path results = Files.createDirectory(directory.resolve(name));
        Files.writeString(
                results.resolve("junit.xml"),
                "<testsuites><testsuite>" + String.join("", cases)
                        + "<testcase name=\"[SynchronizedBeforeSuite]\" status=\"passed\"/></testsuite></testsuites>");
        return results.toString();
    }

    private static String test(String name, String status) {
        return "<testcase name=\"[It] [sig-network] " + name + " [Conformance]\" status=\"" + status + "\"/>";
    }

    /** Skipped tests and set-up steps are no results; a later run of a test replaces an earlier one. */
    @Test
    void tableShowsRunsSideBySide() throws Exception {
        String first = run("a", test("DNS works", "passed"), test("Services [x] work", "failed"), test("c", "skipped"));
        String second = run("b", test("DNS works", "failed"));
        String again = run("again", test("DNS works", "passed"));
        Output table = Manifests.run(List.of(
                Path.of(System.getProperty("java.home"), "bin/java").toString(),
                SCRIPTS.resolve("Table.java").toString(),
                "one=" + first,
                "two=" + second + "," + again));
        assertThat(table.text()).isEqualTo("""
                | test | one | two |
                |---|---|---|
                | **passed** | 1 | 1 |
                | **failed** | 1 | 0 |
                | DNS works | passed | passed |
                | Services work | failed | – |
                """);
        assertThat(table.code()).isZero();
    }
}
