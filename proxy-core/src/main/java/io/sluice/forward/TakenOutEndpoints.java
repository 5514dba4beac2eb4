package io.sluice.forward;

import io.sluice.balance.EndpointHealth.State;
import io.sluice.balance.OutOfUse;
import io.sluice.model.Endpoint;
import io.sluice.model.ServicePortName;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * The endpoints that an operator has drained or disabled, by Service. An entry stays until it expires or is removed, even
 * if the Service does not have the endpoint meanwhile. Used under the forwarder's lock.
 */
final class TakenOutEndpoints {
    private static final long NEVER = Long.MAX_VALUE;

    /** By Service ({@code namespace/name}). */
    private final Map<String, Map<Endpoint, Entry>> services = new HashMap<>();

    /** @param untilNanos time on the forwarder's clock at which the entry expires */
    private record Entry(OutOfUse reason, long untilNanos) {}

    /** The endpoints of a service port's Service that are taken out. */
    Map<Endpoint, OutOfUse> of(ServicePortName name) {
        if (services.isEmpty()) {
            return Map.of();
        }
        Map<Endpoint, OutOfUse> reasons = new HashMap<>();
        services.getOrDefault(name.serviceName(), Map.of()).forEach((key, entry) -> reasons.put(key, entry.reason()));
        return reasons;
    }

    /** @param duration time until the entry expires; null if it does not */
    void put(String service, Endpoint endpoint, State state, @Nullable Duration duration, long nowNanos) {
        Instant now = Instant.now();
        put(
                service,
                endpoint,
                new OutOfUse(true, state, now, duration == null ? null : now.plus(duration)),
                duration == null ? NEVER : nowNanos + duration.toNanos());
    }

    private void put(String service, Endpoint endpoint, OutOfUse reason, long untilNanos) {
        services.computeIfAbsent(service, key -> new HashMap<>()).put(endpoint, new Entry(reason, untilNanos));
    }

    /** Removes an entry; returns false if there is none. */
    boolean remove(String service, Endpoint endpoint) {
        Map<Endpoint, Entry> entries = services.get(service);
        if (entries == null || entries.remove(endpoint) == null) {
            return false;
        }
        if (entries.isEmpty()) {
            services.remove(service);
        }
        return true;
    }

    /** Removes expired entries and returns their endpoints by Service. */
    Map<String, List<Endpoint>> expire(long nowNanos) {
        Map<String, List<Endpoint>> expired = new HashMap<>();
        services.forEach((service, entries) -> entries.forEach((endpoint, entry) -> {
            if (entry.untilNanos != NEVER && nowNanos - entry.untilNanos >= 0) {
                expired.computeIfAbsent(service, key -> new ArrayList<>()).add(endpoint);
            }
        }));
        expired.forEach((service, endpoints) -> endpoints.forEach(endpoint -> remove(service, endpoint)));
        return expired;
    }

    /** All entries, for a handover. */
    List<ForwarderHandover.TakenOut> release(long nowNanos) {
        List<ForwarderHandover.TakenOut> all = new ArrayList<>();
        services.forEach((service, entries) -> entries.forEach((endpoint, entry) -> {
            boolean ends = entry.untilNanos != NEVER;
            all.add(new ForwarderHandover.TakenOut(
                    service,
                    endpoint,
                    entry.reason.state(),
                    entry.reason.since().toEpochMilli(),
                    ends ? Math.max(0, entry.untilNanos - nowNanos) : ForwarderHandover.TakenOut.NO_END));
        }));
        return all;
    }

    /** Adds the entries of the old process. */
    void inherit(List<ForwarderHandover.TakenOut> all, long nowNanos) {
        for (ForwarderHandover.TakenOut each : all) {
            boolean ends = each.remainingNanos() != ForwarderHandover.TakenOut.NO_END;
            put(
                    each.service(),
                    each.endpoint(),
                    new OutOfUse(
                            true,
                            each.state(),
                            Instant.ofEpochMilli(each.sinceMillis()),
                            ends ? Instant.now().plusNanos(each.remainingNanos()) : null),
                    ends ? nowNanos + each.remainingNanos() : NEVER);
        }
    }
}
