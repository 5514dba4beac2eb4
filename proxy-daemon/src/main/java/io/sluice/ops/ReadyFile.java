package io.sluice.ops;

import io.sluice.thread.Supervisor;
import io.sluice.thread.Worker;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.function.BooleanSupplier;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * A file for probes, which exists only while this process is ready. During a handover on the host network, an HTTP
 * probe may reach the old or the new process; a file in a directory of the pod belongs to exactly one of them.
 */
public final class ReadyFile implements AutoCloseable {
    private static final Logger log = LoggerFactory.getLogger(ReadyFile.class);

    /**
     * Polling interval, which is shorter than the period of a probe. Polling also hides most of the brief moments in
     * which a feed change makes this process not ready, during which the file should remain.
     */
    private static final Duration INTERVAL = Duration.ofMillis(500);

    private final Path file;
    private final BooleanSupplier ready;
    // The following fields are guarded by this.
    private @Nullable Worker worker;
    private boolean closed;
    private boolean failing;

    /**
     * Creates the object, and removes the file if an earlier process left it behind.
     *
     * @throws IllegalStateException if the file cannot be removed, because probes would then report this process as
     *     ready
     */
    public ReadyFile(Path file, BooleanSupplier ready) {
        this.file = file;
        this.ready = ready;
        try {
            Files.deleteIfExists(file);
        } catch (IOException e) {
            throw new IllegalStateException("--ready-file: cannot remove '" + file + "': " + e, e);
        }
    }

    /** Starts creating and removing the file as readiness changes. */
    public synchronized void start(Supervisor supervisor) {
        worker = supervisor.scheduled("sluice-ready-file", INTERVAL, this::update);
    }

    synchronized void update() {
        if (!closed) {
            set(ready.getAsBoolean());
        }
    }

    private void set(boolean there) {
        try {
            if (!there) {
                Files.deleteIfExists(file);
            } else if (!Files.exists(file)) {
                Files.createFile(file);
            }
            failing = false;
        } catch (IOException e) {
            if (!failing) {
                log.warn(
                        "cannot {} readiness file '{}': {}; probes that check it report stale readiness until a"
                                + " retry succeeds",
                        there ? "create" : "remove",
                        file,
                        e.toString());
            }
            failing = true;
        }
    }

    /** Removes the file permanently. */
    @Override
    public synchronized void close() {
        if (!closed) {
            closed = true;
            if (worker != null) {
                worker.stop();
            }
            set(false);
        }
    }
}
