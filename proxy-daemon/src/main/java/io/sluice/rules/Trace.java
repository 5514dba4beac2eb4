package io.sluice.rules;

import io.sluice.model.Endpoint;
import io.sluice.model.IpAddress;
import io.sluice.model.Protocol;
import io.sluice.model.Route;
import io.sluice.model.Route.Source;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/** What a {@link Tracer} is asked and what it answers. */
public final class Trace {
    private Trace() {}

    /**
     * The first packet of a connection or flow.
     *
     * @param protocol null for SCTP, which is never forwarded
     */
    public record Packet(
            IpAddress from,
            IpAddress to,
            int port,
            @Nullable Protocol protocol) {
        /** What it is addressed to: {@code 10.96.0.1:443/tcp}. */
        public String destination() {
            return to.withPort(port) + "/" + (protocol == null ? "sctp" : protocol.text());
        }
    }

    /** What happens. */
    public enum Verdict {
        FORWARD,
        /** Refused at once. */
        REJECT,
        /** No answer at all. */
        DROP,
        /** Not ours: left to the kernel. */
        PASS;

        /** That of a route, as users know it. */
        public static Verdict of(Route route) {
            return switch (route.verdict()) {
                case FORWARD -> FORWARD;
                case REJECT -> REJECT;
                case DROP -> DROP;
                case PASS -> PASS;
            };
        }
    }

    /**
     * The answer, for programs and for people.
     *
     * @param frontend what was dialled, if that is ours; else empty. Likewise {@code service}
     * @param endpoints those it may be sent to; empty unless it is forwarded
     * @param source whose address they see
     * @param reason one line
     * @param details a heading and its lines each, in the order one thinks
     */
    public record TraceResult(
            Verdict verdict,
            String frontend,
            String service,
            List<Endpoint> endpoints,
            Source source,
            String reason,
            Map<String, List<String>> details) {}
}
