package io.sluice.rules;

import io.sluice.model.Cidr;
import io.sluice.model.Endpoint;
import io.sluice.model.Family;
import io.sluice.model.Frontend;
import io.sluice.model.Frontend.Kind;
import io.sluice.model.FrontendAddress;
import io.sluice.model.IpAddress;
import io.sluice.model.Origin;
import io.sluice.model.Route;
import io.sluice.model.Route.Source;
import io.sluice.objects.NamedPort;
import io.sluice.objects.ServiceObject;
import io.sluice.objects.ServiceObject.Port;
import io.sluice.rules.EndpointRules.Choice;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** Kubernetes' rules of where a Service is reached, by whom, and whom its endpoints then see; as pure functions. */
final class FrontendRules {
    private FrontendRules() {}

    /** Where a service port is to be reached. Of two kinds of one address the first counts. */
    static Map<FrontendAddress, Kind> addresses(
            ServiceObject service, Port port, LocalNode here, BuildOptions options) {
        Map<FrontendAddress, Kind> addresses = new LinkedHashMap<>();
        NamedPort named = port.named();
        ExternalAddresses listed = (kind, list, number) -> {
            for (IpAddress address : list) {
                // A Service that has no cluster IP of a family does not exist in it, whatever else it lists.
                if (service.hasFamily(address.family())) {
                    addresses.putIfAbsent(
                            new FrontendAddress(named.protocol(), options.listenedOn(address), number), kind);
                }
            }
        };
        listed.add(Kind.CLUSTER_IP, service.clusterIps(), named.port());
        listed.add(Kind.LOAD_BALANCER, service.external().loadBalancerIps(), named.port());
        listed.add(Kind.EXTERNAL_IP, service.external().externalIps(), named.port());
        if (port.nodePort() != 0) {
            listed.add(Kind.NODE_PORT, here.nodePortFrontends(), port.nodePort());
        }
        return addresses;
    }

    @FunctionalInterface
    private interface ExternalAddresses {
        void add(Kind kind, List<IpAddress> addresses, int port);
    }

    /**
     * What happens at an address. An endpoint with that very address, an ingress controller in the host network, cannot
     * be proxied on the node that has the address: its process is left alone there.
     *
     * @param choice the endpoints of the address's family
     * @param frontendsToo those that are frontends themselves
     */
    static Frontend frontend(
            ServiceObject service,
            Kind kind,
            FrontendAddress address,
            Choice choice,
            Set<Endpoint> frontendsToo,
            LocalNode here) {
        Route node = route(service, kind, address, Origin.NODE, choice, frontendsToo, here);
        Route external = route(service, kind, address, Origin.EXTERNAL, choice, frontendsToo, here);
        Route pod = route(service, kind, address, Origin.POD, choice, frontendsToo, here);
        Frontend frontend = new Frontend(
                kind,
                address,
                pod.equals(external) ? external : pod,
                node.equals(external) ? external : node,
                external,
                allowedSources(service, kind, address.address().family(), here));
        return frontend.forwardsToItself() && here.addresses().contains(address.address())
                ? frontend.passing()
                : frontend;
    }

    private static Route route(
            ServiceObject service,
            Kind kind,
            FrontendAddress address,
            Origin client,
            Choice choice,
            Set<Endpoint> frontendsToo,
            LocalNode here) {
        Origin origin = countsAs(client, kind, address.address(), here);
        Route route = choice.route(
                onlyLocal(service, kind, origin),
                source(
                        service,
                        kind,
                        origin,
                        here.masqueradeAll(),
                        here.tellsPods(address.address().family())));
        return forwardedAgain(route, frontendsToo) ? Route.forward(route.endpoints(), Source.NODE) : route;
    }

    /** Whether another Service's frontend may be next, whose answer must come back here and not go to the client. */
    static boolean forwardedAgain(Route route, Set<Endpoint> frontendsToo) {
        return !frontendsToo.isEmpty() && route.endpoints().stream().anyMatch(frontendsToo::contains);
    }

    /** What a client is taken for: a pod that cannot be told from others is one of them. */
    static Origin countsAs(Origin client, Kind kind, IpAddress address, LocalNode here) {
        if (kind == Kind.NODE_PORT && address.isLoopback()) {
            // Only the node reaches its loopback.
            return Origin.NODE;
        }
        return client == Origin.POD && !here.tellsPods(address.family()) ? Origin.EXTERNAL : client;
    }

    /** Whether a client may only be sent to endpoints on this node. */
    static boolean onlyLocal(ServiceObject service, Kind kind, Origin origin) {
        if (kind == Kind.CLUSTER_IP) {
            return service.internalLocal();
        }
        // Pods and the node itself are treated as if they had gone out to a load balancer and come back in.
        return service.external().local() && origin == Origin.EXTERNAL;
    }

    private static Source source(
            ServiceObject service, Kind kind, Origin origin, boolean masqueradeAll, boolean tellsPods) {
        boolean node = kind == Kind.CLUSTER_IP
                ? masqueradeAll || (tellsPods && origin != Origin.POD)
                // The endpoint may be on another node, and its answer has to come back through this one.
                : !service.external().local() || origin == Origin.NODE;
        return node ? Source.NODE : Source.CLIENT;
    }

    private static List<Cidr> allowedSources(ServiceObject service, Kind kind, Family family, LocalNode here) {
        if (kind != Kind.LOAD_BALANCER) {
            return List.of();
        }
        List<Cidr> allowed = new ArrayList<>();
        for (Cidr range : service.external().sourceRanges()) {
            if (range.network().family() == family) {
                allowed.add(range);
            }
        }
        IpAddress primary = NodePortAddresses.primary(here.addresses(), family);
        if (primary != null && allowed.stream().anyMatch(range -> range.contains(primary))) {
            // A node that has the load balancer's address on an interface dials it from that very address.
            for (IpAddress address : service.external().loadBalancerIps()) {
                if (address.family() == family) {
                    allowed.add(new Cidr(address, address.family().bits()));
                }
            }
        }
        return allowed;
    }
}
