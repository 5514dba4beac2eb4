package io.sluice.forward;

import org.jspecify.annotations.Nullable;

/**
 * Everything that waits for the same timeout, the longest idle first. Since the timeout is one and the same, a touch
 * moves to the tail and expiry looks at the head: no heap, no wheel, no allocation. Belongs to one loop.
 */
final class TimeoutQueue {
    private final long timeoutNanos;
    private @Nullable TimeoutEntry head;
    private @Nullable TimeoutEntry tail;

    TimeoutQueue(long timeoutNanos) {
        this.timeoutNanos = timeoutNanos;
    }

    /** Starts, or starts again, the wait of {@code timed}, which leaves whatever queue it was in. */
    void touch(TimeoutEntry timed, long nowNanos) {
        timed.sinceNanos = nowNanos;
        if (timed == tail) {
            return;
        }
        timed.leaveQueue();
        timed.queue = this;
        timed.previous = tail;
        if (tail == null) {
            head = timed;
        } else {
            tail.next = timed;
        }
        tail = timed;
    }

    void remove(TimeoutEntry timed) {
        assert timed.queue == this;
        TimeoutEntry before = timed.previous;
        TimeoutEntry after = timed.next;
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
        timed.queue = null;
        timed.previous = null;
        timed.next = null;
    }

    /** Expires what has waited long enough. */
    void expire(long nowNanos) {
        for (TimeoutEntry first = head; first != null && nowNanos - first.sinceNanos >= timeoutNanos; first = head) {
            expire(first, nowNanos);
        }
    }

    /** Expires one that is in this queue, however long it has waited; an exception ends only that one. */
    void expire(TimeoutEntry timed, long nowNanos) {
        remove(timed);
        try {
            timed.expire(this, nowNanos);
        } catch (RuntimeException | Error fault) {
            timed.broke(fault);
        }
    }

    /** The one that has waited longest. */
    @Nullable
    TimeoutEntry oldest() {
        return head;
    }

    boolean isEmpty() {
        return head == null;
    }
}
