package io.sluice.forward;

import io.netty.channel.SelectStrategy;
import io.netty.util.IntSupplier;
import java.util.function.LongSupplier;

/**
 * Decides whether an event loop without work polls for the next event or sleeps in epoll_wait. Waking a thread takes
 * longer than forwarding a message, so a loop polls if its next event nearly always follows within 60 µs, as in a
 * single request-response conversation.
 *
 * <p>Such a loop is busy about half of the time anyway, so polling at most doubles its CPU time. If events arrive at
 * irregular intervals, the loop sleeps: polling would take CPU time from the clients and endpoints that the loop waits
 * for, and in measurements a mixture of polling and sleeping was slower than either. Used only by the loop's thread.
 */
final class BusyPoll implements SelectStrategy {
    /** A round of the loop is late if it begins more than this time after the previous round. */
    private static final long LATE_NANOS = 60_000;

    /** Longest time to poll before the loop sleeps. */
    private static final long MAX_POLL_NANOS = 100_000;

    private static final int ONE = 1 << 16;
    /** A loop starts polling when its share of late rounds falls below this value, and stops at twice this value. */
    private static final int MAX_LATE_SHARE = ONE / 16;

    private static final int ROUNDS_AVERAGED = 64;

    private final LongSupplier nanoClock;
    private long sinceNanos;
    /** Moving average of the share of late rounds, as a fraction of {@link #ONE}. */
    private int lateShare = ONE;

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
        lateShare += ((now - sinceNanos > LATE_NANOS ? ONE : 0) - lateShare) / ROUNDS_AVERAGED;
        sinceNanos = now;
        polling = lateShare < (polling ? 2 * MAX_LATE_SHARE : MAX_LATE_SHARE);
        while (polling) {
            int events = ready.get();
            if (events != 0) {
                return events;
            }
            if (nanoClock.getAsLong() - now >= MAX_POLL_NANOS) {
                break;
            }
        }
        return SELECT;
    }
}
