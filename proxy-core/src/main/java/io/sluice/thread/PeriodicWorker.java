package io.sluice.thread;

import java.time.Duration;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** A worker that runs a task periodically. An exception thrown by the task is logged and does not end the thread. */
final class PeriodicWorker extends Worker {
    private static final Logger log = LoggerFactory.getLogger(PeriodicWorker.class);

    /** The time after which a run counts as stuck; longer than any timeout of a task or of a program that it runs. */
    private static final Duration STUCK_AFTER = Duration.ofMinutes(5);

    private final Duration period;
    private final Runnable task;
    /** The type of the exception thrown by the last run; null if that run succeeded. */
    private @Nullable Class<?> failure;

    PeriodicWorker(Supervisor supervisor, String name, Duration period, Runnable task) {
        super(supervisor, name, () -> {}, true);
        this.period = period;
        this.task = task;
    }

    @Override
    void work() {
        try (Heartbeat heartbeat = supervisor.heartbeat(name(), STUCK_AFTER.plus(period))) {
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
                log.info("periodic task {} succeeded after failing", name());
            }
        } catch (Throwable t) {
            // Compares exception types, because the message may differ each time.
            if (!t.getClass().equals(failure)) {
                failure = t.getClass();
                log.error("periodic task {} failed; retrying every {} ms", name(), period.toMillis(), t);
            }
        }
    }
}
