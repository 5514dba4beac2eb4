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
    private Path folder;

    private boolean ready;

    @Test
    void isThereExactlyWhileReady() throws Exception {
        Path file = folder.resolve("ready");
        Files.createFile(file);
        ReadyFile readyFile = new ReadyFile(file, () -> ready);
        assertThat(file).as("left by somebody who was killed").doesNotExist();
        readyFile.look();
        assertThat(file).doesNotExist();
        ready = true;
        readyFile.look();
        readyFile.look();
        assertThat(file).exists();
        ready = false;
        readyFile.look();
        assertThat(file).doesNotExist();
        ready = true;
        readyFile.look();
        Files.delete(file);
        readyFile.look();
        assertThat(file).as("somebody else removed it").exists();
        readyFile.close();
        readyFile.look();
        assertThat(file).as("a look that comes late").doesNotExist();
    }

    @Test
    void aFolderThatIsNotThereStopsNothing() throws Exception {
        ready = true;
        Path file = folder.resolve("later/ready");
        try (ReadyFile readyFile = new ReadyFile(file, () -> ready)) {
            readyFile.look();
            Files.createDirectory(folder.resolve("later"));
            readyFile.look();
            assertThat(file).exists();
        }
    }

    @Test
    void itIsMadeThoughAskingFailedBefore() {
        Path file = folder.resolve("ready");
        AtomicInteger asked = new AtomicInteger();
        try (ReadyFile readyFile = new ReadyFile(file, () -> {
            if (asked.incrementAndGet() == 1) {
                throw new StackOverflowError("as the test wants");
            }
            return true;
        })) {
            readyFile.start(new Supervisor());
            await().until(() -> Files.exists(file));
            assertThat(asked.get()).isGreaterThan(1);
        }
    }

    @Test
    void whatCannotBeRemovedWouldSpeakForUs() throws Exception {
        Files.createDirectories(folder.resolve("ready/full"));
        assertThatThrownBy(() -> new ReadyFile(folder.resolve("ready"), () -> ready))
                .isInstanceOf(IllegalStateException.class)
                .hasMessageContaining("--ready-file: ");
    }
}
