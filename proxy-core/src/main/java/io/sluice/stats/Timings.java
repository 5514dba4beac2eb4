package io.sluice.stats;

import java.util.EnumMap;
import java.util.Map;
import java.util.Objects;
import org.HdrHistogram.ConcurrentHistogram;
import org.HdrHistogram.Histogram;

/** One histogram per {@link Timing}. Any thread may record; recording is wait-free. */
public final class Timings {
    private final Map<Timing, Histogram> histograms = new EnumMap<>(Timing.class);
    private volatile long lastRecordedNanos = System.nanoTime();

    Timings(int significantDigits) {
        for (Timing timing : Timing.values()) {
            histograms.put(timing, new ConcurrentHistogram(significantDigits));
        }
    }

    void record(Timing timing, long nanos, long nowNanos) {
        of(timing).recordValue(Math.max(0, nanos / 1000));
        lastRecordedNanos = nowNanos;
    }

    long lastRecordedNanos() {
        return lastRecordedNanos;
    }

    /** A copy of the histogram so far, in microseconds. */
    public Histogram read(Timing timing) {
        return of(timing).copy();
    }

    private Histogram of(Timing timing) {
        return Objects.requireNonNull(histograms.get(timing));
    }
}
