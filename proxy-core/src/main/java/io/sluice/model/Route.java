package io.sluice.model;

import java.util.List;

/**
 * How a frontend treats new connections and flows from clients of one origin.
 *
 * @param endpoints the endpoints to choose from, without duplicates; empty if the verdict is not {@code FORWARD}.
 *     Routes of one service port that have equal lists share the same list instance and round-robin position
 * @param source whose address the endpoint sees as the source
 */
public record Route(Verdict verdict, List<Endpoint> endpoints, Source source) {
    public static final Route REJECT = new Route(Verdict.REJECT, List.of(), Source.NODE);
    public static final Route HOLD = new Route(Verdict.HOLD, List.of(), Source.NODE);
    public static final Route DROP = new Route(Verdict.DROP, List.of(), Source.NODE);
    public static final Route PASS = new Route(Verdict.PASS, List.of(), Source.CLIENT);

    public Route {
        endpoints = List.copyOf(endpoints);
        if ((verdict == Verdict.FORWARD) == endpoints.isEmpty()) {
            throw new IllegalArgumentException(
                    "verdict " + verdict + " must not have " + endpoints.size() + " endpoints");
        }
    }

    /** Creates a route that forwards each new connection or flow to one of the endpoints. */
    public static Route forward(List<Endpoint> endpoints, Source source) {
        return new Route(Verdict.FORWARD, endpoints, source);
    }

    /** Whether Sluice accepts connections for this route, to forward them or to let them wait. */
    public boolean isListening() {
        return verdict == Verdict.FORWARD || verdict == Verdict.HOLD;
    }

    /** What Sluice does with a new connection or flow. */
    public enum Verdict {
        /** Forward it to an endpoint. */
        FORWARD,
        /** Let it wait for an endpoint, because the Service has none. TCP only. */
        HOLD,
        /** Answer it with a TCP RST or ICMP port unreachable. */
        REJECT,
        /** Drop it silently. */
        DROP,
        /** Leave it to the kernel: an endpoint on this node listens on the frontend address itself. */
        PASS
    }

    /** Whose address the endpoint sees as the source. */
    public enum Source {
        /** The client's own address. */
        CLIENT,
        /** An address of this node (source NAT). */
        NODE
    }
}
