package io.sluice.forward;

import io.netty.channel.SelectStrategy;
import io.netty.util.IntSupplier;
import java.util.function.LongSupplier;

/**
 * Whether a loop that has nothing to do sleeps at once. To be woken takes longer than to pass on what one is woken for, so
 * a loop that is nearly always needed again at once, as by one conversation of questions and answers, asks for the next
 * event again and again instead.
 *
 * <p>Such a loop is at work half of the time anyway, so at most this doubles what it takes. Where events come at random it
 * sleeps, however many they are: polling would take the processor from those who are waited for, and a mixture of both was
 * slower than either. Belongs to its loop.
 */
final class BusyPoll implements SelectStrategy {
    /** A round that begins later than this after the one before is late. */
    private static final long LATE_NANOS = 60_000;

    /** What does not come within this time is waited for asleep. */
    private static final long MOST_NANOS = 100_000;

    private static final int ALL = 1 << 16;
    /** As long as fewer rounds than this are late, a loop begins to poll, and then goes on up to twice as many. */
    private static final int FEW = ALL / 16;

    private static final int ROUNDS_AVERAGED = 64;

    private final LongSupplier nanoClock;
    private long sinceNanos;
    /** The share of late rounds among the last ones. */
    private int late = ALL;

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
        late += ((now - sinceNanos > LATE_NANOS ? ALL : 0) - late) / ROUNDS_AVERAGED;
        sinceNanos = now;
        polling = late < (polling ? 2 * FEW : FEW);
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
