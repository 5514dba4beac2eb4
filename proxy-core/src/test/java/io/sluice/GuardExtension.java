package io.sluice;

import static org.assertj.core.api.Assertions.assertThat;

import ch.qos.logback.classic.Level;
import ch.qos.logback.classic.Logger;
import ch.qos.logback.classic.spi.ILoggingEvent;
import ch.qos.logback.classic.spi.IThrowableProxy;
import ch.qos.logback.core.AppenderBase;
import io.netty.buffer.ByteBuf;
import io.netty.buffer.PooledByteBufAllocator;
import io.netty.util.ResourceLeakDetector;
import io.netty.util.ResourceLeakDetectorFactory;
import java.util.ArrayList;
import java.util.List;
import java.util.Queue;
import java.util.concurrent.ConcurrentLinkedQueue;
import org.junit.jupiter.api.extension.AfterAllCallback;
import org.junit.jupiter.api.extension.AfterEachCallback;
import org.junit.jupiter.api.extension.ExtensionContext;
import org.slf4j.LoggerFactory;

/**
 * Fails a test during which another thread ended with an exception, and a test class if a buffer leak or an error was
 * logged in it or before it. Registered for all test classes of the module.
 */
public final class GuardExtension implements AfterEachCallback, AfterAllCallback {
    private static final Queue<String> LEAKS = new ConcurrentLinkedQueue<>();
    private static final Queue<String> ERRORS = new ConcurrentLinkedQueue<>();
    private static final Queue<Throwable> UNCAUGHT = new ConcurrentLinkedQueue<>();

    static {
        Thread.setDefaultUncaughtExceptionHandler((thread, e) ->
                UNCAUGHT.add(new AssertionError("thread " + thread.getName() + " ended with an exception", e)));
        // Must run before the first buffer: Netty creates its leak detectors once, when their classes are loaded.
        ResourceLeakDetectorFactory.setResourceLeakDetectorFactory(new ResourceLeakDetectorFactory() {
            @Override
            @SuppressWarnings("deprecation") // deprecated but still abstract in Netty
            public <T> ResourceLeakDetector<T> newResourceLeakDetector(
                    Class<T> resource, int samplingInterval, long maxActive) {
                return new Recording<>(resource, samplingInterval);
            }
        });
        Logger root = (Logger) LoggerFactory.getLogger(org.slf4j.Logger.ROOT_LOGGER_NAME);
        AppenderBase<ILoggingEvent> appender = new AppenderBase<>() {
            @Override
            protected void append(ILoggingEvent event) {
                // Netty logs a warning if an exception reaches its event loop.
                boolean error = event.getLevel().isGreaterOrEqual(Level.ERROR)
                        || (event.getLoggerName().startsWith("io.netty") && event.getLevel() == Level.WARN);
                if (error) {
                    IThrowableProxy cause = event.getThrowableProxy();
                    ERRORS.add(event.getFormattedMessage()
                            + (cause == null ? "" : ": " + cause.getClassName() + ": " + cause.getMessage()));
                }
            }
        };
        appender.start();
        root.addAppender(appender);
    }

    /** Returns and clears the errors logged so far, for a test that provokes them; they do not fail its class. */
    public static List<String> takeErrors() {
        List<String> taken = new ArrayList<>();
        for (String error = ERRORS.poll(); error != null; error = ERRORS.poll()) {
            taken.add(error);
        }
        return taken;
    }

    @Override
    public void afterEach(ExtensionContext context) {
        Throwable first = UNCAUGHT.poll();
        if (first != null) {
            AssertionError failure = new AssertionError("failed in another thread than the test's", first);
            for (Throwable next = UNCAUGHT.poll(); next != null; next = UNCAUGHT.poll()) {
                failure.addSuppressed(next);
            }
            throw failure;
        }
    }

    @Override
    public void afterAll(ExtensionContext context) {
        afterEach(context);
        for (int i = 0; i < 3; i++) {
            System.gc();
            // The detector reports leaked buffers when another buffer is allocated.
            ByteBuf probe = PooledByteBufAllocator.DEFAULT.directBuffer(16);
            probe.release();
        }
        assertThat(LEAKS).as("LEAK: leaked buffers").isEmpty();
        assertThat(ERRORS).as("logged errors").isEmpty();
    }

    private static final class Recording<T> extends ResourceLeakDetector<T> {
        Recording(Class<?> resource, int samplingInterval) {
            super(resource, samplingInterval);
        }

        @Override
        protected boolean needReport() {
            return true;
        }

        @Override
        protected void reportTracedLeak(String resourceType, String records) {
            LEAKS.add(resourceType + " " + records);
        }

        @Override
        protected void reportUntracedLeak(String resourceType) {
            LEAKS.add(resourceType);
        }
    }
}
