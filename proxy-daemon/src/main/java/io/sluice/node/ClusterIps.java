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

/** The addresses that are some Service's cluster IP: as long as one of its ports has it, or the Service without one. */
final class ClusterIps {
    private final Map<IpAddress, Integer> users = new HashMap<>();

    /** What the set of them is to gain or lose. */
    record Change(List<Element> gone, List<Element> come) {}

    Change change(
            Collection<ServicePort> before,
            Set<IpAddress> unservedBefore,
            Collection<ServicePort> after,
            Set<IpAddress> unservedAfter) {
        Map<IpAddress, Integer> more = new HashMap<>();
        count(before, unservedBefore, -1, more);
        count(after, unservedAfter, 1, more);
        Set<IpAddress> gone = new HashSet<>();
        Set<IpAddress> come = new HashSet<>();
        more.forEach((address, difference) -> {
            int had = users.getOrDefault(address, 0);
            int has = had + difference;
            if (had == 0 && has > 0) {
                come.add(address);
            } else if (had > 0 && has == 0) {
                gone.add(address);
            }
            if (has == 0) {
                users.remove(address);
            } else {
                users.put(address, has);
            }
        });
        return new Change(elements(gone), elements(come));
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
                .map(address -> new Element("cluster" + SetElements.family(address), address.toString(), ""))
                .toList();
    }

    void clear() {
        users.clear();
    }
}
