package io.sluice.stats;

/**
 * The buckets of the latency histograms: upper bounds from 100 µs to 500 s in 1-2-5 steps, and a last bucket without a
 * bound.
 */
public final class Buckets {
    private static final long[] BOUNDS_NANOS = {
        100_000L,
        200_000L,
        500_000L,
        1_000_000L,
        2_000_000L,
        5_000_000L,
        10_000_000L,
        20_000_000L,
        50_000_000L,
        100_000_000L,
        200_000_000L,
        500_000_000L,
        1_000_000_000L,
        2_000_000_000L,
        5_000_000_000L,
        10_000_000_000L,
        20_000_000_000L,
        50_000_000_000L,
        100_000_000_000L,
        200_000_000_000L,
        500_000_000_000L
    };

    private Buckets() {}

    /** The number of buckets, including the last bucket, which has no bound. */
    public static int count() {
        return BOUNDS_NANOS.length + 1;
    }

    /** The upper bound of a bucket in seconds, inclusive; infinity for the last bucket. */
    public static double boundSeconds(int bucket) {
        return bucket == BOUNDS_NANOS.length ? Double.POSITIVE_INFINITY : BOUNDS_NANOS[bucket] / 1e9;
    }

    /** Returns the index of the first bucket whose upper bound is not less than the time. */
    static int of(long nanos) {
        int bucket = 0;
        while (bucket < BOUNDS_NANOS.length && nanos > BOUNDS_NANOS[bucket]) {
            bucket++;
        }
        return bucket;
    }
}
