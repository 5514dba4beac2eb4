package io.sluice.forward;

import java.util.concurrent.atomic.AtomicInteger;

/** Counts and limits the UDP flows of all loops, each of which uses a descriptor and a local port. Thread-safe. */
final class FlowLimit {
    private final int max;
    private final AtomicInteger active = new AtomicInteger();

    FlowLimit(int max) {
        this.max = max;
    }

    void opened() {
        active.incrementAndGet();
    }

    void closed() {
        active.decrementAndGet();
    }

    int active() {
        return active.get();
    }

    boolean isFull() {
        return active.get() >= max;
    }

    boolean isMoreThanHalf() {
        return active.get() > max / 2;
    }

    int max() {
        return max;
    }

    /** Whether more than three quarters of the maximum number of flows are open. */
    boolean isScarce() {
        return active.get() > max * 3L / 4;
    }
}
