package io.sluice.stats;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import org.jspecify.annotations.Nullable;

/**
 * The counters and histograms of one service port in one event loop. Written only by that loop, and read by any thread.
 * Each value is read atomically, but values read together are not a consistent snapshot.
 */
@SuppressWarnings("EnumOrdinal") // an array indexed by ordinal: a map would box on the hot path
public final class CounterCells {
    private static final VarHandle LONGS = MethodHandles.arrayElementVarHandle(long[].class);
    private static final Counter[] COUNTERS = Counter.values();

    /** The number of cells per histogram: one for each bucket, and one for the sum of all times. */
    private static final int HISTOGRAM = Buckets.count() + 1;

    private static final int SUM = Buckets.count();

    private final long[] values = new long[COUNTERS.length];
    /** The cells of all histograms, one after another, about half a kilobyte; null before the first connection. */
    private volatile long @Nullable [] times;

    CounterCells() {}

    /** Adds to a counter; {@code amount} may be negative for a gauge only. */
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

    /** Adds one to a counter. */
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
