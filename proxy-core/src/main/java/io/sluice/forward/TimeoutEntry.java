package io.sluice.forward;

import org.jspecify.annotations.Nullable;

/** Something that ends when nothing happens to it for a while. In at most one {@link TimeoutQueue} at a time. */
abstract class TimeoutEntry {
    @Nullable
    TimeoutEntry previous;

    @Nullable
    TimeoutEntry next;

    @Nullable
    TimeoutQueue queue;

    /** When it last entered its queue, or was touched there. */
    long sinceNanos;

    /**
     * Called after it was taken out of its queue.
     *
     * @param waitedIn that queue, which says what it waited for
     */
    abstract void expire(TimeoutQueue waitedIn, long nowNanos);

    /** Ends after an exception that has no handler of its own; it would wait in no queue any more. */
    abstract void broke(Throwable fault);

    final void leaveQueue() {
        if (queue != null) {
            queue.remove(this);
        }
    }
}
