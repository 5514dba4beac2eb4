package io.sluice.apiserver;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.function.Function;
import java.util.function.LongSupplier;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Determines the order in which API servers are tried: the server that worked most recently first, and failed servers
 * last until their back-off ends. No server is ever left out, because callers already wait between attempts.
 */
final class Failover {
    private static final Logger log = LoggerFactory.getLogger(Failover.class);
    private static final long MIN_BACKOFF_NANOS = TimeUnit.SECONDS.toNanos(1);
    private static final long MAX_BACKOFF_NANOS = TimeUnit.SECONDS.toNanos(30);

    private record Failure(int consecutive, long untilNanos) {}

    private final LongSupplier nanoTime;
    private final Map<String, Failure> failures = new HashMap<>();
    private @Nullable String current;

    Failover(LongSupplier nanoTime) {
        this.nanoTime = nanoTime;
    }

    /** Returns all servers in the order in which to try them. */
    synchronized <T> List<T> inOrder(List<T> servers, Function<T, String> name) {
        long now = nanoTime.getAsLong();
        List<T> ordered = new ArrayList<>(servers);
        // The sort is stable: servers of equal rank stay in the configured order.
        ordered.sort(Comparator.comparingLong(server -> rank(name.apply(server), now)));
        // Forget servers that no longer exist, because the addresses of a host name may have changed.
        failures.keySet().retainAll(servers.stream().map(name).toList());
        return ordered;
    }

    private long rank(String server, long now) {
        if (server.equals(current)) {
            return -1;
        }
        Failure failure = failures.get(server);
        return failure == null ? 0 : Math.max(0, failure.untilNanos() - now);
    }

    synchronized void succeeded(String server) {
        failures.remove(server);
        if (!server.equals(current)) {
            log.info("using API server {}{}", server, current == null ? "" : " instead of " + current);
            current = server;
        }
    }

    synchronized void failed(String server) {
        Failure before = failures.get(server);
        int consecutive = before == null ? 1 : Math.min(before.consecutive() + 1, 10);
        long wait = Math.min(MAX_BACKOFF_NANOS, MIN_BACKOFF_NANOS << (consecutive - 1));
        failures.put(server, new Failure(consecutive, nanoTime.getAsLong() + wait));
        if (server.equals(current)) {
            current = null;
        }
    }
}
