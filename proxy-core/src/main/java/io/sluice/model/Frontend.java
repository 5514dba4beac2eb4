package io.sluice.model;

import java.util.List;

/**
 * An address at which a service port is served, with the route for clients of each origin.
 *
 * @param pod the route for clients that are pods
 * @param node the route for clients on this node
 * @param external the route for all other clients
 * @param allowedSources the allowed source ranges, for clients of all origins; empty to allow all clients. They contain
 *     ranges of the other family only if the policy of the Service accepts PROXY protocol headers, whose addresses may be
 *     of either family
 */
public record Frontend(
        Kind kind, FrontendAddress address, Route pod, Route node, Route external, List<Cidr> allowedSources) {
    /** The kind of a frontend address, which determines the traffic policy that applies. */
    public enum Kind {
        CLUSTER_IP("ClusterIP"),
        LOAD_BALANCER("LoadBalancer IP"),
        EXTERNAL_IP("external IP"),
        NODE_PORT("NodePort");

        private final String text;

        Kind(String text) {
            this.text = text;
        }

        /** The name of this kind in messages and tables. */
        public String text() {
            return text;
        }
    }

    public Frontend {
        allowedSources = List.copyOf(allowedSources);
    }

    /** Returns a ClusterIP frontend with the same route for every origin, which allows all clients. */
    public static Frontend of(FrontendAddress address, Route route) {
        return new Frontend(Kind.CLUSTER_IP, address, route, route, route, List.of());
    }

    /** Whether the client is in an allowed source range. True for all clients if there are no ranges. */
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

    /**
     * Whether the verdict is {@code PASS} for at least one origin, because an endpoint on this node listens on the
     * address itself.
     */
    public boolean passesAny() {
        return pod.verdict() == Route.Verdict.PASS
                || node.verdict() == Route.Verdict.PASS
                || external.verdict() == Route.Verdict.PASS;
    }

    /** Returns a copy in which every {@code FORWARD} route is replaced by {@code PASS}. */
    public Frontend passing() {
        return new Frontend(kind, address, passing(pod), passing(node), passing(external), allowedSources);
    }

    private static Route passing(Route route) {
        return route.verdict() == Route.Verdict.FORWARD ? Route.PASS : route;
    }

    /**
     * Whether an endpoint can have the same address and port as a frontend of this kind. External IPs and LoadBalancer
     * IPs can be addresses of a machine. ClusterIPs cannot, and endpoints do not listen on a NodePort.
     */
    public static boolean mayBeAnEndpoint(Kind kind) {
        return kind == Kind.EXTERNAL_IP || kind == Kind.LOAD_BALANCER;
    }

    /**
     * Whether one of the endpoints has the address and port of this frontend, so that the frontend would forward to
     * itself.
     */
    public boolean forwardsToItself() {
        return mayBeAnEndpoint(kind) && forwardsTo(this);
    }

    Endpoint asEndpoint() {
        return new Endpoint(address.address(), address.port());
    }

    /** Whether the endpoint has the address and port of this frontend. */
    public boolean isAt(Endpoint endpoint) {
        return asEndpoint().equals(endpoint);
    }

    /**
     * Whether an endpoint of any route of this frontend has the address and port of {@code other} (possibly itself).
     */
    boolean forwardsTo(Frontend other) {
        Endpoint endpoint = other.asEndpoint();
        return pod.endpoints().contains(endpoint)
                || node.endpoints().contains(endpoint)
                || external.endpoints().contains(endpoint);
    }

    /**
     * Whether connections of at least one origin are forwarded, or wait for an endpoint; if not, the frontend needs no
     * listener.
     */
    public boolean isListening() {
        return pod.isListening() || node.isListening() || external.isListening();
    }
}
