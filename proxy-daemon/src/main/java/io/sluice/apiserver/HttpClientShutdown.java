package io.sluice.apiserver;

import java.lang.invoke.MethodHandle;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.MethodType;
import java.net.http.HttpClient;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Shuts down HTTP clients that are no longer used, which ends their thread and idle connections. Never blocks, unlike
 * {@code HttpClient.close()}, which waits for open watches.
 *
 * <p>Uses the shutdown methods that exist since Java 21. On older versions these methods do nothing, and the client
 * ends once it has been garbage-collected.
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

    /** Rejects new requests; requests in progress are completed, including their bodies. */
    static void afterLastRequest(HttpClient client) {
        call(SHUTDOWN, client);
    }

    /** Cancels requests in progress, too. */
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
            log.debug("cannot shut down the HTTP client", e);
        }
    }
}
