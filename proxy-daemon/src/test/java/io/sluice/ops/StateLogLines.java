package io.sluice.ops;

import ch.qos.logback.classic.Level;
import ch.qos.logback.classic.Logger;
import ch.qos.logback.classic.spi.ILoggingEvent;
import ch.qos.logback.core.read.ListAppender;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.slf4j.LoggerFactory;

/** The lines that {@link StateChangeLog} has logged since this object was created. */
final class StateLogLines implements AutoCloseable {
    private final ListAppender<ILoggingEvent> appender = new ListAppender<>();
    private final Logger logger = (Logger) LoggerFactory.getLogger("io.sluice.State");

    StateLogLines() {
        logger.setLevel(Level.INFO);
        appender.start();
        logger.addAppender(appender);
    }

    /** The lines, each with its level, such as {@code INFO shop/web: removed}. */
    List<String> all() {
        return List.copyOf(appender.list).stream()
                .map(event -> event.getLevel() + " " + event.getFormattedMessage())
                .toList();
    }

    /** Returns the lines and removes them. */
    List<String> take() {
        List<String> lines = all();
        appender.list.clear();
        return lines;
    }

    /** The key-value pairs of the only line. */
    Map<String, String> fields() {
        Map<String, String> fields = new TreeMap<>();
        appender.list.get(0).getKeyValuePairs().forEach(pair -> fields.put(pair.key, String.valueOf(pair.value)));
        return fields;
    }

    @Override
    public void close() {
        logger.detachAppender(appender);
    }
}
