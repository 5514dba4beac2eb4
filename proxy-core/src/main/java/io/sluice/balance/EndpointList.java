package io.sluice.balance;

import io.sluice.model.Endpoint;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Function;
import org.jspecify.annotations.Nullable;

/** The targets of a list of endpoints, in its order. Thread-safe. */
final class EndpointList {
    /** Up to this number of endpoints, a linear search is faster than hashing. */
    private static final int LINEAR_SEARCH_LIMIT = 8;

    final List<Endpoint> endpoints;
    final EndpointTarget[] targets;
    private volatile @Nullable Map<Endpoint, EndpointTarget> targetsByEndpoint;

    EndpointList(List<Endpoint> endpoints, Function<Endpoint, EndpointTarget> targetOf) {
        this.endpoints = endpoints;
        targets = new EndpointTarget[endpoints.size()];
        for (int i = 0; i < targets.length; i++) {
            targets[i] = targetOf.apply(endpoints.get(i));
        }
    }

    /** The target of an endpoint; null if the list does not contain the endpoint. */
    @Nullable
    EndpointTarget find(Endpoint endpoint) {
        if (targets.length > LINEAR_SEARCH_LIMIT) {
            return targetsByEndpoint().get(endpoint);
        }
        for (EndpointTarget target : targets) {
            if (target.endpoint.equals(endpoint)) {
                return target;
            }
        }
        return null;
    }

    private Map<Endpoint, EndpointTarget> targetsByEndpoint() {
        Map<Endpoint, EndpointTarget> map = targetsByEndpoint;
        if (map == null) {
            map = new HashMap<>();
            for (EndpointTarget target : targets) {
                map.put(target.endpoint, target);
            }
            targetsByEndpoint = map;
        }
        return map;
    }
}
