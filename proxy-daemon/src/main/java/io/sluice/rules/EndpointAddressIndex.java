package io.sluice.rules;

import io.sluice.model.FrontendAddress;
import io.sluice.objects.ServiceKey;
import java.util.Arrays;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * Whom each service forwards to, so that it is looked at again when one of them becomes a frontend: traffic must not go
 * round in circles. Confined to one thread.
 *
 * <p>Nearly no address of a pod is ever asked for, so addresses are not kept, only in which bucket each falls: a map of
 * them would be larger than all that is known of the endpoints. Who asks gets everybody in the bucket; to be looked at
 * for nothing does no harm.
 */
final class EndpointAddressIndex {
    /** At 250,000 endpoints a bucket holds four services. */
    private static final int BUCKETS = 1 << 16;

    private static final ServiceKey[] NOBODY = {};

    private final ServiceKey[][] buckets = new ServiceKey[BUCKETS][];
    private final Map<ServiceKey, int[]> bucketsOf = new HashMap<>();

    EndpointAddressIndex() {
        Arrays.fill(buckets, NOBODY);
    }

    void replace(ServiceKey key, Set<FrontendAddress> dials) {
        int[] now = dials.stream()
                .mapToInt(EndpointAddressIndex::bucket)
                .sorted()
                .distinct()
                .toArray();
        int[] before = bucketsOf.getOrDefault(key, new int[0]);
        if (Arrays.equals(before, now)) {
            return;
        }
        for (int bucket : before) {
            if (Arrays.binarySearch(now, bucket) < 0) {
                buckets[bucket] = without(buckets[bucket], key);
            }
        }
        for (int bucket : now) {
            if (Arrays.binarySearch(before, bucket) < 0) {
                buckets[bucket] = Arrays.copyOf(buckets[bucket], buckets[bucket].length + 1);
                buckets[bucket][buckets[bucket].length - 1] = key;
            }
        }
        if (now.length == 0) {
            bucketsOf.remove(key);
        } else {
            bucketsOf.put(key, now);
        }
    }

    /** Everybody who may forward to the address, and a few others. */
    Collection<ServiceKey> by(FrontendAddress address) {
        return List.of(buckets[bucket(address)]);
    }

    private static ServiceKey[] without(ServiceKey[] keys, ServiceKey key) {
        int at = Arrays.asList(keys).indexOf(key);
        if (keys.length == 1) {
            return NOBODY;
        }
        ServiceKey[] rest = Arrays.copyOf(keys, keys.length - 1);
        System.arraycopy(keys, at + 1, rest, at, rest.length - at);
        return rest;
    }

    private static int bucket(FrontendAddress address) {
        // The protocol is left out: a service seldom dials both.
        int hash = 31 * address.address().hashCode() + address.port();
        return (hash * 0x9E3779B9) >>> 16;
    }
}
