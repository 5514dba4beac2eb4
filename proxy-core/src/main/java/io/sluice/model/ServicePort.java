package io.sluice.model;

import java.util.HashSet;
import java.util.List;
import java.util.Set;

/**
 * The complete state of one service port for the data path. Snapshots are compared and applied by service port.
 *
 * @param flowEndpoints the endpoints that may keep existing UDP flows: all ready or serving endpoints, even if traffic
 *     policy or topology excludes them for new flows. Empty for TCP, because endpoint changes close no connection
 * @param frontends the addresses at which the service port is served, without duplicates
 */
public record ServicePort(
        ServicePortName name, SessionAffinity affinity, Set<Endpoint> flowEndpoints, List<Frontend> frontends) {
    public ServicePort {
        flowEndpoints = Set.copyOf(flowEndpoints);
        frontends = List.copyOf(frontends);
    }

    /** The endpoints of all routes of all frontends. */
    public Set<Endpoint> endpoints() {
        Set<Endpoint> all = new HashSet<>();
        for (Frontend frontend : frontends) {
            all.addAll(frontend.pod().endpoints());
            all.addAll(frontend.node().endpoints());
            all.addAll(frontend.external().endpoints());
        }
        return all;
    }

    /**
     * The endpoints whose address and port are also those of a frontend of this service port. An example is an ingress
     * controller on the host network whose Service has the node's address as an external IP. Connections from Sluice to
     * such an endpoint must reach the endpoint, not the frontend.
     */
    public Set<Endpoint> endpointsThatAreFrontends() {
        Set<Endpoint> found = new HashSet<>();
        for (Frontend frontend : frontends) {
            if (Frontend.mayBeAnEndpoint(frontend.kind())
                    && (frontend.passesAny() || frontends.stream().anyMatch(each -> each.forwardsTo(frontend)))) {
                found.add(frontend.asEndpoint());
            }
        }
        return found;
    }

    /**
     * Returns this service port with verdict {@code PASS} for frontends that forward to themselves. Used in data paths
     * where a connection to such an endpoint would arrive at the frontend again.
     */
    public ServicePort withoutForwardingToItself() {
        if (frontends.stream().noneMatch(frontend -> frontend.forwardsToItself())) {
            return this;
        }
        List<Frontend> passing = frontends.stream()
                .map(frontend -> frontend.forwardsToItself() ? frontend.passing() : frontend)
                .toList();
        return new ServicePort(name, affinity, flowEndpoints, passing);
    }
}
