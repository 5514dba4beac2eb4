package io.sluice.thread;

import java.time.Duration;
import java.util.Optional;

/** A liveness check that fails if the last call of {@link #beat} was longer ago than a limit. */
public final class Heartbeat implements AutoCloseable, Supervisor.Supervised {
    private final Supervisor supervisor;
    private final String name;
    private final Duration limit;
    private volatile long lastNanos;

    Heartbeat(Supervisor supervisor, String name, Duration limit) {
        this.supervisor = supervisor;
        this.name = name;
        this.limit = limit;
        beat();
    }

    /** Reports progress. Thread-safe. */
    public void beat() {
        lastNanos = supervisor.now();
    }

    @Override
    public String name() {
        return name;
    }

    @Override
    public Optional<String> failure(long nowNanos) {
        return nowNanos - lastNanos < limit.toNanos()
                ? Optional.empty()
                : Optional.of(
                        "stuck for " + Duration.ofNanos(nowNanos - lastNanos).toSeconds() + " s");
    }

    /** Stops the supervision. */
    @Override
    public void close() {
        supervisor.remove(this);
    }
}
