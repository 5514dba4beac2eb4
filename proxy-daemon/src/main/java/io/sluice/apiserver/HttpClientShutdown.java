package io.sluice.apiserver;

import java.lang.invoke.MethodHandle;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.MethodType;
import java.net.http.HttpClient;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Shuts down HTTP clients that are no longer used, so that their thread and their idle connections go. Never waits:
 * {@code HttpClient.close()} would, for a watch that may last for minutes.
 *
 * <p>Since Java 21 a client has methods for that. Before, it ends by itself once the garbage collector has found that
 * nothing refers to it; then these methods do nothing.
 */
final class HttpClientShutdown {
    private static final Logger log = LoggerFactory.getLogger(HttpClientShutdown.class);
    private static final @Nullable MethodHandle SHUTDOWN = method("shutdown");
    private static final @Nullable MethodHandle SHUTDOWN_NOW = method("shutdownNow");

    private HttpClientShutdown() {}

    private static @Nullable MethodHandle method(String name) {
        try {
            return MethodHandles.publicLookup().findVirtual(HttpClient.class, name, MethodType.methodType(void.class));
        } catch (NoSuchMethodException e) {
            return null;
        } catch (IllegalAccessException e) {
            throw new AssertionError(e);
        }
    }

    /** Takes no more requests; those in progress, their bodies included, are completed first. */
    static void afterLastRequest(HttpClient client) {
        call(SHUTDOWN, client);
    }

    /** Ends requests in progress, too. */
    static void now(HttpClient client) {
        call(SHUTDOWN_NOW, client);
    }

    private static void call(@Nullable MethodHandle method, HttpClient client) {
        if (method == null) {
            return;
        }
        try {
            method.invokeExact(client);
        } catch (RuntimeException | Error e) {
            throw e;
        } catch (Throwable e) {
            // The methods declare no exception.
            log.debug("HTTP client not shut down", e);
        }
    }
}
