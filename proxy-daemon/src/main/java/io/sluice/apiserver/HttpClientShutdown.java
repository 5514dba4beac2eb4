package io.sluice.apiserver;

import java.lang.invoke.MethodHandle;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.MethodType;
import java.net.http.HttpClient;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Shuts down HTTP clients that are no longer used, including their threads and idle connections. Never blocks, unlike
 * {@code HttpClient.close()}, which waits for open watches.
 *
 * <p>Uses the shutdown methods of Java 21 and later. On older versions, the methods of this class do nothing, and a
 * client ends when it is garbage-collected.
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

    /** Rejects new requests and cancels those in progress. */
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
            // Not reachable: the methods declare no checked exception.
            log.debug("cannot shut down the HTTP client", e);
        }
    }
}
