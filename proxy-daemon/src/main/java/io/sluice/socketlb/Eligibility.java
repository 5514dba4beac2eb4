package io.sluice.socketlb;

import io.sluice.model.Endpoint;
import io.sluice.model.Family;
import io.sluice.model.Frontend;
import io.sluice.model.Frontend.Kind;
import io.sluice.model.IpAddress;
import io.sluice.model.Protocol;
import io.sluice.model.Route;
import io.sluice.model.Route.Verdict;
import io.sluice.model.ServicePort;
import io.sluice.model.TrafficPolicy;
import io.sluice.model.TrafficPolicy.Balancing;
import io.sluice.model.TrafficPolicy.Timeouts;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Set;
import java.util.function.Function;

/**
 * Decides whether connections to a frontend can be decided at the client's socket. They can if a connection that the
 * client opens to an endpoint itself is treated as one that the forwarder opens: same endpoints, same policy.
 */
public final class Eligibility {
    /** The obstacle if the Service itself asks for the forwarder. */
    private static final String TURNED_OFF = "socket-lb: off";

    /**
     * The parts of a policy that need the forwarder, by the name of their annotation. Only for messages: {@link
     * #onlyForForwarder} decides.
     */
    private static final Map<String, Function<TrafficPolicy, Object>> KEYS = new LinkedHashMap<>();

    static {
        KEYS.put("balance", policy -> policy.balancing().algorithm());
        KEYS.put("slow-start", policy -> policy.balancing().slowStartNanos());
        KEYS.put("prefer", policy -> policy.balancing().preference());
        KEYS.put("max-connections", policy -> policy.limits().connections());
        KEYS.put("max-connections-per-client", policy -> policy.limits().connectionsPerClient());
        KEYS.put("max-connections-per-endpoint", policy -> policy.limits().connectionsPerEndpoint());
        KEYS.put("connection-rate-per-client", policy -> policy.limits().ratePerClient());
        KEYS.put("connect-timeout", policy -> policy.timeouts().connectNanos());
        KEYS.put("connect-deadline", policy -> policy.timeouts().connectDeadlineNanos());
        KEYS.put("idle-timeout", policy -> policy.timeouts().idleNanos());
        KEYS.put("half-closed-timeout", policy -> policy.timeouts().halfClosedNanos());
        KEYS.put("proxy-protocol", policy -> policy.proxyProtocol().send());
        KEYS.put("accept-proxy-protocol-from", policy -> policy.proxyProtocol().acceptFrom());
        KEYS.put("source-ranges", TrafficPolicy::sourceRanges);
        KEYS.put("on-endpoint-removed", policy -> policy.lifetime().removal());
        KEYS.put("hold", policy -> policy.lifetime().holdNanos());
        KEYS.put("hold-limit", policy -> policy.lifetime().holdLimit());
        KEYS.put("max-connection-age", policy -> policy.lifetime().maxAgeNanos());
    }

    private Eligibility() {}

    /**
     * Why connections to a frontend go through the forwarder, in a few words for a table.
     *
     * @param masqueradeAll whether endpoints must see the node's address instead of the client's
     * @return empty if the connections are decided at the socket
     */
    public static String obstacle(ServicePort port, Frontend frontend, boolean masqueradeAll) {
        if (port.name().protocol() != Protocol.TCP) {
            return port.name().protocol().name();
        }
        if (frontend.kind() != Kind.CLUSTER_IP) {
            return frontend.kind().text();
        }
        String policy = ofPolicy(port.policy());
        if (!policy.isEmpty()) {
            return policy;
        }
        if (masqueradeAll) {
            return "masquerade-all";
        }
        // The program does not see the client's address, which the kernel chooses after the hook.
        if (!frontend.allowedSources().isEmpty()) {
            return "source ranges";
        }
        // Node mode treats a packet to such an endpoint as one to the frontend, unless it comes from the forwarder.
        Set<Endpoint> frontends = port.endpointsThatAreFrontends();
        if (frontend.pod().endpoints().stream().anyMatch(frontends::contains)) {
            return "endpoint is also a frontend";
        }
        return ofRoutes(frontend);
    }

    private static String ofPolicy(TrafficPolicy policy) {
        if (!policy.socketLb()) {
            return TURNED_OFF;
        }
        if (onlyForForwarder(policy).equals(TrafficPolicy.DEFAULT)) {
            return "";
        }
        for (Map.Entry<String, Function<TrafficPolicy, Object>> key : KEYS.entrySet()) {
            if (!key.getValue().apply(policy).equals(key.getValue().apply(TrafficPolicy.DEFAULT))) {
                return "policy " + key.getKey();
            }
        }
        return "policy";
    }

    /**
     * Returns a policy without the parts that both paths support, which are ejection and health checks, and without those
     * of UDP. A new part of a policy stays in the result, so that it needs the forwarder until it is removed here.
     */
    private static TrafficPolicy onlyForForwarder(TrafficPolicy policy) {
        Balancing balancing = policy.balancing();
        Timeouts timeouts = policy.timeouts();
        return new TrafficPolicy(
                new Balancing(
                        balancing.algorithm(),
                        balancing.slowStartNanos(),
                        balancing.preference(),
                        Balancing.DEFAULT.ejectAfter(),
                        Balancing.DEFAULT.ejectForNanos(),
                        Balancing.DEFAULT.healthCheckIntervalNanos()),
                policy.limits(),
                new Timeouts(
                        timeouts.connectNanos(),
                        timeouts.connectDeadlineNanos(),
                        timeouts.idleNanos(),
                        timeouts.halfClosedNanos(),
                        Timeouts.DEFAULT.udpNanos(),
                        Timeouts.DEFAULT.udpUnrepliedNanos()),
                policy.proxyProtocol(),
                policy.lifetime(),
                policy.sourceRanges(),
                policy.socketLb());
    }

    /** Clients on the node are pods or processes of the node itself; external clients do not reach the hook. */
    private static String ofRoutes(Frontend frontend) {
        Route route = frontend.pod();
        if (isWithoutEndpoints(route) || isWithoutEndpoints(frontend.node())) {
            return "no endpoints";
        }
        if (route.verdict() != Verdict.FORWARD || frontend.node().verdict() != Verdict.FORWARD) {
            return "not forwarded";
        }
        if (!route.endpoints().equals(frontend.node().endpoints())) {
            return "pods and node have different endpoints";
        }
        // Pods keep their address on the way to a ClusterIP, except if an endpoint is the address of another Service,
        // to which only the forwarder of this node can connect.
        if (route.source() != Route.Source.CLIENT) {
            return "endpoint of another Service";
        }
        IpAddress address = frontend.address().address();
        String special = special(address);
        if (!special.isEmpty()) {
            return special + " address";
        }
        for (Endpoint endpoint : route.endpoints()) {
            special = special(endpoint.address());
            if (!special.isEmpty()) {
                return special + " endpoint";
            }
            // A hook can change the address of a socket, but not its family.
            if (endpoint.address().family() != address.family()) {
                return endpoint.address().family() + " endpoint";
            }
        }
        return "";
    }

    private static boolean isWithoutEndpoints(Route route) {
        return route.verdict() == Verdict.REJECT || route.verdict() == Verdict.HOLD;
    }

    /**
     * What is special about an address that has another meaning in the client's network namespace than in that of the
     * node; empty for all others.
     */
    private static String special(IpAddress address) {
        if (address.isUnspecified()) {
            return "unspecified";
        }
        if (address.isLoopback()) {
            return "loopback";
        }
        boolean v4 = address.family() == Family.IPV4;
        // 169.254.0.0/16 and fe80::/10
        if (v4 ? address.low() >>> 16 == 0xa9fe : address.high() >>> 54 == 0xfe80 >>> 6) {
            return "link-local";
        }
        // 224.0.0.0/4 and ff00::/8
        if (v4 ? address.low() >>> 28 == 0xe : address.high() >>> 56 == 0xff) {
            return "multicast";
        }
        return v4 && address.low() == 0xffff_ffffL ? "broadcast" : "";
    }
}
