package io.sluice.handover;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.sluice.socket.UnixListener;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicLong;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

final class HandoverMarkerTest {
    private static final long SECOND = 1_000_000_000L;

    @TempDir
    private Path directory;

    private final AtomicLong clock = new AtomicLong();
    private final AtomicBoolean listening = new AtomicBoolean(true);

    private Path file() {
        return directory.resolve("handed-over");
    }

    private HandoverMarker marker() {
        return new HandoverMarker(file(), directory.resolve("s"), listening::get, clock::get);
    }

    private static CountDownLatch stopped() {
        return new CountDownLatch(0);
    }

    @Test
    void startsAtOnceWithoutTheFile() throws Exception {
        assertThat(marker().standBy(null, stopped())).isTrue();
    }

    @Test
    void standsByWhileAnotherProcessListens() throws Exception {
        HandoverMarker.write(file());
        HandoverMarker.write(file());
        assertThat(directory).isDirectoryContaining(path -> path.equals(file()));
        Path ready = Files.createFile(directory.resolve("ready"));
        assertThat(marker().standBy(ready, stopped())).as("stopped").isFalse();
        assertThat(ready).doesNotExist();
        assertThat(file()).exists();
    }

    @Test
    void countsTheTimeWithoutAProcessFromTheLastOne() {
        HandoverMarker marker = marker();
        for (int second = 0; second < 20; second++) {
            clock.set(second * SECOND);
            listening.set(second % 5 == 0);
            assertThat(marker.isAbsent()).as("second " + second).isFalse();
        }
        clock.set(20 * SECOND - 1);
        assertThat(marker.isAbsent()).isFalse();
        clock.set(20 * SECOND);
        assertThat(marker.isAbsent()).isTrue();
    }

    @Test
    void removesTheFileAndStartsIfNoProcessListens() throws Exception {
        HandoverMarker.write(file());
        listening.set(false);
        AtomicLong calls = new AtomicLong();
        HandoverMarker marker = new HandoverMarker(
                file(), directory.resolve("s"), listening::get, () -> calls.getAndIncrement() * 6 * SECOND);
        assertThat(marker.standBy(null, new CountDownLatch(1))).isTrue();
        assertThat(file()).doesNotExist();
    }

    @Test
    void checksTheSocket() throws Exception {
        Path socket = directory.resolve("s");
        try (UnixListener open = UnixListener.bind(socket)) {
            assertThat(open.descriptor().isOpen()).isTrue();
            HandoverMarker.write(file());
            assertThat(new HandoverMarker(file(), socket).standBy(null, stopped()))
                    .isFalse();
        }
    }

    @Test
    void reportsAFileThatCannotBeRemoved() throws Exception {
        Files.createDirectories(file().resolve("not-empty"));
        assertThatThrownBy(marker()::remove)
                .isInstanceOf(IllegalStateException.class)
                .hasMessageStartingWith("--handover-marker: cannot remove '" + file() + "'");
        HandoverMarker.write(directory.resolve("none/file"));
        assertThat(directory.resolve("none")).doesNotExist();
    }
}
