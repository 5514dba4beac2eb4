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
 * In which order servers are tried: the one that works is kept; one that failed comes after the others until its
 * back-off is over. There is always one to try, since who asks waits between his attempts himself.
 */
final class Failover {
    private static final Logger log = LoggerFactory.getLogger(Failover.class);
    private static final long LEAST_NANOS = TimeUnit.SECONDS.toNanos(1);
    private static final long MOST_NANOS = TimeUnit.SECONDS.toNanos(30);

    private record Failure(int inRow, long untilNanos) {}

    private final LongSupplier nanoTime;
    private final Map<String, Failure> failures = new HashMap<>();
    private @Nullable String kept;

    Failover(LongSupplier nanoTime) {
        this.nanoTime = nanoTime;
    }

    /** Those to try, in this order; all of them. */
    synchronized <T> List<T> inOrder(List<T> servers, Function<T, String> name) {
        long now = nanoTime.getAsLong();
        List<T> ordered = new ArrayList<>(servers);
        // The sort is stable: among equals, the order they were given in.
        ordered.sort(Comparator.comparingLong(server -> rank(name.apply(server), now)));
        // Addresses behind a name come and go.
        failures.keySet().retainAll(servers.stream().map(name).toList());
        return ordered;
    }

    private long rank(String server, long now) {
        if (server.equals(kept)) {
            return -1;
        }
        Failure failure = failures.get(server);
        return failure == null ? 0 : Math.max(0, failure.untilNanos() - now);
    }

    synchronized void works(String server) {
        failures.remove(server);
        if (!server.equals(kept)) {
            log.info("API server {} answers{}", server, kept == null ? "" : "; " + kept + " is left");
            kept = server;
        }
    }

    synchronized void failed(String server) {
        Failure before = failures.get(server);
        int inRow = before == null ? 1 : Math.min(before.inRow() + 1, 10);
        long wait = Math.min(MOST_NANOS, LEAST_NANOS << (inRow - 1));
        failures.put(server, new Failure(inRow, nanoTime.getAsLong() + wait));
        if (server.equals(kept)) {
            kept = null;
        }
    }
}
