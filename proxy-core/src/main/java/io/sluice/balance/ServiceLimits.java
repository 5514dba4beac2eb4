package io.sluice.balance;

import com.github.benmanes.caffeine.cache.Caffeine;
import io.sluice.model.IpAddress;
import io.sluice.model.TrafficPolicy.Limits;
import io.sluice.stats.Counter;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentMap;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;
import org.jspecify.annotations.Nullable;

/**
 * The open connections and flows of a service port, in total and by client, and the rate of new ones by client. Used
 * only if a traffic policy sets limits. The counts are exact over all event loops. Thread-safe.
 */
public final class ServiceLimits {
    /**
     * The maximum number of clients whose rate is known; each takes about 150 bytes. If there are more, clients least
     * likely to return are forgotten, and may then exceed their rate.
     */
    private static final int MAX_CLIENTS = 100_000;

    private final AtomicInteger open = new AtomicInteger();
    private final AtomicInteger held = new AtomicInteger();
    /** Open connections and flows by client; no entry for zero. */
    private final ConcurrentMap<IpAddress, Integer> openByClient = new ConcurrentHashMap<>();

    /** When a client will have used no part of its rate. Created for the first connection with a limited rate. */
    private volatile @Nullable ConcurrentMap<IpAddress, AtomicLong> idleAtNanos;

    /** Why a connection or flow is not admitted. */
    public enum Refusal {
        /** The service port has its maximum of connections and flows. */
        SERVICE(Counter.SESSIONS_OVER_SERVICE_LIMIT, Counter.DATAGRAMS_OVER_SERVICE_LIMIT),
        /** The client has its maximum of connections and flows. */
        CLIENT(Counter.SESSIONS_OVER_CLIENT_LIMIT, Counter.DATAGRAMS_OVER_CLIENT_LIMIT),
        /** The client opens connections and flows too fast. */
        RATE(Counter.SESSIONS_OVER_CLIENT_RATE, Counter.DATAGRAMS_OVER_CLIENT_RATE);

        private final Counter ofConnections;
        private final Counter ofDatagrams;

        Refusal(Counter ofConnections, Counter ofDatagrams) {
            this.ofConnections = ofConnections;
            this.ofDatagrams = ofDatagrams;
        }

        /** The counter of connections that are reset for this reason. */
        public Counter ofConnections() {
            return ofConnections;
        }

        /** The counter of datagrams that are dropped for this reason. */
        public Counter ofDatagrams() {
            return ofDatagrams;
        }
    }

    /**
     * Counts a new connection or flow if it is within the limits. If this method returns null, the caller must call
     * {@link #closed} once.
     *
     * @return why it is not admitted; null if it is
     */
    public @Nullable Refusal tryOpen(Limits limits, IpAddress client, long nowNanos) {
        if (limits.ratePerClient() > 0 && !isWithinRate(limits, client, nowNanos)) {
            return Refusal.RATE;
        }
        if (!tryIncrement(open, limits.connections())) {
            return Refusal.SERVICE;
        }
        int max = limits.connectionsPerClient();
        boolean[] admitted = new boolean[1];
        openByClient.compute(client, (key, before) -> {
            int count = before == null ? 0 : before;
            admitted[0] = max == 0 || count < max;
            return admitted[0] ? Integer.valueOf(count + 1) : before;
        });
        if (!admitted[0]) {
            open.decrementAndGet();
            return Refusal.CLIENT;
        }
        return null;
    }

    /** Counts a connection or flow that was open before limits were set, even if it exceeds them. */
    public void opened(IpAddress client) {
        open.incrementAndGet();
        openByClient.merge(client, 1, Integer::sum);
    }

    /** Counts the end of a connection or flow. */
    public void closed(IpAddress client) {
        open.decrementAndGet();
        openByClient.computeIfPresent(client, (key, count) -> count == 1 ? null : count - 1);
    }

    /** Counts a connection that waits for an endpoint, unless {@code max} of them already wait. */
    public boolean tryHold(int max) {
        return tryIncrement(held, max);
    }

    /** Counts the end of a wait. */
    public void releaseHold() {
        held.decrementAndGet();
    }

    /** The number of connections that wait for an endpoint. */
    public int held() {
        return held.get();
    }

    /** Adds one, unless the result would exceed {@code max}; 0 means no maximum. */
    private static boolean tryIncrement(AtomicInteger count, int max) {
        int before;
        do {
            before = count.get();
            if (max > 0 && before >= max) {
                return false;
            }
        } while (!count.compareAndSet(before, before + 1));
        return true;
    }

    /**
     * A token bucket (as GCRA): each connection uses an equal part of the period, and a client that was idle for a whole
     * period can use all parts at once.
     */
    private boolean isWithinRate(Limits limits, IpAddress client, long nowNanos) {
        long partNanos = Math.max(1, limits.ratePeriodNanos() / limits.ratePerClient());
        AtomicLong idleAt = rates().computeIfAbsent(client, key -> new AtomicLong(nowNanos));
        while (true) {
            long before = idleAt.get();
            // A rate that was lower before may have reserved more than a period.
            long reserved = Math.min(Math.max(0, before - nowNanos), partNanos * limits.ratePerClient());
            long after = nowNanos + reserved + partNanos;
            if (after - nowNanos > partNanos * limits.ratePerClient()) {
                return false;
            }
            if (idleAt.compareAndSet(before, after)) {
                return true;
            }
        }
    }

    private synchronized ConcurrentMap<IpAddress, AtomicLong> createRates() {
        ConcurrentMap<IpAddress, AtomicLong> created = idleAtNanos;
        if (created == null) {
            created = Caffeine.newBuilder()
                    .maximumSize(MAX_CLIENTS)
                    .executor(Runnable::run)
                    .<IpAddress, AtomicLong>build()
                    .asMap();
            idleAtNanos = created;
        }
        return created;
    }

    private ConcurrentMap<IpAddress, AtomicLong> rates() {
        ConcurrentMap<IpAddress, AtomicLong> known = idleAtNanos;
        return known == null ? createRates() : known;
    }

    /** Whether no connection or flow is counted. For tests. */
    public boolean isEmpty() {
        return open.get() == 0 && held.get() == 0 && openByClient.isEmpty();
    }
}
