package io.sluice.ops;

import java.util.HashMap;
import java.util.Map;
import java.util.function.LongSupplier;

/**
 * Limits the number of log lines for each key and period. When a key exceeds the limit, its lines are suppressed for
 * one period. Used by one thread.
 */
final class LineLimit {
    private final int maxLines;
    private final long periodNanos;
    private final LongSupplier nanoTime;
    private final Map<String, Window> windows = new HashMap<>();
    private long cleanedNanos;

    /** What to do with a line. */
    enum Decision {
        LOG,
        /** Suppress this line and all others of the next period, and log that once. */
        BEGIN_SUPPRESSING,
        SUPPRESS
    }

    private static final class Window {
        long startNanos;
        int lines;
    }

    LineLimit(int maxLines, long periodNanos, LongSupplier nanoTime) {
        this.maxLines = maxLines;
        this.periodNanos = periodNanos;
        this.nanoTime = nanoTime;
        this.cleanedNanos = nanoTime.getAsLong();
    }

    /** Whether the next line of a key would be suppressed. */
    boolean isSuppressing(String key) {
        Window window = windows.get(key);
        return window != null && window.lines > maxLines && nanoTime.getAsLong() - window.startNanos < periodNanos;
    }

    /** Decides about the next line of a key. */
    Decision next(String key) {
        long now = nanoTime.getAsLong();
        // Not on each call, which would be quadratic if the endpoints of many Services fail.
        if (now - cleanedNanos >= periodNanos) {
            cleanedNanos = now;
            windows.values().removeIf(window -> now - window.startNanos >= periodNanos);
        }
        Window window = windows.computeIfAbsent(key, name -> new Window());
        if (window.lines == 0 || now - window.startNanos >= periodNanos) {
            window.startNanos = now;
            window.lines = 0;
        }
        window.lines++;
        if (window.lines <= maxLines) {
            return Decision.LOG;
        }
        if (window.lines > maxLines + 1) {
            return Decision.SUPPRESS;
        }
        window.startNanos = now;
        return Decision.BEGIN_SUPPRESSING;
    }
}
