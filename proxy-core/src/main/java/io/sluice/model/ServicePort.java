package io.sluice.model;

import java.util.HashSet;
import java.util.List;
import java.util.Set;

/**
 * The complete state of one service port for the data path. Snapshots are compared and applied by service port.
 *
 * @param policy the traffic policy of the Service
 * @param servingEndpoints the endpoints that may keep existing UDP flows and, if the policy closes connections of removed
 *     endpoints, TCP connections: all ready or serving endpoints, even if traffic policy or topology excludes them for
 *     new ones. Empty for TCP if endpoint changes close no connection
 * @param preferredEndpoints the endpoints that are chosen before all others; empty for no preference
 * @param frontends the addresses at which the service port is served, without duplicates
 */
public record ServicePort(
        ServicePortName name,
        SessionAffinity affinity,
        TrafficPolicy policy,
        Set<Endpoint> servingEndpoints,
        Set<Endpoint> preferredEndpoints,
        List<Frontend> frontends) {
    public ServicePort {
        servingEndpoints = Set.copyOf(servingEndpoints);
        preferredEndpoints = Set.copyOf(preferredEndpoints);
        frontends = List.copyOf(frontends);
    }

    /** Creates a service port with the default traffic policy. */
    public ServicePort(
            ServicePortName name, SessionAffinity affinity, Set<Endpoint> servingEndpoints, List<Frontend> frontends) {
        this(name, affinity, TrafficPolicy.DEFAULT, servingEndpoints, Set.of(), frontends);
    }

    /**
     * Creates a service port with one frontend, which forwards connections of all clients to the endpoints in turn.
     * Endpoints see an address of this machine as the source.
     */
    public static ServicePort of(String namespace, String service, FrontendAddress address, List<Endpoint> endpoints) {
        return new ServicePort(
                new ServicePortName(namespace, service, "", address.protocol()),
                SessionAffinity.NONE,
                Set.copyOf(endpoints),
                List.of(Frontend.of(address, Route.forward(endpoints, Route.Source.NODE))));
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
        return new ServicePort(name, affinity, policy, servingEndpoints, preferredEndpoints, passing);
    }
}
