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
 * A file that exists while this process is ready, for probes. During a handover on the host network, the old and the new
 * process share the health port and either may answer a probe; a file in a directory of the pod is unambiguous.
 */
public final class ReadyFile implements AutoCloseable {
    private static final Logger log = LoggerFactory.getLogger(ReadyFile.class);

    /**
     * Shorter than the period of any probe. Readiness is polled, because a change of the feed interrupts it for a moment,
     * which should not remove the file.
     */
    private static final Duration INTERVAL = Duration.ofMillis(500);

    private final Path file;
    private final BooleanSupplier ready;
    // Guarded by this.
    private @Nullable Worker worker;
    private boolean closed;
    private boolean failing;

    /**
     * Removes a file that an earlier process left behind.
     *
     * @throws IllegalStateException if it cannot be removed: probes would take this process for ready
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

    /** Starts to create and remove the file as readiness changes. */
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
                        "cannot {} '{}', so probes of this file see the wrong readiness: {}; retrying",
                        there ? "create" : "remove",
                        file,
                        e.toString());
            }
            failing = true;
        }
    }

    /** Removes the file for good. */
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
