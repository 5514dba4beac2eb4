package io.sluice.model;

import java.util.HashSet;
import java.util.List;
import java.util.Set;

/**
 * The complete state of one service port for the data path. Snapshots are compared and applied by service port.
 *
 * @param flowEndpoints the endpoints that may keep existing UDP flows: those that are ready or serving, even if traffic
 *     policy or topology exclude them for new flows. Empty for TCP, whose established connections are never cut
 * @param frontends the addresses of the service port, each once
 */
public record ServicePort(
        ServicePortName name, SessionAffinity affinity, Set<Endpoint> flowEndpoints, List<Frontend> frontends) {
    public ServicePort {
        flowEndpoints = Set.copyOf(flowEndpoints);
        frontends = List.copyOf(frontends);
    }

    /**
     * The endpoints whose address and port are also a frontend of this service port, such as an ingress controller on the
     * host network whose Service has the node's address as an external IP. Connections from Sluice to such an endpoint must
     * reach the endpoint, not the frontend.
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
     * A copy in which frontends that forward to themselves have the verdict {@code PASS} instead. For a data path in which
     * the connection to such an endpoint would arrive at the frontend again.
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
