package io.sluice.forward;

import static org.assertj.core.api.Assertions.assertThat;

import io.netty.channel.SelectStrategy;
import org.junit.jupiter.api.Test;

/** When a loop polls, measured on a clock that the test controls; each poll takes a microsecond. */
final class BusyPollTest {
    private static final long POLL_NANOS = 1_000;

    private long now;
    private long nextEvent;
    private long polled;
    private long slept;
    private final BusyPoll strategy = new BusyPoll(() -> now);

    private int poll() {
        now += POLL_NANOS;
        return now >= nextEvent ? 1 : 0;
    }

    /**
     * Simulates events that arrive {@code gapNanos} after the work on the previous one, which takes {@code workNanos}.
     */
    private void rounds(int count, long gapNanos, long workNanos) throws Exception {
        for (int i = 0; i < count; i++) {
            nextEvent = now + gapNanos;
            long start = now;
            int events = strategy.calculateStrategy(this::poll, false);
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
    void pollsWhileEventsFollowClosely() throws Exception {
        rounds(400, 20_000, 10_000);
        slept = 0;
        rounds(1_000, 20_000, 10_000);
        assertThat(slept).isZero();
    }

    @Test
    void aMostlyIdleLoopSleepsAtOnce() throws Exception {
        rounds(1_000, 60_000, 10_000);
        assertThat(slept).isEqualTo(1_000);
        assertThat(polled).isZero();
    }

    /** The mean interval would justify polling, but some events are late. */
    @Test
    void aLoopWithRandomEventsSleeps() throws Exception {
        oneOfTenIsLate(100_000);
        assertThat(polled).isZero();
    }

    @Test
    void aPollingLoopStopsWhenTooManyEventsAreLate() throws Exception {
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
    void anIdleLoopSoonStopsPolling() throws Exception {
        rounds(400, 20_000, 10_000);
        polled = 0;
        rounds(1_000, 10_000_000, 10_000);
        assertThat(polled).isPositive().isLessThan(2_000_000);
    }

    @Test
    void tasksAreNotDelayedByPolling() throws Exception {
        rounds(400, 20_000, 10_000);
        nextEvent = Long.MAX_VALUE;
        long before = now;
        assertThat(strategy.calculateStrategy(this::poll, true)).isZero();
        assertThat(now - before).isEqualTo(POLL_NANOS);
    }
}
