package io.sluice.daemon;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Tests {@code sluice demo} of the distribution. */
@Tag("end-to-end")
final class DemoIT {
    @TempDir
    private Path directory;

    private Map<String, String> tempDirectory() throws Exception {
        Path temp = Files.createDirectories(directory.resolve("temp"));
        return Map.of("JDK_JAVA_OPTIONS", "-Djava.io.tmpdir=" + temp);
    }

    private void assertCleanedUp() throws Exception {
        try (Stream<Path> left = Files.list(directory.resolve("temp"))) {
            assertThat(left.map(Path::getFileName).map(Path::toString).filter(name -> name.startsWith("sluice-demo")))
                    .isEmpty();
        }
    }

    @Test
    void onceVerifiesItsClaimsAndCleansUp() throws Exception {
        try (SluiceProcess demo = SluiceProcess.start(
                directory, SluiceProcess.HOME.resolve("bin/sluice"), tempDirectory(), "demo", "--once")) {
            assertThat(demo.exitCode()).as(demo.out() + demo.err()).isZero();
            assertThat(demo.out())
                    .contains("ok      round robin: each endpoint answered exactly 4 requests", "All checks passed.")
                    .doesNotContain("FAILED  ", "\033[");
            assertThat(demo.out().lines())
                    .allSatisfy(line -> assertThat(line.length()).isLessThanOrEqualTo(100));
            assertThat(demo.err())
                    .as("only the JVM's note about JDK_JAVA_OPTIONS")
                    .hasLineCount(1)
                    .startsWith("NOTE: Picked up");
        }
        assertCleanedUp();
    }

    @Test
    void servesUntilASignalWithoutOnce() throws Exception {
        try (SluiceProcess demo =
                SluiceProcess.start(directory, SluiceProcess.HOME.resolve("bin/sluice"), tempDirectory(), "demo")) {
            await().atMost(Duration.ofSeconds(30)).until(() -> demo.out().contains("connections ("));
            assertThat(demo.out()).contains("curl http://127.96.0.10:");
            demo.signal("INT");
            assertThat(demo.exitCode()).isZero();
            assertThat(demo.out()).endsWith("stopped and cleaned up\n");
        }
        assertCleanedUp();
    }

    @Test
    void endsWhenStandardOutputIsClosed() throws Exception {
        String line = "{ timeout 50 '" + SluiceProcess.HOME.resolve("bin/sluice")
                + "' demo; echo \"ended with $?\" >&2; } | head -3";
        try (SluiceProcess shell = SluiceProcess.start(directory, Path.of("/bin/sh"), tempDirectory(), "-c", line)) {
            assertThat(shell.exitCode()).isZero();
            assertThat(shell.err()).contains("ended with 0");
            assertThat(shell.out()).contains("Sluice demo");
        }
        assertCleanedUp();
    }
}
