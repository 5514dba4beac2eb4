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
import io.sluice.objects.EndpointsObject.Backend;
import io.sluice.objects.ServiceKey;
import io.sluice.objects.ServiceObject;
import io.sluice.objects.ServiceObject.Port;
import io.sluice.rules.EndpointRules.EndpointDecision;
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
 * Says what happens to the first packet of a connection or flow, and why. What happens is read off the snapshot the data
 * path works from; only the words are made here.
 */
public final class Tracer {
    private final BuildOptions options;
    private final ObjectStore store;
    private final LocalNode here;
    private final ServiceSnapshot snapshot;
    private final Map<FrontendAddress, Served> served = new HashMap<>();
    private final Map<IpAddress, ServiceKey> clusterIps = new HashMap<>();
    private final Map<NodePort, ServiceObject> nodePorts = new HashMap<>();

    private record Served(ServicePort servicePort, Frontend frontend) {}

    private record NodePort(Protocol protocol, int port) {}

    public Tracer(BuildOptions options, ObjectStore store, LocalNode here, ServiceSnapshot snapshot) {
        this.options = options;
        this.store = store;
        this.here = here;
        this.snapshot = snapshot;
        snapshot.forEach(port ->
                port.frontends().forEach(frontend -> served.put(frontend.address(), new Served(port, frontend))));
        store.forEach((source, object) -> {
            if (object instanceof ServiceObject service) {
                index(service);
            }
        });
    }

    /** Of several Services with one address or node port the one that has it is told. */
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

    /** What happens to a packet; the same feed and settings always give the same answer. */
    public TraceResult trace(Packet packet) {
        Protocol protocol = packet.protocol();
        Served found = protocol == null ? null : find(new FrontendAddress(protocol, packet.to(), packet.port()));
        return found == null ? unserved(packet) : served(packet, found.servicePort(), found.frontend());
    }

    private @Nullable Served find(FrontendAddress address) {
        Served exact = served.get(address);
        FrontendAddress wildcard = exact == null ? here.wildcardNodePort(address) : null;
        return wildcard == null ? exact : served.get(wildcard);
    }

    private TraceResult served(Packet packet, ServicePort servicePort, Frontend frontend) {
        ServicePortName name = servicePort.name();
        ServiceObject service = store.service(new ServiceKey(name.namespace(), name.service()));
        if (service == null) {
            throw new IllegalStateException(name + " is served, but there is no such Service");
        }
        IpAddress to = packet.to();
        Origin client = snapshot.context().origins().of(packet.from());
        Origin origin = FrontendRules.countsAs(client, frontend.kind(), to, here);
        Route route = frontend.route(client);
        boolean onlyLocal = FrontendRules.onlyLocal(service, frontend.kind(), origin);
        Map<Endpoint, EndpointDecision> standings = standings(service, name, to.family(), onlyLocal);
        Map<String, List<String>> details = new LinkedHashMap<>();
        details.put("client", List.of(client(packet.from(), client)));
        details.put(
                "frontend",
                List.of(packet.destination() + ", " + frontend.kind().text() + " of " + name
                        + (frontend.kind() == Kind.NODE_PORT ? "; " + to + " is " + here.sourceOf(to) : "")));
        Verdict verdict;
        List<Endpoint> endpoints = List.of();
        Source source = Source.CLIENT;
        String reason;
        if (!frontend.admits(packet.from())) {
            verdict = Verdict.DROP;
            reason = packet.from() + " is not in loadBalancerSourceRanges " + texts(frontend.allowedSources());
        } else {
            details.put("policy", List.of(policy(service, frontend.kind(), origin)));
            details.put("endpoints", lines(standings, route, frontend));
            if (servicePort.affinity().byClientAddress()) {
                details.put(
                        "affinity",
                        List.of("ClientIP: the one this client had last, if that was within "
                                + servicePort.affinity().timeoutSeconds() + " s"));
            }
            switch (route.verdict()) {
                case FORWARD -> {
                    verdict = Verdict.FORWARD;
                    endpoints = route.endpoints();
                    boolean hairpin = endpoints.stream()
                            .anyMatch(endpoint -> endpoint.address().equals(packet.from()));
                    source = hairpin ? Source.NODE : route.source();
                    String why = hairpin
                            ? "the client is an endpoint itself, and would not take an answer from its own address"
                            : endpoints.stream().anyMatch(endpoint -> forwards(frontend, endpoint) != null)
                                    ? "an endpoint is an address of a Service, so its answer must come back here"
                                    : why(route.source(), service, frontend.kind(), origin, to.family());
                    List<String> lines = new ArrayList<>(List.of(source + ": " + why));
                    if (source == Source.CLIENT) {
                        lines.addAll(unanswerable(endpoints));
                    }
                    details.put("source", lines);
                    reason = frontend.kind().text() + " of " + name + ", " + endpoints.size() + " of "
                            + standings.size() + " endpoints; " + source + " address: " + why;
                }
                case PASS -> {
                    verdict = Verdict.PASS;
                    reason = frontend.address() + " is this node's own and an endpoint of " + name
                            + ", so it is left to the process that listens there";
                }
                case REJECT -> {
                    verdict = Verdict.REJECT;
                    reason = name + " has no usable endpoint" + " of " + to.family() + summary(standings);
                }
                default -> {
                    verdict = Verdict.DROP;
                    reason = policyName(frontend.kind()) + " is Local, and of the endpoints of " + name
                            + " none usable is on node \"" + here.place().node() + "\"" + summary(standings);
                }
            }
        }
        return new TraceResult(verdict, packet.destination(), name.toString(), endpoints, source, reason, details);
    }

    /** Who could not answer a client whose address it sees; of clients on a bridge with it, the feed knows nothing. */
    private List<String> unanswerable(List<Endpoint> endpoints) {
        return endpoints.stream()
                .filter(endpoint -> here.isOwn(endpoint.address()))
                .map(endpoint ->
                        "but " + endpoint + " is at this node's own address, from where an answer to the client"
                                + " would not come back here, and sees the node's (--mode node)")
                .toList();
    }

    /** Every endpoint of the family with the reason why it is used or not, by the rules the snapshot was made with. */
    private Map<Endpoint, EndpointDecision> standings(
            ServiceObject service, ServicePortName name, Family family, boolean onlyLocal) {
        Map<Endpoint, EndpointDecision> standings = new LinkedHashMap<>();
        for (Port port : service.ports()) {
            if (port.named().name().equals(name.port()) && port.named().protocol() == name.protocol()) {
                Map<Endpoint, Backend> endpoints = EndpointRules.ofFamily(
                        family, EndpointRules.endpointsOf(port.named(), store.endpoints(service.service())));
                Function<Backend, EndpointDecision> list = onlyLocal
                        ? EndpointRules.localList(endpoints.values(), here.place())
                        : EndpointRules.clusterList(endpoints.values(), here.place());
                endpoints.forEach((endpoint, backend) -> standings.put(endpoint, list.apply(backend)));
            }
        }
        return standings;
    }

    private List<String> lines(Map<Endpoint, EndpointDecision> standings, Route route, Frontend frontend) {
        List<String> lines = new ArrayList<>();
        standings.forEach((endpoint, standing) -> {
            boolean used = route.endpoints().contains(endpoint);
            if (frontend.passesAny() && standing.used()) {
                lines.add(endpoint
                        + (frontend.isAt(endpoint)
                                ? "  used: " + standing.text() + ", and the process at this address"
                                : "  not used: the process at this address is an endpoint itself"));
                return;
            }
            ServicePortName next = used ? forwards(frontend, endpoint) : null;
            lines.add(endpoint
                    + (used ? "  used: " : "  not used: ")
                    + words(standing, used)
                    + (next == null ? "" : ", an address of " + next + ", which forwards it"));
        });
        return lines.isEmpty() ? List.of("none") : lines;
    }

    /** Which Service has an endpoint's address as a frontend and forwards what is sent there; null if none does. */
    private @Nullable ServicePortName forwards(Frontend frontend, Endpoint endpoint) {
        Served next = find(new FrontendAddress(frontend.address().protocol(), endpoint.address(), endpoint.port()));
        return next == null || next.frontend().passesAny() || next.frontend().forwardsToItself()
                ? null
                : next.servicePort().name();
    }

    /** One that the list has and the route has not was left out. The problems of the Service name the others. */
    private static String words(EndpointDecision standing, boolean used) {
        return standing.used() && !used
                ? "an address of a Service, from which traffic would loop or pass through too many Services"
                : standing.text();
    }

    /** Of a list none of which is used. */
    private static String summary(Map<Endpoint, EndpointDecision> standings) {
        if (standings.isEmpty()) {
            return ": it has none";
        }
        Map<String, Long> counts = standings.values().stream()
                .collect(
                        Collectors.groupingBy(standing -> words(standing, false), TreeMap::new, Collectors.counting()));
        return counts.entrySet().stream()
                .map(entry -> entry.getValue() + " " + entry.getKey())
                .collect(Collectors.joining(", ", ": ", ""));
    }

    /** The addresses on which node ports are served, each with how it is known to be this node's. */
    public Map<IpAddress, String> nodePortAddresses() {
        Map<IpAddress, String> sources = new LinkedHashMap<>();
        here.nodePortAddresses().forEach(address -> sources.put(address, here.sourceOf(address)));
        return sources;
    }

    private String client(IpAddress from, Origin origin) {
        return switch (origin) {
            case POD -> from + ", a pod (in " + texts(here.pods()) + ")";
            case NODE -> from + ", this node itself: " + here.sourceOf(from);
            case EXTERNAL ->
                from
                        + (here.tellsPods(from.family())
                                ? ", outside the cluster"
                                : ", pod or not: there is no range of pods to tell by");
        };
    }

    private static String texts(List<Cidr> ranges) {
        return ranges.stream().map(Cidr::toString).collect(Collectors.joining(", "));
    }

    private static String policyName(Kind kind) {
        return kind == Kind.CLUSTER_IP ? "internalTrafficPolicy" : "externalTrafficPolicy";
    }

    private static String policy(ServiceObject service, Kind kind, Origin origin) {
        boolean local = kind == Kind.CLUSTER_IP
                ? service.internalLocal()
                : service.external().local();
        String name = policyName(kind);
        if (!local) {
            return name + " Cluster: endpoints on any node";
        }
        return FrontendRules.onlyLocal(service, kind, origin)
                ? name + " Local: only endpoints on this node"
                : name + " Local, which does not bind pods and the node itself: endpoints on any node";
    }

    private String why(Source source, ServiceObject service, Kind kind, Origin origin, Family family) {
        if (kind == Kind.CLUSTER_IP) {
            if (here.masqueradeAll()) {
                return "--masquerade-all";
            }
            if (!here.tellsPods(family)) {
                return "kept, since there is no range of pods to tell clients outside by";
            }
            return source == Source.CLIENT
                    ? "a pod's is kept"
                    : "the client is no pod, so the answer must come back here";
        }
        if (!service.external().local()) {
            return "the endpoint may be on another node, so the answer must come back here";
        }
        return origin == Origin.NODE
                ? "the node dials its own address, which means nothing elsewhere"
                : "externalTrafficPolicy Local keeps it";
    }

    private TraceResult unserved(Packet packet) {
        IpAddress to = packet.to();
        ServiceKey owner = clusterIps.get(to);
        if (owner != null) {
            String why = packet.protocol() == null
                    ? "SCTP is not forwarded, and " + to + " is the cluster IP of " + owner
                    : to + " is the cluster IP of " + owner + ", which has no port " + packet.port() + "/"
                            + packet.protocol().text();
            return unserved(Verdict.REJECT, packet, owner.toString(), why);
        }
        for (Cidr range : snapshot.context().serviceCidrs()) {
            if (range.contains(to)) {
                return unserved(
                        Verdict.DROP,
                        packet,
                        "",
                        to + " is in the Service range " + range + " and is no Service's cluster IP");
            }
        }
        return unserved(isWildcardPort(packet) ? Verdict.REJECT : Verdict.PASS, packet, "", pass(packet));
    }

    /** A node port whose socket is bound to all addresses: on local ones that are not in its ranges, the rules reject. */
    private boolean isWildcardPort(Packet packet) {
        Protocol protocol = packet.protocol();
        return protocol != null
                && here.isOwn(packet.to())
                && served.containsKey(new FrontendAddress(protocol, packet.to(), packet.port()).onAllAddresses());
    }

    private String pass(Packet packet) {
        for (Map.Entry<String, HealthCheck> check :
                snapshot.context().healthChecks().entrySet()) {
            if (packet.port() == check.getValue().port()
                    && packet.protocol() == Protocol.TCP
                    && here.isOwn(packet.to())) {
                return packet.port() + " is the health check port of " + check.getKey()
                        + ", which this daemon answers itself";
            }
        }
        ServiceObject owner =
                packet.protocol() == null ? null : nodePorts.get(new NodePort(packet.protocol(), packet.port()));
        if (owner != null && here.isOwn(packet.to())) {
            return packet.port() + " is a node port of " + owner.service() + ", "
                    + whereNodePorts(owner, packet.to().family());
        }
        if (owner != null && options.nodePortAddresses().includesInterfaceAddress(packet.to())) {
            return packet.port() + " is a node port of " + owner.service() + ", and served on " + packet.to()
                    + " only while an interface of this node has that address";
        }
        return "no Service has " + packet.destination() + ", so it is left to the kernel";
    }

    private String whereNodePorts(ServiceObject owner, Family family) {
        if (!owner.hasFamily(family)) {
            return "which has no cluster IP of " + family;
        }
        String where = here.nodePortAddresses().stream()
                .filter(address -> address.family() == family)
                .map(IpAddress::toString)
                .collect(Collectors.joining(", "));
        return where.isEmpty()
                ? "but --nodeport-addresses names none of this node's addresses"
                : "but node ports answer only on "
                        + (here.nodePortRanges().isEmpty()
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
        return new TraceResult(verdict, frontend, service, List.of(), Source.CLIENT, reason, details);
    }
}
