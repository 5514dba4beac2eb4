package io.sluice.balance;

import io.sluice.model.Endpoint;
import io.sluice.model.Frontend;
import io.sluice.model.IpAddress;
import io.sluice.model.Origin;
import io.sluice.model.Route;
import io.sluice.model.ServicePort;
import io.sluice.model.TrafficPolicy;
import java.util.List;
import java.util.function.Function;
import org.jspecify.annotations.Nullable;

/**
 * The data that an event loop needs to route new connections and flows of one frontend. Immutable except for the
 * positions of the balancers. An update replaces the object, so a changed reference means that the routing may have changed.
 *
 * @param pod the endpoints for clients that are pods; null if their traffic is not forwarded
 * @param node the endpoints for clients on this node; null if their traffic is not forwarded
 * @param external the endpoints for all other clients; null if their traffic is not forwarded
 * @param originOf derives the origin of a client from its address
 * @param mayHold whether connections may wait for an endpoint; not if this process gets no more changes
 */
public record FrontendRouting(
        ServiceState service,
        ServicePort servicePort,
        Frontend frontend,
        @Nullable Balancer pod,
        @Nullable Balancer node,
        @Nullable Balancer external,
        Function<IpAddress, Origin> originOf,
        boolean mayHold) {

    /** The endpoints for a client; null if new connections and flows of the client must not be forwarded. */
    @Nullable
    public Balancer balancerFor(IpAddress client) {
        return balancerFor(client, client);
    }

    /**
     * The endpoints for a client; null if new connections and flows of the client must not be forwarded.
     *
     * @param peer the address from which packets arrive, which determines the route
     * @param client the address that must be in an allowed source range; differs from the peer if a PROXY protocol
     *     header said so
     */
    @Nullable
    public Balancer balancerFor(IpAddress peer, IpAddress client) {
        if (!frontend.allowsSource(client)) {
            return null;
        }
        if (pod == node && node == external) {
            return external;
        }
        return switch (originOf.apply(peer)) {
            case POD -> pod;
            case NODE -> node;
            case EXTERNAL -> external;
        };
    }

    /** Whether new connections of a client wait for an endpoint. */
    public boolean holds(IpAddress peer, IpAddress client) {
        return mayHold
                && frontend.allowsSource(client)
                && frontend.route(originOf.apply(peer)).verdict() == Route.Verdict.HOLD;
    }

    /** Whether the route for this client preserves the client's address rather than using source NAT. */
    public boolean preservesClientAddress(IpAddress client) {
        return frontend.route(originOf.apply(client)).source() == Route.Source.CLIENT;
    }

    /**
     * Picks the endpoint for a new connection or flow, by session affinity or with the balancer. Null if all endpoints
     * are at their connection limit.
     */
    public @Nullable EndpointTarget pick(IpAddress client, Balancer balancer, long nowNanos) {
        return hasSessionAffinity()
                ? service.affinityTable.pick(service, servicePort.affinity(), client, balancer, nowNanos)
                : balancer.pick(client, List.of(), nowNanos);
    }

    /** The traffic policy of the Service. */
    public TrafficPolicy policy() {
        return servicePort.policy();
    }

    /** Whether the service port has session affinity by client address. */
    public boolean hasSessionAffinity() {
        return servicePort.affinity().byClientAddress();
    }

    /** Whether existing UDP flows may stay on this endpoint. */
    public boolean keepsFlowOn(Endpoint endpoint) {
        return servicePort.servingEndpoints().contains(endpoint);
    }

    /** Returns a copy for existing connections and flows, with which no new ones are forwarded and none wait. */
    public FrontendRouting rejectingNew() {
        return new FrontendRouting(service, servicePort, frontend, null, null, null, originOf, false);
    }

    /** Returns a copy with which no connection waits for an endpoint. */
    public FrontendRouting withoutHold() {
        return new FrontendRouting(service, servicePort, frontend, pod, node, external, originOf, false);
    }
}
