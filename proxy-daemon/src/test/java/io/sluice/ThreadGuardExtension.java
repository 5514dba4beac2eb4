package io.sluice;

import ch.qos.logback.classic.Logger;
import ch.qos.logback.classic.spi.ILoggingEvent;
import ch.qos.logback.classic.spi.ThrowableProxy;
import ch.qos.logback.core.AppenderBase;
import java.util.Queue;
import java.util.concurrent.ConcurrentLinkedQueue;
import org.junit.jupiter.api.extension.AfterAllCallback;
import org.junit.jupiter.api.extension.AfterEachCallback;
import org.junit.jupiter.api.extension.BeforeEachCallback;
import org.junit.jupiter.api.extension.ExtensionContext;
import org.slf4j.LoggerFactory;

/**
 * Fails a test during which a thread other than its own ended by an exception, or logged a failed assertion and went on,
 * as a supervised thread does. Registered for every class of the module.
 */
public final class ThreadGuardExtension implements BeforeEachCallback, AfterEachCallback, AfterAllCallback {
    private static final Queue<Throwable> THROWN = new ConcurrentLinkedQueue<>();

    static {
        Thread.setDefaultUncaughtExceptionHandler((thread, e) ->
                THROWN.add(new AssertionError("thread " + thread.getName() + " ended by an exception", e)));
    }

    private static final AppenderBase<ILoggingEvent> APPENDER = new AppenderBase<>() {
        @Override
        protected void append(ILoggingEvent event) {
            if (event.getThrowableProxy() instanceof ThrowableProxy proxy
                    && proxy.getThrowable() instanceof AssertionError failed) {
                THROWN.add(
                        new AssertionError("thread " + event.getThreadName() + " logged a failed assertion", failed));
            }
        }
    };

    /** Each time, because a test of the log's configuration removes all appenders. */
    @Override
    public void beforeEach(ExtensionContext context) {
        APPENDER.start();
        ((Logger) LoggerFactory.getLogger(org.slf4j.Logger.ROOT_LOGGER_NAME)).addAppender(APPENDER);
    }

    @Override
    public void afterEach(ExtensionContext context) {
        check();
    }

    @Override
    public void afterAll(ExtensionContext context) {
        check();
    }

    static void check() {
        Throwable first = THROWN.poll();
        if (first != null) {
            AssertionError failure = new AssertionError("failed in another thread than the test's", first);
            for (Throwable next = THROWN.poll(); next != null; next = THROWN.poll()) {
                failure.addSuppressed(next);
            }
            throw failure;
        }
    }
}
