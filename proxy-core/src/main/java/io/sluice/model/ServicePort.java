package io.sluice.model;

import java.util.HashSet;
import java.util.List;
import java.util.Set;

/**
 * Everything the data path must know of one service port: the unit in which state is compared and applied.
 *
 * @param flowEndpoints the endpoints on which an existing UDP flow may stay: those that are ready or serving,
 *     whatever policy and topology say of new flows. Empty for TCP, whose sessions are never cut
 * @param frontends its addresses, each once
 */
public record ServicePort(
        ServicePortName name, SessionAffinity affinity, Set<Endpoint> flowEndpoints, List<Frontend> frontends) {
    public ServicePort {
        flowEndpoints = Set.copyOf(flowEndpoints);
        frontends = List.copyOf(frontends);
    }

    /**
     * Endpoints whose address and port are also a frontend of this service port, such as an ingress controller in the
     * host network whose Service has the node's address as external IP. A connection to one of them must reach the
     * endpoint itself, not the frontend.
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
     * The same without frontends that forward to themselves: they pass instead. For a data path that cannot keep a
     * connection to such an endpoint from arriving at the frontend again.
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
