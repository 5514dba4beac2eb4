package io.sluice.forward;

import io.netty.channel.SelectStrategy;
import io.netty.util.IntSupplier;
import java.util.function.LongSupplier;

/**
 * Whether a loop that has nothing to do sleeps at once. To be woken takes longer than to pass on what one is woken for, so
 * a loop whose rounds follow each other closely asks for the next event again and again instead.
 *
 * <p>A loop that is woken that often is at work half of the time anyway, so at most this doubles what it takes. Where
 * rounds are polled for they come sooner, which keeps it polling: half of one and half of the other would be slower than
 * either. Belongs to its loop.
 */
final class BusyPoll implements SelectStrategy {
    /** On average, from one round to the next: below the first a loop begins to poll, above the second it ends. */
    private static final long BEGIN_NANOS = 40_000;

    private static final long END_NANOS = 2 * BEGIN_NANOS;

    /** What does not come within this time is waited for asleep. */
    private static final long MOST_NANOS = 100_000;

    /** One long pause says that it was idle, not how long it will be. */
    private static final long LONGEST_NANOS = 1_000_000;

    private static final int ROUNDS_AVERAGED = 64;

    private final LongSupplier nanoClock;
    private long sinceNanos;
    private long averageNanos = LONGEST_NANOS;
    private boolean polling;

    BusyPoll(LongSupplier nanoClock) {
        this.nanoClock = nanoClock;
        sinceNanos = nanoClock.getAsLong();
    }

    @Override
    public int calculateStrategy(IntSupplier ready, boolean hasTasks) throws Exception {
        if (hasTasks) {
            return ready.get();
        }
        long now = nanoClock.getAsLong();
        averageNanos += (Math.min(now - sinceNanos, LONGEST_NANOS) - averageNanos) / ROUNDS_AVERAGED;
        sinceNanos = now;
        polling = averageNanos < (polling ? END_NANOS : BEGIN_NANOS);
        while (polling) {
            int events = ready.get();
            if (events != 0) {
                return events;
            }
            if (nanoClock.getAsLong() - now >= MOST_NANOS) {
                break;
            }
        }
        return SELECT;
    }
}
