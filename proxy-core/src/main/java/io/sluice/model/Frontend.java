package io.sluice.model;

import java.util.List;

/**
 * One address a service port answers on, and the route of each origin.
 *
 * @param allowedSources the only client ranges admitted, whatever their origin; empty admits all. Set for load-balancer
 *     addresses only
 */
public record Frontend(
        Kind kind, FrontendAddress address, Route pod, Route node, Route outside, List<Cidr> allowedSources) {
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
            case OUTSIDE -> outside;
        };
    }

    /** Whether the verdict is {@code FORWARD} for at least one origin: only then is there anything to listen for. */
    public boolean forwardsAny() {
        return pod.verdict() == Route.Verdict.FORWARD
                || node.verdict() == Route.Verdict.FORWARD
                || outside.verdict() == Route.Verdict.FORWARD;
    }
}
