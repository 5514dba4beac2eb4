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
 * A file that is there while this process is ready. On a node's own network two processes share the health port while
 * one takes over from the other, so whoever asks there may hear the other one; a file in a pod's own folder is its own.
 */
public final class ReadyFile implements AutoCloseable {
    private static final Logger log = LoggerFactory.getLogger(ReadyFile.class);

    /** Below what any probe asks; looked at rather than told of, since a change of the feed takes readiness away for a moment. */
    private static final Duration LOOK = Duration.ofMillis(500);

    private final Path file;
    private final BooleanSupplier ready;
    // Guarded by this.
    private @Nullable Worker looker;
    private boolean closed;
    private boolean failing;

    /**
     * Removes what a predecessor that was killed left there.
     *
     * @throws IllegalStateException if that cannot be done: it would speak for us
     */
    public ReadyFile(Path file, BooleanSupplier ready) {
        this.file = file;
        this.ready = ready;
        try {
            Files.deleteIfExists(file);
        } catch (IOException e) {
            throw new IllegalStateException("--ready-file: " + file + " cannot be removed: " + e, e);
        }
    }

    public synchronized void start(Supervisor supervisor) {
        looker = supervisor.scheduled("sluice-ready-file", LOOK, this::look);
    }

    synchronized void look() {
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
                        "{} cannot be {}, so who asks it is told wrong: {}",
                        file,
                        there ? "made" : "removed",
                        e.toString());
            }
            failing = true;
        }
    }

    /** Not ready any more. */
    @Override
    public synchronized void close() {
        if (!closed) {
            closed = true;
            if (looker != null) {
                looker.stop();
            }
            set(false);
        }
    }
}
