package io.sluice.forward;

import static org.assertj.core.api.Assertions.assertThat;

import io.netty.channel.SelectStrategy;
import org.junit.jupiter.api.Test;

/** When a loop polls, on a clock that the test moves: each look for events takes a microsecond. */
final class BusyPollTest {
    private static final long LOOK_NANOS = 1_000;

    private long now;
    private long nextEvent;
    private long polled;
    private long slept;
    private final BusyPoll strategy = new BusyPoll(() -> now);

    private int look() {
        now += LOOK_NANOS;
        return now >= nextEvent ? 1 : 0;
    }

    /** A loop that is told of an event so and so long after it was done with the one before, and works on each for a while. */
    private void rounds(int count, long gapNanos, long workNanos) throws Exception {
        for (int i = 0; i < count; i++) {
            nextEvent = now + gapNanos;
            long start = now;
            int events = strategy.calculateStrategy(this::look, false);
            polled += now - start;
            if (events == SelectStrategy.SELECT) {
                slept++;
                now = Math.max(now, nextEvent);
            } else {
                assertThat(events).isOne();
            }
            now += workNanos;
        }
    }

    private void oneOfTenIsLate(long gapNanos) throws Exception {
        for (int i = 0; i < 200; i++) {
            rounds(9, 10_000, 5_000);
            rounds(1, gapNanos, 5_000);
        }
    }

    @Test
    void eventsThatFollowCloselyArePolledFor() throws Exception {
        rounds(400, 20_000, 10_000);
        slept = 0;
        rounds(1_000, 20_000, 10_000);
        assertThat(slept).isZero();
    }

    @Test
    void whoHasLittleToDoSleepsAtOnce() throws Exception {
        rounds(1_000, 60_000, 10_000);
        assertThat(slept).isEqualTo(1_000);
        assertThat(polled).isZero();
    }

    /** As many events, but at random. */
    @Test
    void whoIsNeededAtRandomSleeps() throws Exception {
        oneOfTenIsLate(100_000);
        assertThat(polled).isZero();
    }

    @Test
    void oneThatPollsGoesOnUntilMoreAreLate() throws Exception {
        rounds(400, 20_000, 10_000);
        slept = 0;
        oneOfTenIsLate(80_000);
        assertThat(slept).isZero();
        rounds(20, 90_000, 10_000);
        polled = 0;
        rounds(1_000, 90_000, 10_000);
        assertThat(polled).isZero();
    }

    @Test
    void anIdleLoopStopsSoon() throws Exception {
        rounds(400, 20_000, 10_000);
        polled = 0;
        rounds(1_000, 10_000_000, 10_000);
        assertThat(polled).isPositive().isLessThan(2_000_000);
    }

    @Test
    void tasksDoNotWait() throws Exception {
        rounds(400, 20_000, 10_000);
        nextEvent = Long.MAX_VALUE;
        long before = now;
        assertThat(strategy.calculateStrategy(this::look, true)).isZero();
        assertThat(now - before).isEqualTo(LOOK_NANOS);
    }
}
