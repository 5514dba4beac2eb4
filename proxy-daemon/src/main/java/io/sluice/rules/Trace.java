package io.sluice.rules;

import io.sluice.model.Endpoint;
import io.sluice.model.Frontend;
import io.sluice.model.IpAddress;
import io.sluice.model.Protocol;
import io.sluice.model.Route;
import io.sluice.model.Route.Source;
import io.sluice.model.ServicePort;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/** The input and output types of {@link Tracer}. */
public final class Trace {
    /** What precedes the source address in the reason of a packet that is forwarded. */
    public static final String SOURCE_ADDRESS = "; source address ";

    private Trace() {}

    /**
     * The first packet of a TCP connection or UDP flow.
     *
     * @param protocol null for SCTP, which is not supported
     */
    public record Packet(
            IpAddress from,
            IpAddress to,
            int port,
            @Nullable Protocol protocol) {
        /** The destination, such as {@code 10.96.0.1:443/tcp}. */
        public String destination() {
            return to.withPort(port) + "/" + (protocol == null ? "sctp" : protocol.text());
        }
    }

    /** What happens to the packet. */
    public enum Verdict {
        FORWARD,
        /** Accepted, but waits for an endpoint, because the Service has none. */
        HOLD,
        /** Rejected with a TCP RST or ICMP port unreachable. */
        REJECT,
        /** Dropped without a reply. */
        DROP,
        /** Left to the kernel, because Sluice does not handle the packet. */
        PASS;

        /** The verdict of a route. */
        public static Verdict of(Route route) {
            return switch (route.verdict()) {
                case FORWARD -> FORWARD;
                case HOLD -> HOLD;
                case REJECT -> REJECT;
                case DROP -> DROP;
                case PASS -> PASS;
            };
        }
    }

    /**
     * The result of a trace.
     *
     * @param frontend the destination of the packet; empty if no frontend matches and the packet is left to the kernel
     * @param service the Service or service port that the destination belongs to; empty if there is none
     * @param endpoints the endpoints to which the packet may be forwarded; empty for every verdict except FORWARD
     * @param source the source address that the endpoints see
     * @param reason the reason for the verdict, in one line
     * @param details the steps of the decision in order, each a heading with its lines
     * @param match what the packet matches; null if it matches no frontend
     */
    public record TraceResult(
            Verdict verdict,
            String frontend,
            String service,
            List<Endpoint> endpoints,
            Source source,
            String reason,
            Map<String, List<String>> details,
            @Nullable Match match) {}

    /**
     * The frontend that a packet matches.
     *
     * @param mayBeOnThisNode whether the client may be a pod or process on this node, as far as its address shows
     */
    public record Match(ServicePort servicePort, Frontend frontend, boolean mayBeOnThisNode) {}
}
