package io.sluice.thread;

import java.util.Optional;
import java.util.concurrent.ThreadFactory;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Creates supervised threads for a library. These threads cannot be restarted, so a thread that ends before {@link
 * #close} is reported as a failure from then on.
 */
public final class LibraryThreadFactory implements ThreadFactory, AutoCloseable, Supervisor.Supervised {
    private static final Logger log = LoggerFactory.getLogger(LibraryThreadFactory.class);

    private final Supervisor supervisor;
    private final String name;
    private final ThreadFactory factory;
    private volatile boolean closed;
    private volatile String error = "";

    LibraryThreadFactory(Supervisor supervisor, String name, ThreadFactory factory) {
        this.supervisor = supervisor;
        this.name = name;
        this.factory = factory;
    }

    @Override
    public Thread newThread(Runnable body) {
        return factory.newThread(() -> {
            try {
                body.run();
                ended("a thread ended unexpectedly");
            } catch (Throwable t) {
                ended(t.toString());
                throw t;
            }
        });
    }

    private void ended(String why) {
        if (!closed) {
            error = why;
            log.error("{}: {}; it cannot be restarted, so /livez fails until Sluice is restarted", name, why);
        }
    }

    @Override
    public String name() {
        return name;
    }

    @Override
    public Optional<String> failure(long nowNanos) {
        return error.isEmpty() ? Optional.empty() : Optional.of(error);
    }

    /** Stops the supervision. Threads that end afterwards are not reported. */
    @Override
    public void close() {
        closed = true;
        supervisor.remove(this);
    }
}
