package io.sluice.daemon;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import java.util.function.BooleanSupplier;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * A file that is there while this process is ready. On a node's own network two processes share the health port while
 * one takes over from the other, so whoever asks there may hear the other one; a file in a pod's own folder is its own.
 */
final class ReadyFile implements AutoCloseable {
    private static final Logger log = LoggerFactory.getLogger(ReadyFile.class);

    /** Below what any probe asks; looked at rather than told of, since a change of the feed takes readiness away for a moment. */
    private static final long LOOK_MILLIS = 500;

    private final Path file;
    private final BooleanSupplier ready;
    private final ScheduledExecutorService looker = Executors.newSingleThreadScheduledExecutor(task -> {
        Thread thread = new Thread(task, "sluice-ready-file");
        thread.setDaemon(true);
        return thread;
    });
    // Guarded by this.
    private boolean closed;
    private boolean failing;

    /**
     * Removes what a predecessor that was killed left there.
     *
     * @throws IllegalStateException if that cannot be done: it would speak for us
     */
    ReadyFile(Path file, BooleanSupplier ready) {
        this.file = file;
        this.ready = ready;
        try {
            Files.deleteIfExists(file);
        } catch (IOException e) {
            throw new IllegalStateException("--ready-file: " + file + " cannot be removed: " + e, e);
        }
    }

    @SuppressWarnings("FutureReturnValueIgnored") // it ends with the process
    void start() {
        looker.scheduleWithFixedDelay(this::look, 0, LOOK_MILLIS, TimeUnit.MILLISECONDS);
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
            looker.shutdown();
            set(false);
        }
    }
}
