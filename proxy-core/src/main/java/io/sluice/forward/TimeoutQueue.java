package io.sluice.forward;

import org.jspecify.annotations.Nullable;

/**
 * Linked list of all entries with the same timeout, ordered by idle time, longest first. Because the timeout is the
 * same for all, a restart moves the entry to the tail, and expiry checks only the head. Neither operation allocates.
 * Used only by the loop's thread.
 */
final class TimeoutQueue {
    /** What happens to an entry when its timeout has passed. */
    enum Kind {
        /** A connection whose endpoint has not answered is checked by its {@link Connector}. */
        CONNECTING,
        /** A connection is long-lived enough for further socket options. */
        NEW_SESSION,
        /** A connection with output that may be unacknowledged is checked. */
        UNACKNOWLEDGED,
        /** A connection that is closed in one direction, or whose last bytes wait for a reader, is reset. */
        HALF_CLOSED,
        /** A connection waits no longer for its PROXY protocol header. */
        HEADER,
        /** A connection waits no longer for an endpoint. */
        HOLD,
        /** A connection without traffic is closed. */
        IDLE,
        /** A connection is closed if it has reached its maximum age and is quiet. */
        AGE,
        /** A connection to a removed endpoint is reset. */
        DRAIN,
        /** A flow without replies ends. */
        UNREPLIED_FLOW,
        /** A flow with replies ends. */
        REPLIED_FLOW,
        /** A flow whose one or two requests were answered ends. */
        FINISHED_FLOW
    }

    final Kind kind;
    private final long timeoutNanos;
    /** Whether {@link Timeouts} checks this queue. */
    boolean checked;

    private @Nullable TimeoutEntry head;
    private @Nullable TimeoutEntry tail;

    TimeoutQueue(Kind kind, long timeoutNanos) {
        this.kind = kind;
        this.timeoutNanos = timeoutNanos;
    }

    /** Starts or restarts the timeout of an entry, after removing the entry from any other queue. */
    void touch(TimeoutEntry entry, long nowNanos) {
        entry.sinceNanos = nowNanos;
        if (entry == tail) {
            return;
        }
        entry.leaveQueue();
        entry.queue = this;
        entry.previous = tail;
        if (tail == null) {
            head = entry;
        } else {
            tail.next = entry;
        }
        tail = entry;
    }

    void remove(TimeoutEntry entry) {
        assert entry.queue == this;
        TimeoutEntry before = entry.previous;
        TimeoutEntry after = entry.next;
        if (before == null) {
            head = after;
        } else {
            before.next = after;
        }
        if (after == null) {
            tail = before;
        } else {
            after.previous = before;
        }
        entry.queue = null;
        entry.previous = null;
        entry.next = null;
    }

    /** Expires all entries whose timeout has passed. */
    void expire(long nowNanos) {
        for (TimeoutEntry first = head; first != null && nowNanos - first.sinceNanos >= timeoutNanos; first = head) {
            expire(first, nowNanos);
        }
    }

    /**
     * Expires one entry of this queue, even before its timeout has passed. An exception is logged and ends only this
     * connection or flow.
     */
    void expire(TimeoutEntry entry, long nowNanos) {
        remove(entry);
        try {
            entry.expire(this, nowNanos);
        } catch (RuntimeException | Error fault) {
            entry.failInternally(fault);
        }
    }

    /** Time until the timeout of an entry of this queue expires; 0 if it has passed. */
    long remainingNanos(TimeoutEntry entry, long nowNanos) {
        return Math.max(0, timeoutNanos - (nowNanos - entry.sinceNanos));
    }

    /** The entry whose timeout was started or restarted first; null if the queue is empty. */
    @Nullable
    TimeoutEntry oldest() {
        return head;
    }

    boolean isEmpty() {
        return head == null;
    }
}
