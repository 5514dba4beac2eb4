package io.sluice.apiserver;

import java.time.Duration;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.ReentrantLock;
import java.util.function.LongSupplier;
import java.util.random.RandomGenerator;

/**
 * Where the collections of one reflector wait for API servers that do not answer. They wait together: their attempts take
 * turns, so a server that is down hears from this node at the pace of one collection, and the first answer that any of
 * them gets ends the wait of all.
 */
final class SharedBackoff {
    private final Duration first;
    private final Duration longest;
    private final Duration spread;
    private final LongSupplier nanoTime;
    private final RandomGenerator random;
    private final ReentrantLock lock = new ReentrantLock();
    private final Condition changed = lock.newCondition();
    // Guarded by the lock.
    private int failures;
    private long answers;
    private long lastTurnNanos;
    private boolean closed;

    /**
     * @param first before the second attempt; doubled for each one after it
     * @param longest between two attempts
     * @param spread thousands of nodes see a server come back at the same moment: each collection resumes at a random
     *     time within this
     */
    SharedBackoff(Duration first, Duration longest, Duration spread, LongSupplier nanoTime, RandomGenerator random) {
        this.first = first;
        this.longest = longest;
        this.spread = spread;
        this.nanoTime = nanoTime;
        this.random = random;
        this.lastTurnNanos = nanoTime.getAsLong();
    }

    /** A wait before attempt {@code failures + 1}: doubled each time up to {@code longest}, and up to half of it left out. */
    static Duration backOff(Duration first, Duration longest, int failures, RandomGenerator random) {
        long nanos = Math.min(longest.toNanos(), first.toNanos() << Math.min(failures, 16));
        return Duration.ofNanos(nanos - random.nextLong(nanos / 2 + 1));
    }

    /** A server has answered, and not that it is overloaded or broken. Any thread. */
    void answered() {
        lock.lock();
        try {
            failures = 0;
            answers++;
            lastTurnNanos = nanoTime.getAsLong();
            changed.signalAll();
        } finally {
            lock.unlock();
        }
    }

    /**
     * Waits until it is the caller's turn to try again, or another caller got an answer.
     *
     * @param atLeast what the server asked for; no answer shortens it
     */
    void await(Duration atLeast) throws InterruptedException {
        lock.lockInterruptibly();
        try {
            long now = nanoTime.getAsLong();
            long earliest = now + atLeast.toNanos();
            long turn = Math.max(0, lastTurnNanos - now)
                    + backOff(first, longest, failures, random).toNanos();
            lastTurnNanos = now + turn;
            failures++;
            long until = Math.max(earliest, now + turn);
            long seen = answers;
            boolean resumes = false;
            for (long left = until - now; left > 0 && !closed; left = until - nanoTime.getAsLong()) {
                changed.awaitNanos(left);
                if (!resumes && answers != seen) {
                    resumes = true;
                    long soon = nanoTime.getAsLong() + random.nextLong(spread.toNanos() + 1);
                    until = Math.max(earliest, Math.min(until, soon));
                }
            }
        } finally {
            lock.unlock();
        }
    }

    /** Ends all waits, also those that begin after this. */
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
