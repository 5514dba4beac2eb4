package io.sluice.forward;

import org.jspecify.annotations.Nullable;

/**
 * A timeout that a traffic policy sets for a connection, beside the timeout that the connection itself may be waiting
 * for. Used only by the loop's thread.
 */
final class SessionTimer extends TimeoutEntry {
    private final SessionPolicy policy;

    SessionTimer(SessionPolicy policy) {
        this.policy = policy;
    }

    @Override
    void expire(TimeoutQueue expiredIn, long nowNanos) {
        policy.expired(expiredIn.kind, nowNanos);
    }

    @Override
    void failInternally(Throwable fault) {
        policy.session.failInternally(fault);
    }

    static void cancel(@Nullable SessionTimer timer) {
        if (timer != null) {
            timer.leaveQueue();
        }
    }
}
