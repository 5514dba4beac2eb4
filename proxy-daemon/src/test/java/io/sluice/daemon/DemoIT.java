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

/** {@code sluice demo}, from the distribution. */
@Tag("end-to-end")
final class DemoIT {
    @TempDir
    private Path folder;

    private Map<String, String> tempFolder() throws Exception {
        Path temp = Files.createDirectories(folder.resolve("temp"));
        return Map.of("JDK_JAVA_OPTIONS", "-Djava.io.tmpdir=" + temp);
    }

    private void assertCleanedUp() throws Exception {
        try (Stream<Path> left = Files.list(folder.resolve("temp"))) {
            assertThat(left.map(Path::getFileName).map(Path::toString).filter(name -> name.startsWith("sluice-demo")))
                    .isEmpty();
        }
    }

    @Test
    void onceHoldsWhatItClaims() throws Exception {
        try (Sluice demo = Sluice.start(folder, Sluice.HOME.resolve("bin/sluice"), tempFolder(), "demo", "--once")) {
            assertThat(demo.exitCode()).as(demo.out() + demo.err()).isZero();
            assertThat(demo.out())
                    .contains("ok      each endpoint answered exactly 4 of them", "Everything is as it should be.")
                    .doesNotContain("FAILED  ", "\033[");
            assertThat(demo.out().lines())
                    .allSatisfy(line -> assertThat(line.length()).isLessThanOrEqualTo(100));
            assertThat(demo.err()).as("only Java's own note").hasLineCount(1).startsWith("NOTE: Picked up");
        }
        assertCleanedUp();
    }

    @Test
    void withoutOnceItServesUntilASignal() throws Exception {
        try (Sluice demo = Sluice.start(folder, Sluice.HOME.resolve("bin/sluice"), tempFolder(), "demo")) {
            await().atMost(Duration.ofSeconds(30)).until(() -> demo.out().contains("connections ("));
            assertThat(demo.out()).contains("curl http://127.96.0.10:");
            demo.signal("INT");
            assertThat(demo.exitCode()).isZero();
            assertThat(demo.out()).endsWith("stopped, and cleaned up\n");
        }
        assertCleanedUp();
    }

    @Test
    void endsWhenNobodyReadsAnyMore() throws Exception {
        String line = "{ timeout 50 '" + Sluice.HOME.resolve("bin/sluice")
                + "' demo; echo \"ended with $?\" >&2; } | head -3";
        try (Sluice shell = Sluice.start(folder, Path.of("/bin/sh"), tempFolder(), "-c", line)) {
            assertThat(shell.exitCode()).isZero();
            assertThat(shell.err()).contains("ended with 0");
            assertThat(shell.out()).contains("Sluice demo");
        }
        assertCleanedUp();
    }
}
