package io.sluice.forward;

import org.jspecify.annotations.Nullable;

/** A second timeout of a connection, beside the one that the connection itself waits for. */
final class SessionTimer extends TimeoutEntry {
    private final TimeoutEntry session;

    SessionTimer(TimeoutEntry session) {
        this.session = session;
    }

    @Override
    void expire(TimeoutQueue expiredIn, long nowNanos) {
        session.expire(expiredIn, nowNanos);
    }

    @Override
    void failInternally(Throwable fault) {
        session.failInternally(fault);
    }

    static void cancel(@Nullable SessionTimer timer) {
        if (timer != null) {
            timer.leaveQueue();
        }
    }
}
