package io.sluice.ops;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import io.sluice.thread.Supervisor;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

final class ReadyFileTest {
    @TempDir
    private Path directory;

    private boolean ready;

    @Test
    void existsExactlyWhileReady() throws Exception {
        Path file = directory.resolve("ready");
        Files.createFile(file);
        ReadyFile readyFile = new ReadyFile(file, () -> ready);
        assertThat(file).as("left behind by a killed process").doesNotExist();
        readyFile.update();
        assertThat(file).doesNotExist();
        ready = true;
        readyFile.update();
        readyFile.update();
        assertThat(file).exists();
        ready = false;
        readyFile.update();
        assertThat(file).doesNotExist();
        ready = true;
        readyFile.update();
        Files.delete(file);
        readyFile.update();
        assertThat(file).as("removed by another process").exists();
        readyFile.close();
        readyFile.update();
        assertThat(file).as("after a late update").doesNotExist();
    }

    @Test
    void createsTheFileOnceItsDirectoryExists() throws Exception {
        ready = true;
        Path file = directory.resolve("later/ready");
        try (ReadyFile readyFile = new ReadyFile(file, () -> ready)) {
            readyFile.update();
            Files.createDirectory(directory.resolve("later"));
            readyFile.update();
            assertThat(file).exists();
        }
    }

    @Test
    void createsTheFileAfterAFailedCheck() {
        Path file = directory.resolve("ready");
        AtomicInteger checks = new AtomicInteger();
        try (ReadyFile readyFile = new ReadyFile(file, () -> {
            if (checks.incrementAndGet() == 1) {
                throw new StackOverflowError("simulated");
            }
            return true;
        })) {
            readyFile.start(new Supervisor());
            await().until(() -> Files.exists(file));
            assertThat(checks.get()).isGreaterThan(1);
        }
    }

    @Test
    void failsIfALeftoverFileCannotBeRemoved() throws Exception {
        Files.createDirectories(directory.resolve("ready/full"));
        assertThatThrownBy(() -> new ReadyFile(directory.resolve("ready"), () -> ready))
                .isInstanceOf(IllegalStateException.class)
                .hasMessageContaining("--ready-file: ");
    }
}
