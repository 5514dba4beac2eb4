package io.sluice.handoverbench;

import io.netty.channel.EventLoop;

/**
 * Measures how late an event loop runs a periodic task. A pause that is not longer than this may be caused by the
 * benchmark or by a shortage of CPU time instead of Sluice.
 */
final class LoopLateness {
    private static final long PERIOD_NANOS = 5_000_000;

    private final EventLoop loop;
    private long dueNanos;
    private long maxNanos;

    LoopLateness(EventLoop loop) {
        this.loop = loop;
        loop.execute(() -> {
            dueNanos = System.nanoTime();
            run();
        });
    }

    private void run() {
        long now = System.nanoTime();
        maxNanos = Math.max(maxNanos, now - dueNanos);
        dueNanos = now + PERIOD_NANOS;
        Worker.after(PERIOD_NANOS, loop, this::run);
    }

    /** Returns the longest lateness since the last call. Must be called on the loop. */
    long takeMaxNanos() {
        long max = maxNanos;
        maxNanos = 0;
        return max;
    }
}
