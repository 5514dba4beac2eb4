package io.sluice.ops;

import ch.qos.logback.classic.Level;
import ch.qos.logback.classic.Logger;
import ch.qos.logback.classic.LoggerContext;
import java.util.List;
import java.util.Locale;
import org.slf4j.LoggerFactory;

/** Reads and changes the log level of the process. Thread-safe. */
public final class LogLevel {
    /** The valid levels, from the fewest lines to the most. */
    public static final List<String> ALL = List.of("error", "warn", "info", "debug", "trace");

    private LogLevel() {}

    /** The current level. */
    public static String get() {
        return root().getEffectiveLevel().toString().toLowerCase(Locale.ROOT);
    }

    /**
     * Sets the level and returns the previous one.
     *
     * @throws IllegalArgumentException if the level is not one of {@link #ALL}, with a message that lists them
     */
    public static synchronized String set(String level) {
        if (!ALL.contains(level)) {
            throw new IllegalArgumentException("level must be error, warn, info, debug or trace");
        }
        String before = get();
        root().setLevel(Level.toLevel(level));
        // At DEBUG, Netty logs every system property that it reads, so its DEBUG level is enabled only with trace.
        root().getLoggerContext().getLogger("io.netty").setLevel(level.equals("trace") ? Level.DEBUG : Level.WARN);
        return before;
    }

    private static Logger root() {
        return ((LoggerContext) LoggerFactory.getILoggerFactory()).getLogger(org.slf4j.Logger.ROOT_LOGGER_NAME);
    }
}
