package io.sluice.thread;

import java.time.Duration;
import java.util.Optional;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** A thread that is restarted when its body dies: after 100 ms, then after twice as long each time, up to 10 s. */
public class Worker implements AutoCloseable, Supervisor.Supervised {
    private static final Logger log = LoggerFactory.getLogger(Worker.class);

    private static final long FIRST_BACK_OFF_NANOS = TimeUnit.MILLISECONDS.toNanos(100);
    private static final long LONGEST_BACK_OFF_NANOS = TimeUnit.SECONDS.toNanos(10);

    /** So many deaths within this time are a failure. A body that lives as long is restarted after the shortest time again. */
    static final int MOST_DEATHS = 5;

    static final Duration DEATHS_WITHIN = Duration.ofMinutes(1);

    final Supervisor supervisor;
    private final String name;
    private final Supervisor.Body body;
    private final boolean endless;
    private final Thread thread;
    private final CountDownLatch stopped = new CountDownLatch(1);
    /** Of the last deaths, the oldest first; guarded by itself. Made before: when there is no memory, none is to be needed. */
    private final long[] deathNanos = new long[MOST_DEATHS];

    private int deaths;
    private volatile @Nullable Throwable lastCause;
    private volatile boolean ended;

    Worker(Supervisor supervisor, String name, Supervisor.Body body, boolean endless) {
        this.supervisor = supervisor;
        this.name = name;
        this.body = body;
        this.endless = endless;
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
        long backOffNanos = FIRST_BACK_OFF_NANOS;
        long sinceNanos = supervisor.now();
        while (!isDone()) {
            if (supervisor.now() - sinceNanos >= DEATHS_WITHIN.toNanos()) {
                backOffNanos = FIRST_BACK_OFF_NANOS;
            }
            if (isStoppedWithin(backOffNanos)) {
                return;
            }
            backOffNanos = Math.min(LONGEST_BACK_OFF_NANOS, backOffNanos * 2);
            sinceNanos = supervisor.now();
        }
    }

    /** Runs the body; whatever it throws, this thread goes on. */
    private boolean isDone() {
        try {
            work();
            if (endless && !isStopped()) {
                died(null);
            }
        } catch (Throwable t) {
            if (!isStopped()) {
                died(t);
                return false;
            }
        }
        return !endless || isStopped();
    }

    /** Runs until it is stopped, or done. */
    void work() throws InterruptedException {
        body.run();
    }

    private void died(@Nullable Throwable cause) {
        lastCause = cause;
        synchronized (deathNanos) {
            System.arraycopy(deathNanos, 1, deathNanos, 0, MOST_DEATHS - 1);
            deathNanos[MOST_DEATHS - 1] = supervisor.now();
            deaths++;
        }
        try {
            log.error("thread {} died and is restarted", name, cause);
        } catch (Throwable t) {
            // The log may lack what the body lacked, such as memory. The death is counted.
            lastCause = t;
        }
    }

    /** Waits; true as soon as this worker is stopped. */
    final boolean isStoppedWithin(long nanos) {
        try {
            return stopped.await(nanos, TimeUnit.NANOSECONDS);
        } catch (InterruptedException e) {
            // Only stopping is an order; what else interrupts has no meaning here.
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
        String last = cause == null ? "it ended by itself" : cause.toString();
        if (ended) {
            return Optional.of("ended: " + last);
        }
        synchronized (deathNanos) {
            return deaths >= MOST_DEATHS && nowNanos - deathNanos[0] < DEATHS_WITHIN.toNanos()
                    ? Optional.of("died " + MOST_DEATHS + " times within " + DEATHS_WITHIN.toSeconds() + " s: " + last)
                    : Optional.empty();
        }
    }

    /** The body is not run again from now on. It ends by itself, or not at all. */
    public void stop() {
        stopped.countDown();
        supervisor.remove(this);
    }

    /** Stops and interrupts; does not wait for the end. */
    @Override
    public void close() {
        stop();
        thread.interrupt();
    }

    /** Waits until the thread has ended; false if it has not within this time. */
    public boolean join(Duration atMost) throws InterruptedException {
        thread.join(Math.max(1, atMost.toMillis()));
        return !thread.isAlive();
    }
}
