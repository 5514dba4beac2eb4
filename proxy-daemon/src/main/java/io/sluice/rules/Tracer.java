package io.sluice.rules;

import io.sluice.model.Cidr;
import io.sluice.model.Endpoint;
import io.sluice.model.Family;
import io.sluice.model.Frontend;
import io.sluice.model.Frontend.Kind;
import io.sluice.model.FrontendAddress;
import io.sluice.model.HealthCheck;
import io.sluice.model.IpAddress;
import io.sluice.model.Origin;
import io.sluice.model.Protocol;
import io.sluice.model.Route;
import io.sluice.model.Route.Source;
import io.sluice.model.ServicePort;
import io.sluice.model.ServicePortName;
import io.sluice.model.ServiceSnapshot;
import io.sluice.model.TrafficPolicy;
import io.sluice.objects.EndpointsObject.SliceEndpoint;
import io.sluice.objects.ServiceKey;
import io.sluice.objects.ServiceObject;
import io.sluice.objects.ServiceObject.Port;
import io.sluice.rules.EndpointRules.EndpointDecision;
import io.sluice.rules.Trace.Match;
import io.sluice.rules.Trace.Packet;
import io.sluice.rules.Trace.TraceResult;
import io.sluice.rules.Trace.Verdict;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.function.Function;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;

/**
 * Explains what happens to the first packet of a TCP connection or UDP flow. The verdict comes from the snapshot that
 * the data path uses; only the explanation is derived here.
 */
public final class Tracer {
    private final BuildOptions options;
    private final ObjectStore store;
    private final LocalNode localNode;
    private final ServiceSnapshot snapshot;
    private final Map<FrontendAddress, Served> served = new HashMap<>();
    private final Map<IpAddress, ServiceKey> clusterIps = new HashMap<>();
    private final Map<NodePort, ServiceObject> nodePorts = new HashMap<>();

    private record Served(ServicePort servicePort, Frontend frontend) {}

    private record NodePort(Protocol protocol, int port) {}

    public Tracer(BuildOptions options, ObjectStore store, LocalNode localNode, ServiceSnapshot snapshot) {
        this.options = options;
        this.store = store;
        this.localNode = localNode;
        this.snapshot = snapshot;
        snapshot.forEach(port ->
                port.frontends().forEach(frontend -> served.put(frontend.address(), new Served(port, frontend))));
        store.forEach((source, object) -> {
            if (object instanceof ServiceObject service) {
                index(service);
            }
        });
    }

    /**
     * Indexes a Service by ClusterIP and NodePort. If several Services claim the same one, only its owner is indexed.
     */
    private void index(ServiceObject service) {
        for (IpAddress address : service.clusterIps()) {
            clusterIps.merge(
                    options.listenedOn(address),
                    service.service(),
                    (one, other) -> one.compareTo(other) < 0 ? one : other);
        }
        for (Port port : service.ports()) {
            if (port.nodePort() != 0) {
                nodePorts.merge(
                        new NodePort(port.named().protocol(), port.nodePort()),
                        service,
                        (one, other) -> AddressClaims.isBefore(one, other) ? one : other);
            }
        }
    }

    /** Traces a packet. The same feed and settings always give the same result. */
    public TraceResult trace(Packet packet) {
        Protocol protocol = packet.protocol();
        Served found = protocol == null ? null : find(new FrontendAddress(protocol, packet.to(), packet.port()));
        return found == null ? unserved(packet) : served(packet, found.servicePort(), found.frontend());
    }

    private @Nullable Served find(FrontendAddress address) {
        Served exact = served.get(address);
        FrontendAddress wildcard = exact == null ? localNode.wildcardNodePort(address) : null;
        return wildcard == null ? exact : served.get(wildcard);
    }

    private TraceResult served(Packet packet, ServicePort servicePort, Frontend frontend) {
        ServicePortName name = servicePort.name();
        ServiceObject service = store.service(new ServiceKey(name.namespace(), name.service()));
        if (service == null) {
            throw new IllegalStateException(name + " is in the snapshot, but its Service is not in the store");
        }
        IpAddress to = packet.to();
        Origin client = snapshot.context().origins().of(packet.from());
        Origin origin = FrontendRules.effectiveOrigin(client, frontend.kind(), to, localNode);
        Route route = frontend.route(client);
        boolean onlyLocal = FrontendRules.onlyLocal(service, frontend.kind(), origin);
        Map<Endpoint, EndpointDecision> decisions = decisions(service, name, to.family(), onlyLocal);
        Map<String, List<String>> details = new LinkedHashMap<>();
        details.put("client", List.of(client(packet.from(), client)));
        details.put(
                "frontend",
                List.of(packet.destination() + ", " + frontend.kind().text() + " of " + name
                        + (frontend.kind() == Kind.NODE_PORT ? "; " + to + " is " + localNode.sourceOf(to) : "")));
        TrafficPolicy policy = servicePort.policy();
        List<String> notes = new ArrayList<>(PolicyNotes.ofService(packet.from(), frontend, policy));
        Verdict verdict;
        List<Endpoint> endpoints = List.of();
        Source source = Source.CLIENT;
        String reason;
        if (!PolicyNotes.isAllowed(packet.from(), frontend, policy)) {
            verdict = Verdict.DROP;
            reason = PolicyNotes.notAllowed(packet.from(), frontend, policy);
            if (!notes.isEmpty()) {
                details.put("policy", notes);
            }
        } else {
            notes.add(0, PolicyNotes.ofKubernetes(service, frontend.kind(), origin));
            details.put("policy", notes);
            details.put("endpoints", lines(decisions, route, servicePort, frontend));
            if (servicePort.affinity().byClientAddress()) {
                details.put(
                        "affinity",
                        List.of("ClientIP: the endpoint that this client used in the last "
                                + servicePort.affinity().timeoutSeconds() + " s, if any"));
            }
            switch (route.verdict()) {
                case FORWARD -> {
                    verdict = Verdict.FORWARD;
                    endpoints = route.endpoints();
                    boolean hairpin = endpoints.stream()
                            .anyMatch(endpoint -> endpoint.address().equals(packet.from()));
                    source = hairpin ? Source.NODE : route.source();
                    String why = hairpin
                            ? "the client is also an endpoint, so hairpin traffic needs source NAT"
                            : endpoints.stream().anyMatch(endpoint -> forwards(frontend, endpoint) != null)
                                    ? "an endpoint is itself the address of a Service, so source NAT is needed for"
                                            + " replies to return through this node"
                                    : why(route.source(), service, frontend.kind(), origin, to.family());
                    List<String> lines = new ArrayList<>(List.of(source + ": " + why));
                    if (source == Source.CLIENT) {
                        lines.addAll(exceptions(endpoints));
                    }
                    details.put("source", lines);
                    reason = frontend.kind().text() + " of " + name + ", " + endpoints.size() + " of "
                            + decisions.size() + " endpoints" + Trace.SOURCE_ADDRESS + source + ": " + why;
                }
                case PASS -> {
                    verdict = Verdict.PASS;
                    reason = frontend.address() + " is an address of this node and an endpoint of " + name
                            + ", so packets are left to the process that listens there";
                }
                case HOLD -> {
                    verdict = Verdict.HOLD;
                    reason = name + " has no usable " + to.family() + " endpoint, so connections wait up to "
                            + PolicyKey.HOLD.textIn(policy) + " for one" + summary(decisions);
                }
                case REJECT -> {
                    verdict = Verdict.REJECT;
                    reason = name + " has no usable " + to.family() + " endpoint" + summary(decisions);
                }
                default -> {
                    verdict = Verdict.DROP;
                    reason = PolicyNotes.policyName(frontend.kind()) + " is Local, and " + name
                            + " has no usable endpoint on node '"
                            + localNode.locality().node() + "'" + summary(decisions);
                }
            }
        }
        boolean mayBeOnThisNode = client != Origin.EXTERNAL
                || !localNode.detectsPods(packet.from().family());
        Match match = new Match(servicePort, frontend, mayBeOnThisNode);
        return new TraceResult(
                verdict, packet.destination(), name.toString(), endpoints, source, reason, details, match);
    }

    /**
     * The endpoints that see the node's address although the route preserves the client's. Clients on the same bridge
     * as an endpoint are not detected, because the feed does not contain bridges.
     */
    private List<String> exceptions(List<Endpoint> endpoints) {
        return endpoints.stream()
                .filter(endpoint -> localNode.isOwn(endpoint.address()))
                .map(endpoint -> "except " + endpoint + ": it has an address of this node, so its replies would bypass"
                        + " Sluice, and it sees the node's address (--mode node)")
                .toList();
    }

    /** All endpoints of a family, each with the reason why the Service rules use it or do not use it. */
    private Map<Endpoint, EndpointDecision> decisions(
            ServiceObject service, ServicePortName name, Family family, boolean onlyLocal) {
        Map<Endpoint, EndpointDecision> decisions = new LinkedHashMap<>();
        for (Port port : service.ports()) {
            if (port.named().name().equals(name.port()) && port.named().protocol() == name.protocol()) {
                Map<Endpoint, SliceEndpoint> endpoints = EndpointRules.ofFamily(
                        family, EndpointRules.endpointsOf(port.named(), store.endpoints(service.service())));
                Function<SliceEndpoint, EndpointDecision> list = onlyLocal
                        ? EndpointRules.localList(endpoints.values(), localNode.locality())
                        : EndpointRules.clusterList(endpoints.values(), localNode.locality());
                endpoints.forEach((endpoint, sliceEndpoint) -> decisions.put(endpoint, list.apply(sliceEndpoint)));
            }
        }
        return decisions;
    }

    private List<String> lines(
            Map<Endpoint, EndpointDecision> decisions, Route route, ServicePort servicePort, Frontend frontend) {
        List<String> lines = new ArrayList<>();
        decisions.forEach((endpoint, decision) -> {
            boolean used = route.endpoints().contains(endpoint);
            if (frontend.passesAny() && decision.used()) {
                lines.add(endpoint
                        + (frontend.isAt(endpoint)
                                ? "  used: " + decision.text() + ", and the process that listens at this address"
                                : "  not used: the process at the frontend address is an endpoint itself"));
                return;
            }
            ServicePortName next = used ? forwards(frontend, endpoint) : null;
            lines.add(endpoint
                    + (used ? "  used: " : "  not used: ")
                    + words(decision, used)
                    + (used && servicePort.preferredEndpoints().contains(endpoint) ? ", preferred" : "")
                    + (next == null ? "" : "; also an address of " + next + ", which forwards the traffic again"));
        });
        return lines.isEmpty() ? List.of("none") : lines;
    }

    /**
     * The service port that has a frontend at the endpoint's address and forwards its traffic; null if there is none.
     */
    private @Nullable ServicePortName forwards(Frontend frontend, Endpoint endpoint) {
        Served next = find(new FrontendAddress(frontend.address().protocol(), endpoint.address(), endpoint.port()));
        return next == null || next.frontend().passesAny() || next.frontend().forwardsToItself()
                ? null
                : next.servicePort().name();
    }

    /** An endpoint that is usable but not in the route was excluded. The problems of the Service give the details. */
    private static String words(EndpointDecision decision, boolean used) {
        return decision.used() && !used ? "excluded because traffic would loop or take too many hops" : decision.text();
    }

    /** Returns how many endpoints are unused for each reason, as the end of a message. */
    private static String summary(Map<Endpoint, EndpointDecision> decisions) {
        if (decisions.isEmpty()) {
            return ": none exists";
        }
        Map<String, Long> counts = decisions.values().stream()
                .collect(
                        Collectors.groupingBy(decision -> words(decision, false), TreeMap::new, Collectors.counting()));
        return counts.entrySet().stream()
                .map(entry -> entry.getValue() + " " + entry.getKey())
                .collect(Collectors.joining(", ", ": ", ""));
    }

    /** The addresses on which NodePorts are served, each with a phrase that says where Sluice found it. */
    public Map<IpAddress, String> nodePortAddresses() {
        Map<IpAddress, String> sources = new LinkedHashMap<>();
        localNode.nodePortAddresses().forEach(address -> sources.put(address, localNode.sourceOf(address)));
        return sources;
    }

    private String client(IpAddress from, Origin origin) {
        return switch (origin) {
            case POD -> from + ", a pod (in " + PolicyNotes.texts(localNode.pods()) + ")";
            case NODE -> from + ", this node: " + localNode.sourceOf(from);
            case EXTERNAL ->
                from
                        + (localNode.detectsPods(from.family())
                                ? ", an external client"
                                : ", a pod or an external client: no local traffic detection (--cluster-cidr)");
        };
    }

    private String why(Source source, ServiceObject service, Kind kind, Origin origin, Family family) {
        if (kind == Kind.CLUSTER_IP) {
            if (localNode.masqueradeAll()) {
                return "--masquerade-all";
            }
            if (!localNode.detectsPods(family)) {
                return "preserved, because there is no local traffic detection for " + family + " (--cluster-cidr)";
            }
            return source == Source.CLIENT
                    ? "preserved for pods"
                    : "the client is not a pod, so replies must return through this node";
        }
        if (!service.external().local()) {
            return "the endpoint may be on another node, so replies must return through this node";
        }
        return origin == Origin.NODE
                ? "the client is this node, whose source address may be unreachable from other nodes"
                : "preserved by externalTrafficPolicy Local";
    }

    private TraceResult unserved(Packet packet) {
        IpAddress to = packet.to();
        ServiceKey owner = clusterIps.get(to);
        if (owner != null) {
            String why = packet.protocol() == null
                    ? "SCTP is not supported, and " + to + " is the ClusterIP of " + owner
                    : to + " is the ClusterIP of " + owner + ", which has no port " + packet.port() + "/"
                            + packet.protocol().text();
            return unserved(Verdict.REJECT, packet, owner.toString(), why);
        }
        for (Cidr range : snapshot.context().serviceCidrs()) {
            if (range.contains(to)) {
                return unserved(
                        Verdict.DROP,
                        packet,
                        "",
                        to + " is in the ServiceCIDR " + range + " and is not the ClusterIP of any Service");
            }
        }
        return unserved(isWildcardPort(packet) ? Verdict.REJECT : Verdict.PASS, packet, "", pass(packet));
    }

    /**
     * Whether a packet to a local address has the port of a wildcard NodePort. If the address is outside the NodePort's
     * ranges, the nftables rules reject the packet.
     */
    private boolean isWildcardPort(Packet packet) {
        Protocol protocol = packet.protocol();
        return protocol != null
                && localNode.isOwn(packet.to())
                && served.containsKey(new FrontendAddress(protocol, packet.to(), packet.port()).onAllAddresses());
    }

    private String pass(Packet packet) {
        for (Map.Entry<String, HealthCheck> check :
                snapshot.context().healthChecks().entrySet()) {
            if (packet.port() == check.getValue().port()
                    && packet.protocol() == Protocol.TCP
                    && localNode.isOwn(packet.to())) {
                return packet.port() + " is the health check port of " + check.getKey()
                        + ", which Sluice serves itself";
            }
        }
        ServiceObject owner =
                packet.protocol() == null ? null : nodePorts.get(new NodePort(packet.protocol(), packet.port()));
        if (owner != null && localNode.isOwn(packet.to())) {
            return packet.port() + " is a NodePort of " + owner.service() + ", "
                    + whereNodePorts(owner, packet.to().family());
        }
        if (owner != null && options.nodePortAddresses().includesInterfaceAddress(packet.to())) {
            return packet.port() + " is a NodePort of " + owner.service() + ", but it is served on " + packet.to()
                    + " only while an interface of this node has that address";
        }
        return "no Service is served at " + packet.destination() + ", so it is left to the kernel";
    }

    private String whereNodePorts(ServiceObject owner, Family family) {
        if (!owner.hasFamily(family)) {
            return "which has no " + family + " ClusterIP";
        }
        String where = localNode.nodePortAddresses().stream()
                .filter(address -> address.family() == family)
                .map(IpAddress::toString)
                .collect(Collectors.joining(", "));
        return where.isEmpty()
                ? "but --nodeport-addresses matches no address of this node"
                : "but NodePorts are served only on "
                        + (localNode.nodePortRanges().isEmpty()
                                ? where
                                : "local addresses in " + options.nodePortAddresses());
    }

    private TraceResult unserved(Verdict verdict, Packet packet, String service, String reason) {
        Map<String, List<String>> details = new LinkedHashMap<>();
        details.put(
                "client",
                List.of(client(packet.from(), snapshot.context().origins().of(packet.from()))));
        String frontend = verdict == Verdict.PASS ? "" : packet.destination();
        details.put("frontend", List.of("none"));
        return new TraceResult(verdict, frontend, service, List.of(), Source.CLIENT, reason, details, null);
    }
}
