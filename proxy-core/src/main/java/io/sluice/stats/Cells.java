package io.sluice.stats;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;

/**
 * One loop's counters of one service port. Written by that loop only; read by any thread, each value whole but the set
 * of them not from one instant.
 */
@SuppressWarnings("EnumOrdinal") // an enum-indexed long array is the point: a map would box on the hot path
public final class Cells {
    private static final VarHandle LONGS = MethodHandles.arrayElementVarHandle(long[].class);
    private static final Counter[] COUNTERS = Counter.values();

    private final long[] values = new long[COUNTERS.length];

    Cells() {}

    /** Adds to a counter; {@code amount} is negative only for a level. */
    public void add(Counter counter, long amount) {
        int at = counter.ordinal();
        LONGS.setOpaque(values, at, values[at] + amount);
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
