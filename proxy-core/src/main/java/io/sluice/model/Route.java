package io.sluice.model;

import java.util.List;

/**
 * What happens to a packet from one kind of origin.
 *
 * @param endpoints the candidates, each once; empty unless the verdict is {@code FORWARD}. Routes of one service port
 *     that use the same list share its instance, and with it one round-robin cursor
 * @param source whose address the endpoint sees
 */
public record Route(Verdict verdict, List<Endpoint> endpoints, Source source) {
    public static final Route REJECT = new Route(Verdict.REJECT, List.of(), Source.NODE);
    public static final Route DROP = new Route(Verdict.DROP, List.of(), Source.NODE);
    public static final Route PASS = new Route(Verdict.PASS, List.of(), Source.CLIENT);

    public Route {
        endpoints = List.copyOf(endpoints);
        if ((verdict == Verdict.FORWARD) == endpoints.isEmpty()) {
            throw new IllegalArgumentException(verdict + " with " + endpoints.size() + " endpoints");
        }
    }

    public static Route forward(List<Endpoint> endpoints, Source source) {
        return new Route(Verdict.FORWARD, endpoints, source);
    }

    /** What can happen to a new connection or flow. */
    public enum Verdict {
        FORWARD,
        /** The client is told at once: TCP reset, ICMP port unreachable. */
        REJECT,
        /** The client is told nothing. */
        DROP,
        /** Not proxied: left to the process of this node that is the endpoint and listens on the frontend itself. */
        PASS
    }

    /** Whose address the endpoint sees as its peer. */
    public enum Source {
        CLIENT,
        NODE
    }
}
