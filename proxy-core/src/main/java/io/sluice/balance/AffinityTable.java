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
import org.jspecify.annotations.Nullable;

/**
 * Which endpoint each client of a service with ClientIP affinity is held to.
 *
 * <p>Kubernetes' rules: the key is service port and client address, whatever frontend was dialled; a new connection or
 * flow refreshes the entry, a packet does not. Whether an entry still holds is decided when it is looked up, by the
 * affinity and the endpoints in force then, so a changed timeout counts at once. Asked once per connection or new flow;
 * any thread.
 */
public final class AffinityTable {
    /** Bounds the memory, about 150 bytes each; the least useful go first. */
    private static final int MAX_CLIENTS = 500_000;

    private final ConcurrentMap<Key, AffinityEntry> pins = Caffeine.newBuilder()
            .maximumSize(MAX_CLIENTS)
            // Its upkeep is short; a pool of threads for it would be the only one of this process.
            .executor(Runnable::run)
            .<Key, AffinityEntry>build()
            .asMap();

    /** What each thread looks up with, so that a client that is held already costs no object. */
    private final ThreadLocal<Key> probe = ThreadLocal.withInitial(Key::new);

    /** Changed only while it is a thread's own, never as a key of the table. */
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
        @SuppressWarnings("ReferenceEquality") // a service has one state
        public boolean equals(@Nullable Object other) {
            return other instanceof Key key && service == key.service && Objects.equals(client, key.client);
        }

        @Override
        public int hashCode() {
            return 31 * System.identityHashCode(service) + Objects.hashCode(client);
        }
    }

    private static final class AffinityEntry {
        final Endpoint endpoint;
        private volatile long lastUsedNanos;

        AffinityEntry(Endpoint endpoint, long lastUsedNanos) {
            this.endpoint = endpoint;
            this.lastUsedNanos = lastUsedNanos;
        }

        /** The endpoint's place in a rotation, if the pin still holds and the endpoint is there. */
        @Nullable
        EndpointTarget in(RoundRobin rotation, long timeoutNanos, long nowNanos) {
            return nowNanos - lastUsedNanos >= timeoutNanos ? null : rotation.find(endpoint);
        }
    }

    /** The client's endpoint: the one it is held to if that is still good, else the next in turn, to which it is held. */
    public EndpointTarget pick(
            ServiceState service, SessionAffinity affinity, IpAddress client, RoundRobin rotation, long nowNanos) {
        long timeoutNanos = affinity.timeoutSeconds() * 1_000_000_000L;
        AffinityEntry pin = pins.get(probe.get().set(service, client));
        EndpointTarget held = pin == null ? null : pin.in(rotation, timeoutNanos, nowNanos);
        if (pin == null || held == null) {
            return pickAnew(Key.of(service, client), timeoutNanos, rotation, nowNanos);
        }
        pin.lastUsedNanos = nowNanos;
        return held;
    }

    /** Asks again, since another loop may have been faster. */
    private EndpointTarget pickAnew(Key key, long timeoutNanos, RoundRobin rotation, long nowNanos) {
        EndpointTarget[] picked = new EndpointTarget[1];
        pins.compute(key, (same, pin) -> {
            EndpointTarget held = pin == null ? null : pin.in(rotation, timeoutNanos, nowNanos);
            picked[0] = held == null ? rotation.next(nowNanos) : held;
            return new AffinityEntry(picked[0].endpoint, nowNanos);
        });
        return picked[0];
    }

    /** Holds a client to the endpoint that answered, after the one it was held to did not. */
    public void hold(ServiceState service, IpAddress client, Endpoint endpoint, long nowNanos) {
        pins.put(Key.of(service, client), new AffinityEntry(endpoint, nowNanos));
    }

    /** Who is held where now. */
    public Map<ServiceState, List<BalancePosition.AffinityEntry>> pins(long nowNanos) {
        Map<ServiceState, List<BalancePosition.AffinityEntry>> byService = new HashMap<>();
        pins.forEach((key, pin) -> {
            if (key.service != null && key.client != null) {
                byService
                        .computeIfAbsent(key.service, service -> new ArrayList<>())
                        .add(new BalancePosition.AffinityEntry(key.client, pin.endpoint, nowNanos - pin.lastUsedNanos));
            }
        });
        return byService;
    }

    /** Lets a client go that is held to this endpoint. */
    public void release(ServiceState service, IpAddress client, Endpoint endpoint) {
        pins.computeIfPresent(Key.of(service, client), (key, pin) -> pin.endpoint.equals(endpoint) ? null : pin);
    }
}
