package io.sluice.daemon;

import ch.qos.logback.classic.Logger;
import ch.qos.logback.classic.LoggerContext;
import ch.qos.logback.classic.PatternLayout;
import ch.qos.logback.classic.pattern.MessageConverter;
import ch.qos.logback.classic.spi.ILoggingEvent;
import ch.qos.logback.core.OutputStreamAppender;
import ch.qos.logback.core.encoder.Encoder;
import ch.qos.logback.core.encoder.LayoutWrappingEncoder;
import io.sluice.document.Problem;
import io.sluice.ops.LogLevel;
import java.io.FilterOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import org.slf4j.LoggerFactory;

/** Configures Logback in code, because parsing an XML file would take longer than the rest of the startup. */
public final class Logging {
    /** Omits the logger name, because each message names its object. The JSON format includes the logger name. */
    private static final String PATTERN = "%d{yyyy-MM-dd'T'HH:mm:ss.SSSXXX} %-5level %escapedMsg%n";

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
        LogLevel.set(level);
    }

    private static Encoder<ILoggingEvent> encoder(String format, LoggerContext context) {
        if (format.equals("json")) {
            JsonLogLayout json = new JsonLogLayout();
            json.setContext(context);
            json.start();
            return json;
        }
        PatternLayout layout = new PatternLayout();
        layout.setContext(context);
        layout.getInstanceConverterMap().put("escapedMsg", EscapedMessage::new);
        layout.setPattern(PATTERN);
        layout.start();
        LayoutWrappingEncoder<ILoggingEvent> text = new LayoutWrappingEncoder<>();
        text.setContext(context);
        text.setLayout(layout);
        text.start();
        return text;
    }

    /**
     * Escapes control characters in messages: a client or an object must not be able to forge a line, or to send an
     * escape sequence to a terminal.
     */
    private static final class EscapedMessage extends MessageConverter {
        @Override
        public String convert(ILoggingEvent event) {
            return Problem.escaped(super.convert(event));
        }
    }
}
