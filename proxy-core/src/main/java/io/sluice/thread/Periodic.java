package io.sluice.thread;

import java.time.Duration;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Runs a task again and again, whatever it throws. */
final class Periodic extends Worker {
    private static final Logger log = LoggerFactory.getLogger(Periodic.class);

    /** Longer than such a task waits for anything, programs of the system included. */
    private static final Duration STUCK = Duration.ofMinutes(5);

    private final Duration period;
    private final Runnable task;
    /** What it threw last time; null if nothing. */
    private @Nullable Class<?> failure;

    Periodic(Supervisor supervisor, String name, Duration period, Runnable task) {
        super(supervisor, name, () -> {}, true);
        this.period = period;
        this.task = task;
    }

    @Override
    void work() {
        try (Heartbeat heartbeat = supervisor.heartbeat(name(), STUCK.plus(period))) {
            do {
                runOnce();
                heartbeat.beat();
            } while (!isStoppedWithin(period.toNanos()));
        }
    }

    private void runOnce() {
        try {
            task.run();
            if (failure != null) {
                failure = null;
                log.info("the periodic task of thread {} works again", name());
            }
        } catch (Throwable t) {
            // Its text may be another each time.
            if (!t.getClass().equals(failure)) {
                failure = t.getClass();
                log.error("the periodic task of thread {} failed and is tried again", name(), t);
            }
        }
    }
}
