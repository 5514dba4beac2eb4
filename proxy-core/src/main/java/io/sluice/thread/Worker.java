package io.sluice.thread;

import java.time.Duration;
import java.util.Optional;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * A thread that runs a body again if the body dies, after a back-off that doubles each time, from 100 ms up to 10 s.
 */
public class Worker implements AutoCloseable, Supervisor.Supervised {
    private static final Logger log = LoggerFactory.getLogger(Worker.class);

    private static final long MIN_BACK_OFF_NANOS = TimeUnit.MILLISECONDS.toNanos(100);
    private static final long MAX_BACK_OFF_NANOS = TimeUnit.SECONDS.toNanos(10);

    /**
     * The number of deaths within {@link #DEATHS_WITHIN} that counts as a failure. A run that lasts at least for {@code
     * DEATHS_WITHIN} resets the back-off.
     */
    static final int MAX_DEATHS = 5;

    static final Duration DEATHS_WITHIN = Duration.ofMinutes(1);

    final Supervisor supervisor;
    private final String name;
    private final Supervisor.Body body;
    private final boolean restartsOnReturn;
    private final Thread thread;
    private final CountDownLatch stopped = new CountDownLatch(1);
    /**
     * The times of the last deaths, oldest first; guarded by the array's monitor. Preallocated, in case a body dies
     * because memory is exhausted.
     */
    private final long[] deathNanos = new long[MAX_DEATHS];

    private int deaths;
    private volatile @Nullable Throwable lastCause;
    private volatile boolean ended;

    Worker(Supervisor supervisor, String name, Supervisor.Body body, boolean restartsOnReturn) {
        this.supervisor = supervisor;
        this.name = name;
        this.body = body;
        this.restartsOnReturn = restartsOnReturn;
        this.thread = Supervisor.newThread(name, this::run);
    }

    void start() {
        thread.start();
    }

    private void run() {
        try {
            runUntilDone();
            supervisor.remove(this);
        } finally {
            ended = true;
        }
    }

    private void runUntilDone() {
        long backOffNanos = MIN_BACK_OFF_NANOS;
        long sinceNanos = supervisor.now();
        while (!isDone()) {
            if (supervisor.now() - sinceNanos >= DEATHS_WITHIN.toNanos()) {
                backOffNanos = MIN_BACK_OFF_NANOS;
            }
            if (isStoppedWithin(backOffNanos)) {
                return;
            }
            backOffNanos = Math.min(MAX_BACK_OFF_NANOS, backOffNanos * 2);
            sinceNanos = supervisor.now();
        }
    }

    /** Runs the body once and returns whether the thread should end. Never throws. */
    private boolean isDone() {
        try {
            work();
            if (restartsOnReturn && !isStopped()) {
                died(null);
            }
        } catch (Throwable t) {
            if (!isStopped()) {
                died(t);
                return false;
            }
        }
        return !restartsOnReturn || isStopped();
    }

    /** Does the work of this thread until it is done or stopped. */
    void work() throws InterruptedException {
        body.run();
    }

    private void died(@Nullable Throwable cause) {
        lastCause = cause;
        synchronized (deathNanos) {
            System.arraycopy(deathNanos, 1, deathNanos, 0, MAX_DEATHS - 1);
            deathNanos[MAX_DEATHS - 1] = supervisor.now();
            deaths++;
        }
        try {
            log.error("thread {} died; restarting it", name, cause);
        } catch (Throwable t) {
            // Logging may fail for the same reason, such as exhausted memory. The death is already counted.
            lastCause = t;
        }
    }

    /** Waits until this worker is stopped, but at most for this time, and returns whether it is stopped. */
    final boolean isStoppedWithin(long nanos) {
        try {
            return stopped.await(nanos, TimeUnit.NANOSECONDS);
        } catch (InterruptedException e) {
            // An interrupt without stop() only shortens the wait.
            return isStopped();
        }
    }

    private boolean isStopped() {
        return stopped.getCount() == 0;
    }

    @Override
    public String name() {
        return name;
    }

    @Override
    public Optional<String> failure(long nowNanos) {
        Throwable cause = lastCause;
        String last = cause == null ? "ended unexpectedly" : cause.toString();
        if (ended) {
            return Optional.of("ended: " + last);
        }
        synchronized (deathNanos) {
            return deaths >= MAX_DEATHS && nowNanos - deathNanos[0] < DEATHS_WITHIN.toNanos()
                    ? Optional.of("died " + MAX_DEATHS + " times within " + DEATHS_WITHIN.toSeconds() + " s: " + last)
                    : Optional.empty();
        }
    }

    /** Prevents further runs of the body and stops the supervision, but does not interrupt the current run. */
    public void stop() {
        stopped.countDown();
        supervisor.remove(this);
    }

    /** Stops this worker and interrupts the body, without waiting for the thread to end. */
    @Override
    public void close() {
        stop();
        thread.interrupt();
    }

    /** Waits for the thread to end; returns false if it has not ended within this time. */
    public boolean join(Duration atMost) throws InterruptedException {
        thread.join(Math.max(1, atMost.toMillis()));
        return !thread.isAlive();
    }
}
