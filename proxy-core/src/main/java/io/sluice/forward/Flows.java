package io.sluice.forward;

import java.util.concurrent.atomic.AtomicInteger;

/** How many UDP flows there are and may be, over all loops: each has a descriptor and a local port. Any thread. */
final class Flows {
    private final int most;
    private final AtomicInteger active = new AtomicInteger();

    Flows(int most) {
        this.most = most;
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
        return active.get() >= most;
    }

    boolean moreThanHalf() {
        return active.get() > most / 2;
    }

    int most() {
        return most;
    }

    /** Whether more than three quarters are open. */
    boolean areScarce() {
        return active.get() > most * 3L / 4;
    }
}
