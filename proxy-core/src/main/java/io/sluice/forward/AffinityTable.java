package io.sluice.forward;

import com.github.benmanes.caffeine.cache.Caffeine;
import io.sluice.model.Endpoint;
import io.sluice.model.IpAddress;
import io.sluice.model.SessionAffinity;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentMap;

/**
 * Which endpoint each client of a service with ClientIP affinity is held to.
 *
 * <p>Kubernetes' rules: the key is service port and client address, whatever frontend was dialled; a new connection or
 * flow refreshes the entry, a packet does not. Whether an entry still holds is decided when it is looked up, by the
 * affinity and the endpoints in force then, so a changed timeout counts at once. Asked once per connection or new flow;
 * any thread.
 */
final class AffinityTable {
    /** Bounds the memory, about 150 bytes each; the least useful go first. */
    private static final int MAX_CLIENTS = 500_000;

    private final ConcurrentMap<Key, Pin> pins = Caffeine.newBuilder()
            .maximumSize(MAX_CLIENTS)
            // Its upkeep is short; a pool of threads for it would be the only one of this process.
            .executor(Runnable::run)
            .<Key, Pin>build()
            .asMap();

    private record Key(ServiceState service, IpAddress client) {}

    private record Pin(Endpoint endpoint, long lastUsedNanos) {}

    /** The client's endpoint: the one it is held to if that is still good, else the next in turn, to which it is held. */
    Target pick(ServiceState service, SessionAffinity affinity, IpAddress client, Rotation rotation, long nowNanos) {
        long timeoutNanos = affinity.timeoutSeconds() * 1_000_000_000L;
        Target[] picked = new Target[1];
        pins.compute(new Key(service, client), (key, pin) -> {
            Target held =
                    pin == null || nowNanos - pin.lastUsedNanos >= timeoutNanos ? null : rotation.find(pin.endpoint);
            picked[0] = held == null ? rotation.next(nowNanos) : held;
            return new Pin(picked[0].endpoint, nowNanos);
        });
        return picked[0];
    }

    /** Holds a client to the endpoint that answered, after the one it was held to did not. */
    void hold(ServiceState service, IpAddress client, Endpoint endpoint, long nowNanos) {
        pins.put(new Key(service, client), new Pin(endpoint, nowNanos));
    }

    /** Who is held where now. */
    Map<ServiceState, List<HandOver.Pin>> pins(long nowNanos) {
        Map<ServiceState, List<HandOver.Pin>> byService = new HashMap<>();
        pins.forEach((key, pin) -> byService
                .computeIfAbsent(key.service, service -> new ArrayList<>())
                .add(new HandOver.Pin(key.client, pin.endpoint, nowNanos - pin.lastUsedNanos)));
        return byService;
    }

    /** Lets a client go that is held to this endpoint. */
    void release(ServiceState service, IpAddress client, Endpoint endpoint) {
        pins.computeIfPresent(new Key(service, client), (key, pin) -> pin.endpoint.equals(endpoint) ? null : pin);
    }
}
