package io.sluice.stats;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import org.jspecify.annotations.Nullable;

/**
 * One loop's counters and histograms of one service port. Written by that loop only; read by any thread, each value whole
 * but the set of them not from one instant.
 */
@SuppressWarnings("EnumOrdinal") // an enum-indexed long array is the point: a map would box on the hot path
public final class CounterCells {
    private static final VarHandle LONGS = MethodHandles.arrayElementVarHandle(long[].class);
    private static final Counter[] COUNTERS = Counter.values();

    /** Of one histogram: its buckets and the sum of all times. */
    private static final int HISTOGRAM = Buckets.count() + 1;

    private static final int SUM = Buckets.count();

    private final long[] values = new long[COUNTERS.length];
    /** The histograms one behind the other, half a kilobyte; null before the first connection. */
    private volatile long @Nullable [] times;

    CounterCells() {}

    /** Adds to a counter; {@code amount} is negative only for a level. */
    public void add(Counter counter, long amount) {
        add(values, counter.ordinal(), amount);
    }

    private static void add(long[] cells, int at, long amount) {
        LONGS.setOpaque(cells, at, cells[at] + amount);
    }

    void record(Timing timing, long nanos) {
        long[] all = times;
        if (all == null) {
            all = new long[Timing.values().length * HISTOGRAM];
            times = all;
        }
        int start = timing.ordinal() * HISTOGRAM;
        add(all, start + Buckets.of(nanos), 1);
        add(all, start + SUM, nanos);
    }

    long count(Timing timing, int bucket) {
        return time(timing.ordinal() * HISTOGRAM + bucket);
    }

    long sumNanos(Timing timing) {
        return time(timing.ordinal() * HISTOGRAM + SUM);
    }

    private long time(int at) {
        long[] all = times;
        return all == null ? 0 : (long) LONGS.getOpaque(all, at);
    }

    boolean hasTimes() {
        return times != null;
    }

    public void increment(Counter counter) {
        add(counter, 1);
    }

    long get(Counter counter) {
        return (long) LONGS.getOpaque(values, counter.ordinal());
    }

    boolean allZero() {
        for (Counter counter : COUNTERS) {
            if (get(counter) != 0) {
                return false;
            }
        }
        return true;
    }
}
