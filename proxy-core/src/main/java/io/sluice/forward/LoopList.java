package io.sluice.forward;

import org.jspecify.annotations.Nullable;

/**
 * All connections, or all flows, of one loop, in the order in which they were added. The links are fields of the entries, so adding and removing
 * allocate nothing. Used only by the loop's thread; other threads read it through a {@link LoopWalk}.
 */
final class LoopList {
    private @Nullable ListEntry first;
    private @Nullable ListEntry last;
    private long added;

    void add(ListEntry entry) {
        entry.number = ++added;
        entry.before = last;
        if (last == null) {
            first = entry;
        } else {
            last.after = entry;
        }
        last = entry;
    }

    /** Adds the position of a walk in front of an entry. */
    void addBefore(ListEntry position, ListEntry entry) {
        ListEntry previous = entry.before;
        position.before = previous;
        position.after = entry;
        entry.before = position;
        if (previous == null) {
            first = position;
        } else {
            previous.after = position;
        }
    }

    void remove(ListEntry entry) {
        ListEntry previous = entry.before;
        ListEntry next = entry.after;
        if (previous == null) {
            first = next;
        } else {
            previous.after = next;
        }
        if (next == null) {
            last = previous;
        } else {
            next.before = previous;
        }
        entry.before = null;
        entry.after = null;
    }

    @Nullable
    ListEntry first() {
        return first;
    }
}
