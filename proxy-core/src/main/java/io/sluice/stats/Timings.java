package io.sluice.stats;

import java.util.EnumMap;
import java.util.Map;
import java.util.Objects;
import org.HdrHistogram.ConcurrentHistogram;
import org.HdrHistogram.Histogram;

/**
 * A histogram for each {@link Timing}, precise to three significant digits. Recording is wait-free. Thread-safe.
 */
public final class Timings {
    private static final int SIGNIFICANT_DIGITS = 3;

    private final Map<Timing, Histogram> histograms = new EnumMap<>(Timing.class);

    Timings() {
        for (Timing timing : Timing.values()) {
            histograms.put(timing, new ConcurrentHistogram(SIGNIFICANT_DIGITS));
        }
    }

    void record(Timing timing, long nanos) {
        of(timing).recordValue(nanos / 1000);
    }

    /** Returns a copy of the histogram, in microseconds. */
    public Histogram read(Timing timing) {
        return of(timing).copy();
    }

    private Histogram of(Timing timing) {
        return Objects.requireNonNull(histograms.get(timing));
    }
}
