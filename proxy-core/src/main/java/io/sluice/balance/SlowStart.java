package io.sluice.balance;

import java.util.concurrent.atomic.AtomicInteger;
import org.jspecify.annotations.Nullable;

/**
 * The slow start of a new endpoint: decides in which rounds of a round robin the endpoint is picked.
 *
 * <p>Each round adds the endpoint's share, a fixed-point number, to a credit. The endpoint is picked whenever the credit
 * reaches the next whole number, so its picks are evenly spaced and their number is exact. Thread-safe.
 */
final class SlowStart {
    /** Fraction bits of the credit, an int that may overflow. */
    private static final int FRACTION_BITS = 16;

    private final long sinceNanos;
    private final AtomicInteger credit = new AtomicInteger();

    /** @param sinceNanos the time since which the endpoint has been ready */
    SlowStart(long sinceNanos) {
        this.sinceNanos = sinceNanos;
    }

    /** The slow start of the endpoint that has been ready for the longest time; null if it has none. */
    static @Nullable SlowStart oldest(EndpointTarget[] targets) {
        SlowStart oldest = null;
        for (EndpointTarget target : targets) {
            SlowStart slowStart = target.slowStart();
            if (slowStart == null) {
                return null;
            }
            if (oldest == null || slowStart.sinceNanos - oldest.sinceNanos < 0) {
                oldest = slowStart;
            }
        }
        return oldest;
    }

    /** Time since which the endpoint has been ready. */
    long ageNanos(long nowNanos) {
        return nowNanos - sinceNanos;
    }

    /**
     * Whether the endpoint is picked in this round.
     *
     * @param windowNanos age at which the endpoint is picked in every round
     */
    boolean takesTurn(long nowNanos, long windowNanos) {
        long age = Math.max(0, ageNanos(nowNanos));
        if (age >= windowNanos) {
            return true;
        }
        int share = (int) ((double) age / windowNanos * (1 << FRACTION_BITS));
        int before = credit.getAndAdd(share);
        return before >> FRACTION_BITS != (before + share) >> FRACTION_BITS;
    }
}
