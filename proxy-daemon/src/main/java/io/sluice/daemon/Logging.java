package io.sluice.daemon;

import ch.qos.logback.classic.Level;
import ch.qos.logback.classic.Logger;
import ch.qos.logback.classic.LoggerContext;
import ch.qos.logback.classic.encoder.PatternLayoutEncoder;
import ch.qos.logback.classic.spi.ILoggingEvent;
import ch.qos.logback.core.OutputStreamAppender;
import ch.qos.logback.core.encoder.Encoder;
import java.io.FilterOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.util.Locale;
import org.slf4j.LoggerFactory;

/** Configures Logback in code, because parsing an XML file would take longer than the rest of the startup. */
public final class Logging {
    /** Omits the logger name, because each message names its object. The JSON format includes the logger name. */
    private static final String PATTERN = "%d{yyyy-MM-dd'T'HH:mm:ss.SSSXXX} %-5level %msg%n";

    private Logging() {}

    /**
     * Directs log output to a stream.
     *
     * @param format {@code text} or {@code json}
     * @param level name of the log level
     */
    public static void configure(String format, String level, OutputStream stream) {
        LoggerContext context = (LoggerContext) LoggerFactory.getILoggerFactory();
        context.reset();
        OutputStreamAppender<ILoggingEvent> appender = new OutputStreamAppender<>();
        appender.setContext(context);
        appender.setEncoder(encoder(format, context));
        appender.setOutputStream(new FilterOutputStream(stream) {
            @Override
            public void write(byte[] bytes, int offset, int length) throws IOException {
                out.write(bytes, offset, length);
            }

            /** Does not close the stream, which belongs to the caller and may be used by the next configuration too. */
            @Override
            public void close() throws IOException {
                flush();
            }
        });
        appender.start();
        Logger root = context.getLogger(org.slf4j.Logger.ROOT_LOGGER_NAME);
        root.addAppender(appender);
        level(level);
    }

    /** Sets the level and returns the previous one. */
    public static String level(String level) {
        LoggerContext context = (LoggerContext) LoggerFactory.getILoggerFactory();
        Logger root = context.getLogger(org.slf4j.Logger.ROOT_LOGGER_NAME);
        Level before = root.getLevel();
        root.setLevel(Level.toLevel(level));
        // At DEBUG, Netty logs every system property that it reads, so its DEBUG level is enabled only with trace.
        context.getLogger("io.netty").setLevel(level.equals("trace") ? Level.DEBUG : Level.WARN);
        return before.toString().toLowerCase(Locale.ROOT);
    }

    private static Encoder<ILoggingEvent> encoder(String format, LoggerContext context) {
        if (format.equals("json")) {
            JsonLogLayout json = new JsonLogLayout();
            json.setContext(context);
            json.start();
            return json;
        }
        PatternLayoutEncoder text = new PatternLayoutEncoder();
        text.setContext(context);
        text.setPattern(PATTERN);
        text.start();
        return text;
    }
}
