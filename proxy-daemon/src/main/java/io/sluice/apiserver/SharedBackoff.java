package io.sluice.apiserver;

import java.time.Duration;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.ReentrantLock;
import java.util.function.LongSupplier;
import java.util.random.RandomGenerator;

/**
 * Back-off shared by the collections of one reflector while no API server responds. The collections space out their
 * attempts, so that an unavailable server does not receive more requests from this node than a single collection would
 * send. The first response to any collection ends the waits of all collections.
 */
final class SharedBackoff {
    private final Duration initialDelay;
    private final Duration maxDelay;
    private final Duration resumeSpread;
    private final LongSupplier nanoTime;
    private final RandomGenerator random;
    private final ReentrantLock lock = new ReentrantLock();
    private final Condition changed = lock.newCondition();
    // Guarded by the lock.
    private int failures;
    private long responses;
    private long nextAttemptNanos;
    private boolean closed;

    /**
     * @param initialDelay delay before the second attempt; doubled for each further attempt
     * @param maxDelay maximum delay between two attempts
     * @param resumeSpread interval within which each collection resumes at a random time, because thousands of nodes
     *     may see a server recover at the same moment
     */
    SharedBackoff(
            Duration initialDelay,
            Duration maxDelay,
            Duration resumeSpread,
            LongSupplier nanoTime,
            RandomGenerator random) {
        this.initialDelay = initialDelay;
        this.maxDelay = maxDelay;
        this.resumeSpread = resumeSpread;
        this.nanoTime = nanoTime;
        this.random = random;
        this.nextAttemptNanos = nanoTime.getAsLong();
    }

    /**
     * Returns the delay after the given number of failures: doubled for each failure, at most {@code maxDelay}, and
     * randomly shortened by up to half.
     */
    static Duration backOff(Duration initialDelay, Duration maxDelay, int failures, RandomGenerator random) {
        long nanos = Math.min(maxDelay.toNanos(), initialDelay.toNanos() << Math.min(failures, 16));
        return Duration.ofNanos(nanos - random.nextLong(nanos / 2 + 1));
    }

    /** Ends all waits, because a server responded and is not overloaded or failing. Thread-safe. */
    void responseReceived() {
        lock.lock();
        try {
            failures = 0;
            responses++;
            nextAttemptNanos = nanoTime.getAsLong();
            changed.signalAll();
        } finally {
            lock.unlock();
        }
    }

    /**
     * Waits until the caller's next attempt is due or another caller has received a response.
     *
     * @param atLeast minimum wait, from Retry-After; a response to another caller does not shorten it
     */
    void await(Duration atLeast) throws InterruptedException {
        lock.lockInterruptibly();
        try {
            long now = nanoTime.getAsLong();
            long earliest = now + atLeast.toNanos();
            long delay = Math.max(0, nextAttemptNanos - now)
                    + backOff(initialDelay, maxDelay, failures, random).toNanos();
            nextAttemptNanos = now + delay;
            failures++;
            long until = Math.max(earliest, now + delay);
            long seenResponses = responses;
            boolean resuming = false;
            for (long left = until - now; left > 0 && !closed; left = until - nanoTime.getAsLong()) {
                changed.awaitNanos(left);
                if (!resuming && responses != seenResponses) {
                    resuming = true;
                    long resumeAt = nanoTime.getAsLong() + random.nextLong(resumeSpread.toNanos() + 1);
                    until = Math.max(earliest, Math.min(until, resumeAt));
                }
            }
        } finally {
            lock.unlock();
        }
    }

    /** Ends all current and future waits. */
    void close() {
        lock.lock();
        try {
            closed = true;
            changed.signalAll();
        } finally {
            lock.unlock();
        }
    }
}
