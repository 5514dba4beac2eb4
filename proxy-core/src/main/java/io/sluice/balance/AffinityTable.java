package io.sluice.balance;

import com.github.benmanes.caffeine.cache.Caffeine;
import io.sluice.model.Endpoint;
import io.sluice.model.IpAddress;
import io.sluice.model.SessionAffinity;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.ConcurrentMap;
import java.util.function.BiConsumer;
import org.jspecify.annotations.Nullable;

/**
 * The session affinity entries of all service ports. An entry maps a client address to an endpoint.
 *
 * <p>Entries behave as in Kubernetes. The key of an entry is the service port and the client address, so all frontends
 * of a service port share its entries. A new connection or flow renews the entry; further packets do not. Each lookup
 * checks the entry against the current timeout and endpoints, so a changed timeout takes effect at once. There is one
 * lookup per new connection or flow. Thread-safe.
 */
public final class AffinityTable {
    /**
     * The maximum number of entries; each takes about 150 bytes. When the table is full, Caffeine evicts the entries
     * least likely to be used again.
     */
    private static final int MAX_CLIENTS = 500_000;

    private final ConcurrentMap<Key, Entry> entries = Caffeine.newBuilder()
            .maximumSize(MAX_CLIENTS)
            // Cache maintenance is short, so it runs on the calling thread instead of the common pool.
            .executor(Runnable::run)
            .<Key, Entry>build()
            .asMap();

    /** A reusable lookup key for each thread, so that finding an entry does not allocate an object. */
    private final ThreadLocal<Key> lookupKey = ThreadLocal.withInitial(Key::new);

    /** Only a thread's lookup key is ever modified; a key in the table never changes. */
    private static final class Key {
        private @Nullable ServiceState service;
        private @Nullable IpAddress client;

        static Key of(ServiceState service, IpAddress client) {
            return new Key().set(service, client);
        }

        Key set(ServiceState theService, IpAddress theClient) {
            service = theService;
            client = theClient;
            return this;
        }

        @Override
        @SuppressWarnings("ReferenceEquality") // each service port has a single state object
        public boolean equals(@Nullable Object other) {
            return other instanceof Key key && service == key.service && Objects.equals(client, key.client);
        }

        @Override
        public int hashCode() {
            return 31 * System.identityHashCode(service) + Objects.hashCode(client);
        }
    }

    private static final class Entry {
        final Endpoint endpoint;
        private volatile long lastUsedNanos;

        Entry(Endpoint endpoint, long lastUsedNanos) {
            this.endpoint = endpoint;
            this.lastUsedNanos = lastUsedNanos;
        }

        /** The endpoint's target; null if this entry has expired or the balancer lacks the endpoint. */
        @Nullable
        EndpointTarget targetIn(Balancer balancer, long timeoutNanos, long nowNanos) {
            return nowNanos - lastUsedNanos >= timeoutNanos ? null : balancer.find(endpoint);
        }
    }

    /**
     * Picks the endpoint for a new connection or flow: the endpoint in the client's entry if the entry is valid,
     * otherwise the one that the balancer picks, which is then stored in an entry. Null if the balancer picks none.
     */
    public @Nullable EndpointTarget pick(
            ServiceState service, SessionAffinity affinity, IpAddress client, Balancer balancer, long nowNanos) {
        long timeoutNanos = affinity.timeoutSeconds() * 1_000_000_000L;
        Entry entry = entries.get(lookupKey.get().set(service, client));
        EndpointTarget target = entry == null ? null : entry.targetIn(balancer, timeoutNanos, nowNanos);
        if (entry == null || target == null) {
            return pickAndStore(Key.of(service, client), client, timeoutNanos, balancer, nowNanos);
        }
        entry.lastUsedNanos = nowNanos;
        return target;
    }

    /** Stores the next endpoint under the entry's lock, unless another loop has just stored a valid one. */
    private @Nullable EndpointTarget pickAndStore(
            Key key, IpAddress client, long timeoutNanos, Balancer balancer, long nowNanos) {
        @Nullable EndpointTarget[] picked = new @Nullable EndpointTarget[1];
        entries.compute(key, (same, entry) -> {
            EndpointTarget target = entry == null ? null : entry.targetIn(balancer, timeoutNanos, nowNanos);
            target = target == null ? balancer.pick(client, List.of(), nowNanos) : target;
            picked[0] = target;
            return target == null ? null : new Entry(target.endpoint, nowNanos);
        });
        return picked[0];
    }

    /** Stores an entry that maps a client to an endpoint, for example after the previous endpoint did not answer. */
    public void hold(ServiceState service, IpAddress client, Endpoint endpoint, long nowNanos) {
        entries.put(Key.of(service, client), new Entry(endpoint, nowNanos));
    }

    /** Passes the service port and content of each entry to an action. Entries may change meanwhile. */
    public void forEach(long nowNanos, BiConsumer<ServiceState, BalancePosition.AffinityEntry> action) {
        entries.forEach((key, entry) -> {
            if (key.service != null && key.client != null) {
                action.accept(
                        key.service,
                        new BalancePosition.AffinityEntry(key.client, entry.endpoint, nowNanos - entry.lastUsedNanos));
            }
        });
    }

    /** All entries by service port, with their idle times. */
    public Map<ServiceState, List<BalancePosition.AffinityEntry>> pins(long nowNanos) {
        Map<ServiceState, List<BalancePosition.AffinityEntry>> byService = new HashMap<>();
        forEach(
                nowNanos,
                (service, entry) -> byService
                        .computeIfAbsent(service, key -> new ArrayList<>())
                        .add(entry));
        return byService;
    }

    /** Removes a client's entry if it refers to this endpoint. */
    public void release(ServiceState service, IpAddress client, Endpoint endpoint) {
        entries.computeIfPresent(
                Key.of(service, client), (key, entry) -> entry.endpoint.equals(endpoint) ? null : entry);
    }
}
