package io.sluice.node;

import io.sluice.model.Frontend;
import io.sluice.model.IpAddress;
import io.sluice.model.ServicePort;
import io.sluice.node.SetElements.Element;
import java.util.Collection;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * Counts the users of each ClusterIP: its service ports, and Services of which no port is served. An address without
 * users is removed from the set of ClusterIPs.
 */
final class ClusterIps {
    private final Map<IpAddress, Integer> users = new HashMap<>();

    /** The elements to remove from the set of ClusterIPs, and the elements to add to it. */
    record Change(List<Element> removed, List<Element> added) {}

    Change change(
            Collection<ServicePort> before,
            Set<IpAddress> unservedBefore,
            Collection<ServicePort> after,
            Set<IpAddress> unservedAfter) {
        Map<IpAddress, Integer> differences = new HashMap<>();
        count(before, unservedBefore, -1, differences);
        count(after, unservedAfter, 1, differences);
        Set<IpAddress> removed = new HashSet<>();
        Set<IpAddress> added = new HashSet<>();
        differences.forEach((address, difference) -> {
            int oldCount = users.getOrDefault(address, 0);
            int newCount = oldCount + difference;
            if (oldCount == 0 && newCount > 0) {
                added.add(address);
            } else if (oldCount > 0 && newCount == 0) {
                removed.add(address);
            }
            if (newCount == 0) {
                users.remove(address);
            } else {
                users.put(address, newCount);
            }
        });
        return new Change(elements(removed), elements(added));
    }

    private static void count(
            Collection<ServicePort> ports, Set<IpAddress> unserved, int each, Map<IpAddress, Integer> counts) {
        for (ServicePort port : ports) {
            for (Frontend frontend : port.frontends()) {
                if (frontend.kind() == Frontend.Kind.CLUSTER_IP) {
                    counts.merge(frontend.address().address(), each, Integer::sum);
                }
            }
        }
        unserved.forEach(address -> counts.merge(address, each, Integer::sum));
    }

    private static List<Element> elements(Set<IpAddress> addresses) {
        return addresses.stream()
                .map(address -> new Element("cluster-ip" + SetElements.family(address), address.toString(), ""))
                .toList();
    }

    void clear() {
        users.clear();
    }
}
