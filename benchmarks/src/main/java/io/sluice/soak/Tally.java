package io.sluice.soak;

import java.util.Map;
import java.util.concurrent.ConcurrentSkipListMap;
import java.util.concurrent.atomic.LongAdder;

/** Counts operations and faults. Thread-safe. */
final class Tally {
    /** Faults printed per kind; further ones are only counted. */
    private static final int MAX_PRINTED = 5;

    private final Map<String, LongAdder> done = new ConcurrentSkipListMap<>();
    private final Map<Fault, LongAdder> faults = new ConcurrentSkipListMap<>();

    /** The kinds of faults, each with its invariant in the report. */
    enum Fault {
        RESET("no unexpected reset, rejection or end of stream"),
        BYTES("no wrong byte"),
        HANG("no operation exceeded its deadline"),
        LOST("no UDP query lost"),
        ENDPOINT("only listed endpoints chosen; session affinity and flows kept"),
        PAGE("/metrics, /readyz, /healthz and /livez always respond"),
        SOAK("no internal error of the soak test");

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
        if (count.sum() <= MAX_PRINTED) {
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
