package io.sluice.model;

import java.util.List;

/**
 * One address a service port answers on, and the route of each origin.
 *
 * @param allowedSources the only client ranges admitted; empty admits all. Set for load-balancer addresses only
 */
public record Frontend(FrontendAddress address, Route pod, Route node, Route outside, List<Cidr> allowedSources) {
    public Frontend {
        allowedSources = List.copyOf(allowedSources);
    }

    /** A frontend that treats every origin alike. */
    public static Frontend of(FrontendAddress address, Route route) {
        return new Frontend(address, route, route, route, List.of());
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
