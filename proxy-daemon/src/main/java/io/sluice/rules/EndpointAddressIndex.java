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
 * Index from an endpoint address to the Services with this endpoint. When an address becomes a frontend, the Services
 * that forward to it must be rebuilt, because traffic could loop. Confined to one thread.
 *
 * <p>Stores hash buckets instead of addresses, because few addresses are ever looked up and a map of all addresses
 * would be larger than the endpoints themselves. A lookup returns all Services in the bucket; rebuilding an unchanged
 * Service is harmless.
 */
final class EndpointAddressIndex {
    /** With 250,000 endpoints, a bucket holds four Services on average. */
    private static final int BUCKETS = 1 << 16;

    private static final ServiceKey[] NONE = {};

    private final ServiceKey[][] buckets = new ServiceKey[BUCKETS][];
    private final Map<ServiceKey, int[]> bucketsOf = new HashMap<>();

    EndpointAddressIndex() {
        Arrays.fill(buckets, NONE);
    }

    void replace(ServiceKey key, Set<FrontendAddress> endpointAddresses) {
        int[] now = endpointAddresses.stream()
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

    /** All Services with an endpoint at the address, and possibly a few others. */
    Collection<ServiceKey> servicesFor(FrontendAddress address) {
        return List.of(buckets[bucket(address)]);
    }

    private static ServiceKey[] without(ServiceKey[] keys, ServiceKey key) {
        int at = Arrays.asList(keys).indexOf(key);
        if (keys.length == 1) {
            return NONE;
        }
        ServiceKey[] rest = Arrays.copyOf(keys, keys.length - 1);
        System.arraycopy(keys, at + 1, rest, at, rest.length - at);
        return rest;
    }

    private static int bucket(FrontendAddress address) {
        // Ignores the protocol: a Service rarely has the same endpoint for both TCP and UDP.
        int hash = 31 * address.address().hashCode() + address.port();
        return (hash * 0x9E3779B9) >>> 16;
    }
}
