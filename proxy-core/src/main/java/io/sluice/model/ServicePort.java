package io.sluice.model;

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
}
