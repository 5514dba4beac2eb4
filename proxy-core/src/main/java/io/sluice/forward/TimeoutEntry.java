package io.sluice.forward;

import org.jspecify.annotations.Nullable;

/**
 * Base class of connections and flows, which end or are checked after a timeout. An entry is in at most one {@link
 * TimeoutQueue} at a time.
 */
abstract class TimeoutEntry extends ListEntry {
    @Nullable
    TimeoutEntry previous;

    @Nullable
    TimeoutEntry next;

    @Nullable
    TimeoutQueue queue;

    /** Time at which the current timeout was started or restarted. */
    long sinceNanos;

    /**
     * Handles the timeout. Called after the entry has been removed from its queue.
     *
     * @param expiredIn the queue that the entry was in, which identifies the timeout
     */
    abstract void expire(TimeoutQueue expiredIn, long nowNanos);

    /** Logs an unexpected exception and ends the connection or flow. */
    abstract void failInternally(Throwable fault);

    final void leaveQueue() {
        if (queue != null) {
            queue.remove(this);
        }
    }
}
