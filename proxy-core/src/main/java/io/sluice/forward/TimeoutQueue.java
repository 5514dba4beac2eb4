package io.sluice.forward;

import org.jspecify.annotations.Nullable;

/**
 * Linked list of all entries with the same timeout, longest idle first. As the timeout is the same for all, a touch
 * moves an entry to the tail, and expiry looks at the head only. Neither allocates. Belongs to one loop.
 */
final class TimeoutQueue {
    private final long timeoutNanos;
    private @Nullable TimeoutEntry head;
    private @Nullable TimeoutEntry tail;

    TimeoutQueue(long timeoutNanos) {
        this.timeoutNanos = timeoutNanos;
    }

    /** Starts or restarts the timeout of an entry, which is removed from any other queue. */
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

    /** Expires all entries whose timeout is over. */
    void expire(long nowNanos) {
        for (TimeoutEntry first = head; first != null && nowNanos - first.sinceNanos >= timeoutNanos; first = head) {
            expire(first, nowNanos);
        }
    }

    /** Expires one entry of this queue, even before its timeout. An exception ends only this entry. */
    void expire(TimeoutEntry entry, long nowNanos) {
        remove(entry);
        try {
            entry.expire(this, nowNanos);
        } catch (RuntimeException | Error fault) {
            entry.failInternally(fault);
        }
    }

    /** The entry that has waited longest; null if the queue is empty. */
    @Nullable
    TimeoutEntry oldest() {
        return head;
    }

    boolean isEmpty() {
        return head == null;
    }
}
