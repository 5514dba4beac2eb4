package io.sluice.forward;

import java.util.concurrent.atomic.AtomicInteger;

/** How many UDP flows there are and may be, over all loops: each has a descriptor and a local port. Any thread. */
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

    boolean full() {
        return active.get() >= max;
    }

    boolean moreThanHalf() {
        return active.get() > max / 2;
    }

    int max() {
        return max;
    }

    /** Whether more than three quarters are open. */
    boolean areScarce() {
        return active.get() > max * 3L / 4;
    }
}
