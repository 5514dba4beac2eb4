package io.sluice.forward;

import java.util.concurrent.atomic.AtomicInteger;

/**
 * How many UDP flows there are and may be, over all loops: each has a descriptor and a local port, as have the spare
 * sockets. Any thread.
 */
final class Flows {
    private final int most;
    private final AtomicInteger active = new AtomicInteger();
    private final AtomicInteger spare = new AtomicInteger();

    Flows(int most) {
        this.most = most;
    }

    void opened() {
        active.incrementAndGet();
    }

    void closed() {
        active.decrementAndGet();
    }

    void spared() {
        spare.incrementAndGet();
    }

    void unspared() {
        spare.decrementAndGet();
    }

    boolean full() {
        return active.get() + spare.get() >= most;
    }

    boolean moreThanHalf() {
        return active.get() > most / 2;
    }

    boolean nearlyFull() {
        return active.get() > most / 4 * 3;
    }
}
