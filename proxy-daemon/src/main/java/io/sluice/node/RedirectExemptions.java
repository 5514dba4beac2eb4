package io.sluice.node;

import io.sluice.model.Endpoint;
import io.sluice.model.Frontend;
import io.sluice.model.IpAddress;
import io.sluice.model.ServicePort;
import java.util.BitSet;
import java.util.Collection;
import java.util.HashMap;
import java.util.Map;
import java.util.Set;

/**
 * The endpoints to which connections from Sluice must not be redirected, because they would loop: endpoints that are
 * also a frontend of their own Service, and endpoints whose port is a NodePort and whose address may become local at
 * any time. Modified under the lock of {@link NodeRules}; any thread may call {@link #includes}.
 */
final class RedirectExemptions {
    private final Map<Endpoint, Integer> endpoints = new HashMap<>();
    private final Map<Integer, Integer> nodePorts = new HashMap<>();
    private volatile View view = new View(Set.of(), new BitSet(), Set.of());

    /** @param own known addresses of this node, for which the snapshot builder has excluded loops */
    private record View(Set<Endpoint> endpoints, BitSet nodePorts, Set<IpAddress> own) {}

    /** Returns whether an endpoint is exempt. Called for every connection and flow, so it allocates nothing. */
    boolean includes(Endpoint endpoint) {
        View now = view;
        return (!now.endpoints.isEmpty() && now.endpoints.contains(endpoint))
                || (now.nodePorts.get(endpoint.port()) && !now.own.contains(endpoint.address()));
    }

    void clear() {
        endpoints.clear();
        nodePorts.clear();
    }

    /** @param own all known addresses of this node */
    void change(Collection<ServicePort> before, Collection<ServicePort> after, Set<IpAddress> own) {
        before.forEach(port -> count(port, -1));
        after.forEach(port -> count(port, 1));
        BitSet ports = new BitSet();
        nodePorts.keySet().forEach(ports::set);
        view = new View(Set.copyOf(endpoints.keySet()), ports, own);
    }

    private void count(ServicePort port, int difference) {
        port.endpointsThatAreFrontends().forEach(endpoint -> add(endpoints, endpoint, difference));
        for (Frontend frontend : port.frontends()) {
            if (frontend.address().address().isUnspecified()) {
                add(nodePorts, frontend.address().port(), difference);
            }
        }
    }

    private static <K> void add(Map<K, Integer> counts, K key, int difference) {
        counts.merge(key, difference, (count, more) -> count + more == 0 ? null : Integer.valueOf(count + more));
    }
}
