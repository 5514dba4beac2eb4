package io.sluice.kube;

import io.sluice.model.FrontendAddress;
import java.util.HashMap;
import java.util.HashSet;
import java.util.Map;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * Whom each service forwards to, so that it is looked at again when one of them becomes a frontend: traffic must not go
 * round in circles. Confined to one thread.
 */
final class Dialled {
    private final Map<ServiceKey, Set<FrontendAddress>> dialled = new HashMap<>();
    /** Whose endpoint an address is. One service nearly always, so a set is made to grow only for the second. */
    private final Map<FrontendAddress, Set<ServiceKey>> dialledBy = new HashMap<>();

    void replace(ServiceKey key, Set<FrontendAddress> dials) {
        Set<FrontendAddress> before = dials.isEmpty() ? dialled.remove(key) : dialled.put(key, dials);
        if (before != null) {
            for (FrontendAddress address : before) {
                if (!dials.contains(address)) {
                    dialledBy.computeIfPresent(address, (a, keys) -> without(keys, key));
                }
            }
        }
        for (FrontendAddress address : dials) {
            dialledBy.merge(address, Set.of(key), Dialled::with);
        }
    }

    Set<ServiceKey> by(FrontendAddress address) {
        return dialledBy.getOrDefault(address, Set.of());
    }

    private static Set<ServiceKey> with(Set<ServiceKey> keys, Set<ServiceKey> one) {
        if (keys.containsAll(one)) {
            return keys;
        }
        Set<ServiceKey> all = keys instanceof HashSet ? keys : new HashSet<>(keys);
        all.addAll(one);
        return all;
    }

    private static @Nullable Set<ServiceKey> without(Set<ServiceKey> keys, ServiceKey key) {
        if (keys instanceof HashSet) {
            keys.remove(key);
            return keys.isEmpty() ? null : keys;
        }
        return keys.contains(key) ? null : keys;
    }
}
