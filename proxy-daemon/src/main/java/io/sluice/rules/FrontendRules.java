package io.sluice.rules;

import io.sluice.model.Endpoint;
import io.sluice.model.Frontend;
import io.sluice.model.Frontend.Kind;
import io.sluice.model.FrontendAddress;
import io.sluice.model.IpAddress;
import io.sluice.model.Origin;
import io.sluice.model.Route;
import io.sluice.model.Route.Source;
import io.sluice.model.TrafficPolicy;
import io.sluice.objects.NamedPort;
import io.sluice.objects.ServiceObject;
import io.sluice.objects.ServiceObject.Port;
import io.sluice.rules.EndpointRules.EndpointLists;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * The Kubernetes rules for frontends, as pure functions: the addresses of a Service, which clients may use them, and
 * which source address the endpoints see.
 */
final class FrontendRules {
    private FrontendRules() {}

    /** The frontend addresses of a service port. If two kinds list an address, the first kind applies. */
    static Map<FrontendAddress, Kind> addresses(
            ServiceObject service, Port port, LocalNode localNode, BuildOptions options) {
        Map<FrontendAddress, Kind> addresses = new LinkedHashMap<>();
        NamedPort named = port.named();
        AddressCollector collector = (kind, list, number) -> {
            for (IpAddress address : list) {
                // A Service without a ClusterIP of a family is not served in that family.
                if (service.hasFamily(address.family())) {
                    addresses.putIfAbsent(
                            new FrontendAddress(named.protocol(), options.listenedOn(address), number), kind);
                }
            }
        };
        collector.add(Kind.CLUSTER_IP, service.clusterIps(), named.port());
        collector.add(Kind.LOAD_BALANCER, service.external().loadBalancerIps(), named.port());
        collector.add(Kind.EXTERNAL_IP, service.external().externalIps(), named.port());
        if (port.nodePort() != 0) {
            collector.add(Kind.NODE_PORT, localNode.nodePortFrontends(), port.nodePort());
        }
        return addresses;
    }

    @FunctionalInterface
    private interface AddressCollector {
        void add(Kind kind, List<IpAddress> addresses, int port);
    }

    /**
     * Creates the frontend at an address. If an endpoint has the same address and port (an ingress controller in the
     * host network), the node that owns the address does not proxy it: packets go to the process that listens there.
     *
     * @param policy the traffic policy of the service port
     * @param lists the usable endpoints of the address's family
     * @param reject the route for traffic that is rejected because the Service has no endpoint
     * @param frontendEndpoints the endpoints that are also frontends of a Service
     */
    static Frontend frontend(
            ServiceObject service,
            Kind kind,
            FrontendAddress address,
            TrafficPolicy policy,
            EndpointLists lists,
            Route reject,
            Set<Endpoint> frontendEndpoints,
            LocalNode localNode) {
        Route node = route(service, kind, address, Origin.NODE, lists, frontendEndpoints, localNode);
        Route external = route(service, kind, address, Origin.EXTERNAL, lists, frontendEndpoints, localNode);
        Route pod = route(service, kind, address, Origin.POD, lists, frontendEndpoints, localNode);
        Frontend frontend = new Frontend(
                kind,
                address,
                orReject(pod.equals(external) ? external : pod, reject),
                orReject(node.equals(external) ? external : node, reject),
                orReject(external, reject),
                SourceRanges.allowedSources(service, kind, address.address().family(), policy, localNode));
        return frontend.forwardsToItself() && localNode.addresses().contains(address.address())
                ? frontend.passing()
                : frontend;
    }

    private static Route orReject(Route route, Route reject) {
        return route.verdict() == Route.Verdict.REJECT ? reject : route;
    }

    private static Route route(
            ServiceObject service,
            Kind kind,
            FrontendAddress address,
            Origin client,
            EndpointLists lists,
            Set<Endpoint> frontendEndpoints,
            LocalNode localNode) {
        Origin origin = effectiveOrigin(client, kind, address.address(), localNode);
        Route route = lists.route(
                onlyLocal(service, kind, origin),
                source(
                        service,
                        kind,
                        origin,
                        localNode.masqueradeAll(),
                        localNode.detectsPods(address.address().family())));
        return forwardsToFrontend(route, frontendEndpoints) ? Route.forward(route.endpoints(), Source.NODE) : route;
    }

    /** Whether the route has an endpoint that is also a frontend. Its replies must return through this node. */
    static boolean forwardsToFrontend(Route route, Set<Endpoint> frontendEndpoints) {
        return !frontendEndpoints.isEmpty() && route.endpoints().stream().anyMatch(frontendEndpoints::contains);
    }

    /** The origin that the rules use: without local traffic detection, a pod is treated as an external client. */
    static Origin effectiveOrigin(Origin client, Kind kind, IpAddress address, LocalNode localNode) {
        if (kind == Kind.NODE_PORT && address.isLoopback()) {
            // Only this node can reach its loopback addresses.
            return Origin.NODE;
        }
        return client == Origin.POD && !localNode.detectsPods(address.family()) ? Origin.EXTERNAL : client;
    }

    /** Whether traffic from this origin may use only endpoints on this node. */
    static boolean onlyLocal(ServiceObject service, Kind kind, Origin origin) {
        if (kind == Kind.CLUSTER_IP) {
            return service.internalLocal();
        }
        // Pods and this node are treated as if their packets went to the load balancer and back (short-circuit).
        return service.external().local() && origin == Origin.EXTERNAL;
    }

    private static Source source(
            ServiceObject service, Kind kind, Origin origin, boolean masqueradeAll, boolean detectsPods) {
        boolean node = kind == Kind.CLUSTER_IP
                ? masqueradeAll || (detectsPods && origin != Origin.POD)
                // The endpoint may be on another node, and its replies must return through this node.
                : !service.external().local() || origin == Origin.NODE;
        return node ? Source.NODE : Source.CLIENT;
    }
}
