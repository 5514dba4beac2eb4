package io.sluice.model;

import java.util.List;

/**
 * One address a service port answers on, and the route of each origin.
 *
 * @param allowedSources the only client ranges admitted, whatever their origin; empty admits all. Set for load-balancer
 *     addresses only
 */
public record Frontend(
        Kind kind, FrontendAddress address, Route pod, Route node, Route external, List<Cidr> allowedSources) {
    /** By what a client knows the address; it decides which traffic policy counts. */
    public enum Kind {
        CLUSTER_IP("cluster IP"),
        LOAD_BALANCER("load-balancer IP"),
        EXTERNAL_IP("external IP"),
        NODE_PORT("node port");

        private final String text;

        Kind(String text) {
            this.text = text;
        }

        /** In words. */
        public String text() {
            return text;
        }
    }

    public Frontend {
        allowedSources = List.copyOf(allowedSources);
    }

    /** A cluster IP that treats every origin alike. */
    public static Frontend of(FrontendAddress address, Route route) {
        return new Frontend(Kind.CLUSTER_IP, address, route, route, route, List.of());
    }

    /** Whether a client of this address may be served at all. */
    public boolean admits(IpAddress client) {
        return allowedSources.isEmpty() || Cidr.anyContains(allowedSources, client);
    }

    public Route route(Origin origin) {
        return switch (origin) {
            case POD -> pod;
            case NODE -> node;
            case EXTERNAL -> external;
        };
    }

    /** Whether the address is left to a process of this node, for the origins that are served at all. */
    public boolean passesAny() {
        return pod.verdict() == Route.Verdict.PASS
                || node.verdict() == Route.Verdict.PASS
                || external.verdict() == Route.Verdict.PASS;
    }

    /** The same, but left to a process of this node for every origin that was forwarded. */
    public Frontend passing() {
        return new Frontend(kind, address, passing(pod), passing(node), passing(external), allowedSources);
    }

    private static Route passing(Route route) {
        return route.verdict() == Route.Verdict.FORWARD ? Route.PASS : route;
    }

    /**
     * Whether an address of this kind may be that of a machine on which one of the endpoints has the same port. A cluster
     * IP is no machine's, and on a node port no endpoint is expected.
     */
    public static boolean mayBeAnEndpoint(Kind kind) {
        return kind == Kind.EXTERNAL_IP || kind == Kind.LOAD_BALANCER;
    }

    /** Whether it is one of its own endpoints. */
    public boolean forwardsToItself() {
        return mayBeAnEndpoint(kind) && forwardsTo(this);
    }

    Endpoint asEndpoint() {
        return new Endpoint(address.address(), address.port());
    }

    /** Whether an endpoint has its address and port. */
    public boolean isAt(Endpoint endpoint) {
        return asEndpoint().equals(endpoint);
    }

    /** Whether, for any origin, one of the endpoints is another frontend's address, or its own. */
    boolean forwardsTo(Frontend other) {
        Endpoint endpoint = other.asEndpoint();
        return pod.endpoints().contains(endpoint)
                || node.endpoints().contains(endpoint)
                || external.endpoints().contains(endpoint);
    }

    /** Whether the verdict is {@code FORWARD} for at least one origin: only then is there anything to listen for. */
    public boolean forwardsAny() {
        return pod.verdict() == Route.Verdict.FORWARD
                || node.verdict() == Route.Verdict.FORWARD
                || external.verdict() == Route.Verdict.FORWARD;
    }
}
