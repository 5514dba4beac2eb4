package io.sluice.model;

import java.util.List;

/**
 * An address that a service port is served at, and the route for clients of each origin.
 *
 * @param pod the route for clients that are pods
 * @param node the route for clients on this node
 * @param external the route for all other clients
 * @param allowedSources the allowed source ranges, which apply to all origins; empty allows all clients. Only LoadBalancer
 *     IPs have them
 */
public record Frontend(
        Kind kind, FrontendAddress address, Route pod, Route node, Route external, List<Cidr> allowedSources) {
    /** The kind of a frontend address. It decides which traffic policy applies. */
    public enum Kind {
        CLUSTER_IP("ClusterIP"),
        LOAD_BALANCER("LoadBalancer IP"),
        EXTERNAL_IP("external IP"),
        NODE_PORT("NodePort");

        private final String text;

        Kind(String text) {
            this.text = text;
        }

        /** The name for messages and tables. */
        public String text() {
            return text;
        }
    }

    public Frontend {
        allowedSources = List.copyOf(allowedSources);
    }

    /** A ClusterIP with the same route for every origin. */
    public static Frontend of(FrontendAddress address, Route route) {
        return new Frontend(Kind.CLUSTER_IP, address, route, route, route, List.of());
    }

    /** Whether the allowed source ranges contain a client, or there are none. */
    public boolean allowsSource(IpAddress client) {
        return allowedSources.isEmpty() || Cidr.anyContains(allowedSources, client);
    }

    /** The route for clients of an origin. */
    public Route route(Origin origin) {
        return switch (origin) {
            case POD -> pod;
            case NODE -> node;
            case EXTERNAL -> external;
        };
    }

    /** Whether the verdict is {@code PASS} for at least one origin: a process of this node serves the address itself. */
    public boolean passesAny() {
        return pod.verdict() == Route.Verdict.PASS
                || node.verdict() == Route.Verdict.PASS
                || external.verdict() == Route.Verdict.PASS;
    }

    /** A copy in which every {@code FORWARD} route is replaced by {@code PASS}. */
    public Frontend passing() {
        return new Frontend(kind, address, passing(pod), passing(node), passing(external), allowedSources);
    }

    private static Route passing(Route route) {
        return route.verdict() == Route.Verdict.FORWARD ? Route.PASS : route;
    }

    /**
     * Whether a frontend of this kind may have the same address and port as one of the endpoints, because the address
     * belongs to a machine. A ClusterIP belongs to no machine, and endpoints do not listen on a NodePort.
     */
    public static boolean mayBeAnEndpoint(Kind kind) {
        return kind == Kind.EXTERNAL_IP || kind == Kind.LOAD_BALANCER;
    }

    /** Whether this address is one of the endpoints that it forwards to. */
    public boolean forwardsToItself() {
        return mayBeAnEndpoint(kind) && forwardsTo(this);
    }

    Endpoint asEndpoint() {
        return new Endpoint(address.address(), address.port());
    }

    /** Whether an endpoint has the address and port of this frontend. */
    public boolean isAt(Endpoint endpoint) {
        return asEndpoint().equals(endpoint);
    }

    /** Whether, for any origin, one of the endpoints is the address and port of a frontend, which may be this one. */
    boolean forwardsTo(Frontend other) {
        Endpoint endpoint = other.asEndpoint();
        return pod.endpoints().contains(endpoint)
                || node.endpoints().contains(endpoint)
                || external.endpoints().contains(endpoint);
    }

    /** Whether the verdict is {@code FORWARD} for at least one origin; otherwise the frontend needs no listener. */
    public boolean forwardsAny() {
        return pod.verdict() == Route.Verdict.FORWARD
                || node.verdict() == Route.Verdict.FORWARD
                || external.verdict() == Route.Verdict.FORWARD;
    }
}
