package io.sluice.ops;

import io.sluice.balance.EndpointHealth.State;
import io.sluice.balance.EndpointStatus;
import io.sluice.document.Problem;
import io.sluice.model.Endpoint;
import io.sluice.model.Frontend;
import io.sluice.model.IpAddress;
import io.sluice.model.Protocol;
import io.sluice.model.Route.Source;
import io.sluice.model.ServicePort;
import io.sluice.rules.PolicyKey;
import io.sluice.rules.Trace;
import io.sluice.rules.Trace.Match;
import io.sluice.rules.Trace.Packet;
import io.sluice.rules.Trace.TraceResult;
import io.sluice.rules.Trace.Verdict;
import io.sluice.socketlb.SocketPath;
import io.sluice.text.Table;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.function.BiFunction;
import org.jspecify.annotations.Nullable;
import tools.jackson.databind.JsonNode;

/**
 * The result of a trace as text and JSON. The daemon serves the JSON, from which {@code sluice trace --live} creates the
 * same text as {@code sluice trace} does from a feed.
 *
 * @param details steps of the decision in order, each a heading with its lines
 * @param path path of the connection; null if it is not forwarded, or if socket-level load balancing is off
 */
public record TraceReport(
        String verdict,
        String frontend,
        String service,
        List<String> endpoints,
        String sourceAddress,
        String reason,
        Map<String, List<String>> details,
        @Nullable SocketPath path) {

    private static final String PATH = "path";
    private static final String OWN_ADDRESS = Source.CLIENT + ": the client itself connects to the endpoint";
    private static final SocketPath NOT_ON_THIS_NODE = new SocketPath(false, "client on another machine");
    private static final String DESTINATION_FORMAT =
            "IP:PORT/PROTOCOL with protocol tcp, udp or sctp, such as 10.96.0.10:53/udp or [fd00::a]:443/tcp";

    /**
     * Creates the report of a result.
     *
     * @param paths returns the path of connections from clients on this node
     */
    public static TraceReport of(TraceResult result, BiFunction<ServicePort, Frontend, SocketPath> paths) {
        SocketPath path = path(result, paths);
        boolean atTheSocket = path != null && path.socket();
        return new TraceReport(
                result.verdict().toString(),
                result.frontend(),
                result.service(),
                result.endpoints().stream().map(Object::toString).toList(),
                atTheSocket ? Source.CLIENT.toString() : result.source().toString(),
                atTheSocket ? withOwnAddress(result.reason()) : result.reason(),
                atTheSocket ? withOwnAddress(result.details()) : result.details(),
                path);
    }

    /** The rules explain the source address of a connection that the forwarder opens. */
    private static String withOwnAddress(String reason) {
        int at = reason.indexOf(Trace.SOURCE_ADDRESS);
        return at < 0 ? reason : reason.substring(0, at) + Trace.SOURCE_ADDRESS + OWN_ADDRESS;
    }

    private static Map<String, List<String>> withOwnAddress(Map<String, List<String>> details) {
        Map<String, List<String>> changed = new LinkedHashMap<>(details);
        changed.replace("source", List.of(OWN_ADDRESS));
        return changed;
    }

    private static @Nullable SocketPath path(TraceResult result, BiFunction<ServicePort, Frontend, SocketPath> paths) {
        Match match = result.match();
        if (match == null || result.verdict() != Verdict.FORWARD) {
            return null;
        }
        SocketPath path = paths.apply(match.servicePort(), match.frontend());
        if (path.equals(SocketPath.OFF)) {
            return null;
        }
        return path.socket() && !match.mayBeOnThisNode() ? NOT_ON_THIS_NODE : path;
    }

    /**
     * Returns this report with what the rules do not know: which endpoints an operator has taken out, and which are
     * failing.
     *
     * @param statuses the endpoints of the service port
     */
    public TraceReport with(List<EndpointStatus> statuses) {
        List<String> left = new ArrayList<>(endpoints);
        List<String> states = new ArrayList<>();
        for (EndpointStatus status : statuses) {
            String endpoint = status.endpoint().toString();
            State state = status.health().state();
            boolean takenOut = state == State.DRAINING || state == State.DISABLED;
            if (endpoints.contains(endpoint) && (takenOut || state.isFailing())) {
                states.add(endpoint + "  " + state.text()
                        + (takenOut
                                ? ": gets no new connections"
                                : ": " + status.health().lastError()));
                left.removeIf(each -> takenOut && each.equals(endpoint));
            }
        }
        if (states.isEmpty()) {
            return this;
        }
        Map<String, List<String>> more = new LinkedHashMap<>(details);
        more.put("states", states);
        return left.isEmpty()
                ? new TraceReport(
                        Verdict.REJECT.toString(),
                        frontend,
                        service,
                        left,
                        sourceAddress,
                        "an operator has drained or disabled all endpoints",
                        more,
                        null)
                : new TraceReport(verdict, frontend, service, left, sourceAddress, reason, more, path);
    }

    /** Reads the report that {@link #json} created, possibly in another version. Escapes control characters. */
    public static TraceReport parse(JsonNode json) {
        Map<String, List<String>> details = new LinkedHashMap<>();
        json.path("details")
                .properties()
                .forEach(entry -> details.put(Problem.oneLine(entry.getKey()), strings(entry.getValue())));
        return new TraceReport(
                text(json, "verdict"),
                text(json, "frontend"),
                text(json, "service"),
                strings(json.path("endpoints")),
                text(json, "sourceAddress"),
                text(json, "reason"),
                details,
                json.has(PATH) ? new SocketPath(text(json, PATH).equals("socket"), text(json, "pathReason")) : null);
    }

    private static String text(JsonNode json, String field) {
        return Problem.oneLine(json.path(field).asString(""));
    }

    private static List<String> strings(JsonNode json) {
        return json.valueStream()
                .map(value -> Problem.oneLine(value.asString("")))
                .toList();
    }

    /**
     * Parses the address of a client and a destination.
     *
     * @throws IllegalArgumentException if an argument is invalid; the message names the argument and is meant for the
     *     user
     */
    public static Packet packet(String from, String to) {
        IpAddress client = IpAddress.parse(from);
        if (client == null) {
            throw new IllegalArgumentException(
                    "from: " + Problem.quoted(from) + " is invalid; must be an IPv4 or IPv6 address");
        }
        int slash = to.lastIndexOf('/');
        Endpoint destination = Endpoint.parse(to.substring(0, Math.max(0, slash)));
        String protocol = to.substring(slash + 1).toLowerCase(Locale.ROOT);
        if (destination == null || !List.of("tcp", "udp", "sctp").contains(protocol)) {
            throw new IllegalArgumentException(
                    "to: " + Problem.quoted(to) + " is invalid; must be " + DESTINATION_FORMAT);
        }
        return new Packet(
                client,
                destination.address(),
                destination.port(),
                protocol.equals("sctp") ? null : Protocol.valueOf(protocol.toUpperCase(Locale.ROOT)));
    }

    /**
     * Returns the report as a JSON object.
     *
     * @param withDetails whether to include the steps of the decision
     */
    public Map<String, Object> json(boolean withDetails) {
        Map<String, Object> json = new LinkedHashMap<>();
        json.put("verdict", verdict);
        json.put("frontend", frontend);
        json.put("service", service);
        json.put("endpoints", endpoints);
        json.put("sourceAddress", sourceAddress);
        json.put("reason", reason);
        if (path != null) {
            json.put(PATH, path.name());
            json.put("pathReason", path.reason());
        }
        if (withDetails) {
            json.put("details", details);
        }
        return json;
    }

    /** Returns the report as lines of text. */
    public List<String> lines(Packet packet) {
        List<String> lines = new ArrayList<>();
        lines.add(packet.from() + " -> " + packet.destination());
        details.forEach((heading, steps) -> {
            String head = heading;
            for (String step : steps) {
                lines.add(line(head, step));
                head = "";
            }
        });
        if (path != null) {
            lines.add(line(PATH, path.text()));
            if (path.socket()) {
                lines.add(line("", "no connect failover, and no bytes in the metrics"));
            }
        }
        int count = endpoints.size();
        lines.add(line(
                "verdict",
                verdict + ": "
                        + (count == 0
                                ? reason
                                : "to " + Table.count(count, "endpoint") + (count == 1 ? "" : ", " + balance()))));
        return lines;
    }

    /** How an endpoint is chosen, from the lines about the policy, which contain only what is not the default. */
    private String balance() {
        String prefix = PolicyKey.BALANCE.name() + ": ";
        return details.getOrDefault("policy", List.of()).stream()
                .filter(line -> line.startsWith(prefix))
                .map(line -> line.substring(prefix.length()))
                .findFirst()
                .orElse("round robin");
    }

    private static String line(String heading, String text) {
        return String.format(Locale.ROOT, "  %-10s %s", heading, text);
    }
}
