package io.sluice.soak;

import java.util.Map;
import java.util.concurrent.ConcurrentSkipListMap;
import java.util.concurrent.atomic.LongAdder;

/** What was done, and what went wrong. Any thread. */
final class Tally {
    /** So many faults of a kind are told; the rest are only counted. */
    private static final int TOLD = 5;

    private final Map<String, LongAdder> done = new ConcurrentSkipListMap<>();
    private final Map<Fault, LongAdder> faults = new ConcurrentSkipListMap<>();

    /** Each is an invariant of the report. */
    enum Fault {
        RESET("no unexpected reset, refusal or end"),
        BYTES("no wrong byte"),
        HANG("no operation over its deadline"),
        LOST("no UDP query lost"),
        ENDPOINT("every endpoint chosen is in its list, affinity and flows stay"),
        PAGE("/metrics, /readyz and /healthz always answer"),
        SOAK("no fault of the soak itself");

        final String invariant;

        Fault(String invariant) {
            this.invariant = invariant;
        }
    }

    void add(String what, long count) {
        done.computeIfAbsent(what, w -> new LongAdder()).add(count);
    }

    long of(String what) {
        LongAdder count = done.get(what);
        return count == null ? 0 : count.sum();
    }

    Map<String, LongAdder> done() {
        return done;
    }

    void fault(Fault fault, String detail) {
        LongAdder count = faults.computeIfAbsent(fault, f -> new LongAdder());
        count.increment();
        if (count.sum() <= TOLD) {
            System.out.println("FAULT " + fault + ": " + detail);
        }
    }

    long of(Fault fault) {
        LongAdder count = faults.get(fault);
        return count == null ? 0 : count.sum();
    }

    long faults() {
        return faults.values().stream().mapToLong(LongAdder::sum).sum();
    }
}
