package io.sluice.forward;

import io.sluice.forward.TimeoutQueue.Kind;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;

/**
 * The timeouts of an established connection that its traffic policy sets: idle timeout, maximum age, and drain of a
 * removed endpoint. The connection handles them when they expire. Used only by the loop's thread.
 */
final class SessionTimers {
    /** Time without a forwarded byte after which a connection is quiet. */
    private static final long QUIET_NANOS = TimeUnit.SECONDS.toNanos(1);

    private static final long QUIET_STEP_NANOS = QUIET_NANOS / 10;

    /** The maximum age varies by this fraction, so that connections opened together are not closed together. */
    private static final double AGE_JITTER = 0.1;

    /** Number of times that the age of a connection is checked until it has reached its maximum. */
    private static final int AGE_CHECKS = 50;

    private final Timeouts timeouts;
    private final TimeoutEntry session;
    private final long openedNanos;
    private @Nullable SessionTimer idle;
    private @Nullable SessionTimer age;
    private @Nullable SessionTimer drain;
    private long maxAgeNanos;
    private long ageCheckNanos;
    private long lastActiveNanos;

    /** @param openedNanos when the connection was accepted */
    SessionTimers(Timeouts timeouts, TimeoutEntry session, long openedNanos) {
        this.timeouts = timeouts;
        this.session = session;
        this.openedNanos = openedNanos;
        this.lastActiveNanos = openedNanos;
    }

    /** Starts the idle timeout; 0 for none. */
    void setIdle(long nanos, long nowNanos) {
        SessionTimer.cancel(idle);
        idle = null;
        if (nanos > 0) {
            idle = new SessionTimer(session);
            timeouts.await(timeouts.queue(Kind.IDLE, nanos), idle, nowNanos);
        }
    }

    /** Sets the maximum age; 0 for none. */
    void setMaxAge(long nanos, long nowNanos) {
        SessionTimer.cancel(age);
        age = null;
        if (nanos > 0) {
            double factor = 1 + AGE_JITTER * (2 * ThreadLocalRandom.current().nextDouble() - 1);
            maxAgeNanos = (long) (nanos * factor);
            ageCheckNanos = Math.max(QUIET_NANOS, nanos / AGE_CHECKS);
            age = new SessionTimer(session);
            checkAgeLater(nowNanos);
        }
    }

    /** Starts or restarts the timeout of a removed endpoint. */
    void startDrain(long nanos, long nowNanos) {
        cancelDrain();
        drain = new SessionTimer(session);
        timeouts.await(timeouts.queue(Kind.DRAIN, nanos), drain, nowNanos);
    }

    boolean isDraining() {
        return drain != null && drain.queue != null;
    }

    /** Time until the timeout of a removed endpoint expires; negative if it is not running. */
    long drainNanos(long nowNanos) {
        return drain == null || drain.queue == null ? -1 : drain.queue.remainingNanos(drain, nowNanos);
    }

    void cancelDrain() {
        SessionTimer.cancel(drain);
        drain = null;
    }

    /** Records that bytes were forwarded. */
    void active(long nowNanos) {
        lastActiveNanos = nowNanos;
        SessionTimer timer = idle;
        if (timer != null && timer.queue != null) {
            timer.queue.touch(timer, nowNanos);
        }
    }

    /** Whether the connection has reached its maximum age and no byte was forwarded for a second. */
    boolean isOldAndQuiet(long nowNanos) {
        return isOld(nowNanos) && nowNanos - lastActiveNanos >= QUIET_NANOS;
    }

    private boolean isOld(long nowNanos) {
        return nowNanos - openedNanos >= maxAgeNanos;
    }

    /** Checks the age again after a time. */
    void checkAgeLater(long nowNanos) {
        SessionTimer timer = age;
        if (timer != null) {
            timeouts.await(timeouts.queue(Kind.AGE, ageCheckNanos(nowNanos)), timer, nowNanos);
        }
    }

    /** An old connection is checked when it may have become quiet, rounded up so that few queues are needed. */
    private long ageCheckNanos(long nowNanos) {
        if (!isOld(nowNanos)) {
            return ageCheckNanos;
        }
        long missing = QUIET_NANOS - (nowNanos - lastActiveNanos);
        return missing <= 0 ? QUIET_NANOS : (missing / QUIET_STEP_NANOS + 1) * QUIET_STEP_NANOS;
    }

    void cancel() {
        SessionTimer.cancel(idle);
        SessionTimer.cancel(age);
        SessionTimer.cancel(drain);
    }
}
