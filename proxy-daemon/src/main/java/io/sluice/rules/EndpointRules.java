package io.sluice.rules;

import io.sluice.model.Endpoint;
import io.sluice.model.Family;
import io.sluice.model.IpAddress;
import io.sluice.model.Route;
import io.sluice.objects.EndpointsObject;
import io.sluice.objects.EndpointsObject.Backend;
import io.sluice.objects.EndpointsObject.EndpointGroup;
import io.sluice.objects.NamedPort;
import io.sluice.objects.ServiceObject;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Comparator;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.function.Function;
import java.util.function.ObjIntConsumer;

/** Kubernetes' rules of which endpoints serve, as pure functions. */
final class EndpointRules {
    private static final Comparator<Endpoint> BY_ADDRESS =
            Comparator.comparing(Endpoint::address).thenComparingInt(Endpoint::port);

    private EndpointRules() {}

    /**
     * All endpoints of one service port, whatever their state, by address then port. Endpoints move between slices, so
     * one may be in two at once: of duplicates the last that is not terminating counts, else the first. A pod's address
     * may belong to a new pod while the old one is still going.
     */
    static Map<Endpoint, Backend> endpointsOf(NamedPort servicePort, Collection<EndpointsObject> objects) {
        Map<Endpoint, Backend> endpoints = new TreeMap<>(BY_ADDRESS);
        forEach(
                servicePort,
                objects,
                (backend, port) -> endpoints.merge(
                        new Endpoint(backend.address(), port),
                        backend,
                        (first, later) -> later.terminating() ? first : later));
        return endpoints;
    }

    /** All endpoints of one service port as they are listed, with their ports: one in two slices comes twice. */
    static void forEach(NamedPort servicePort, Collection<EndpointsObject> objects, ObjIntConsumer<Backend> action) {
        for (EndpointsObject object : objects) {
            for (EndpointGroup group : object.groups()) {
                for (NamedPort port : group.ports()) {
                    if (port.joins(servicePort)) {
                        group.backends().forEach(backend -> action.accept(backend, port.port()));
                    }
                }
            }
        }
    }

    /**
     * Where this proxy runs.
     *
     * @param node empty if unknown, and then no endpoint is local; likewise the zone
     */
    record NodeLocality(String node, String zone) {
        boolean isLocal(Backend backend) {
            return !node.isEmpty() && backend.nodeName().equals(node);
        }
    }

    /**
     * What a service port wants of its endpoints.
     *
     * @param external whether it has an address for clients outside; only then does its external policy count
     */
    record Policies(boolean internalLocal, boolean externalLocal, boolean external) {
        static Policies of(ServiceObject service, ServiceObject.Port port, Family family) {
            return new Policies(service.internalLocal(), service.external().local(), service.isExternal(port, family));
        }

        /** A Local external policy needs them too: pods and the node itself go round it. */
        boolean useCluster() {
            return !internalLocal || external;
        }

        boolean useLocal() {
            return internalLocal || (externalLocal && external);
        }
    }

    /**
     * The endpoints that may be chosen, by address then port.
     *
     * @param cluster for traffic that may go anywhere; empty if no policy asks for it
     * @param local those of this node; empty if no policy asks for it
     * @param any whether there is one that may serve at all, here or elsewhere
     */
    record Choice(List<Endpoint> cluster, List<Endpoint> local, boolean any) {
        Choice {
            cluster = List.copyOf(cluster);
            local = List.copyOf(local);
        }

        /** None at all is refused. That there is none here is not the client's fault, and may be about to change. */
        Route route(boolean onlyLocal, Route.Source source) {
            List<Endpoint> endpoints = onlyLocal ? local : cluster;
            if (endpoints.isEmpty()) {
                return any ? Route.DROP : Route.REJECT;
            }
            return Route.forward(endpoints, source);
        }
    }

    /** Whether a list has an endpoint, and if not, why not. */
    enum EndpointDecision {
        USED("ready"),
        LAST_RESORT("terminating but still serving, and none is ready"),
        NOT_READY("not ready"),
        TERMINATING("terminating while others are ready"),
        ENDED("terminating and no longer serving"),
        NOT_LOCAL("not on this node"),
        OTHER_NODE("hinted for other nodes"),
        OTHER_ZONE("hinted for other zones");

        private final String text;

        EndpointDecision(String text) {
            this.text = text;
        }

        String text() {
            return text;
        }

        boolean used() {
            return this == USED || this == LAST_RESORT;
        }
    }

    /** Sorts the endpoints of one family. */
    static Choice choose(Map<Endpoint, Backend> endpoints, Policies policies, NodeLocality here) {
        List<Endpoint> cluster =
                policies.useCluster() ? select(endpoints, clusterList(endpoints.values(), here)) : List.of();
        List<Endpoint> local = policies.useLocal() ? select(endpoints, localList(endpoints.values(), here)) : List.of();
        boolean any = endpoints.values().stream().anyMatch(backend -> backend.ready() || isGoing(backend));
        return new Choice(cluster, local, any);
    }

    /** The list for traffic that may go anywhere. Hints narrow its ready endpoints and nothing else. */
    static Function<Backend, EndpointDecision> clusterList(Collection<Backend> backends, NodeLocality here) {
        return readyOrElseGoing(backends, hinted(backends, here), backend -> EndpointDecision.USED);
    }

    /** The list for traffic that must stay on this node. */
    static Function<Backend, EndpointDecision> localList(Collection<Backend> backends, NodeLocality here) {
        Function<Backend, EndpointDecision> local =
                backend -> here.isLocal(backend) ? EndpointDecision.USED : EndpointDecision.NOT_LOCAL;
        return readyOrElseGoing(backends, local, local);
    }

    private static boolean isGoing(Backend backend) {
        return backend.serving() && backend.terminating();
    }

    /** A list has the ready endpoints, or if there are none, those that still serve while they terminate. */
    private static Function<Backend, EndpointDecision> readyOrElseGoing(
            Collection<Backend> backends,
            Function<Backend, EndpointDecision> amongReady,
            Function<Backend, EndpointDecision> amongGoing) {
        boolean anyReady = backends.stream()
                .anyMatch(backend -> backend.ready() && amongReady.apply(backend) == EndpointDecision.USED);
        return backend -> {
            if (backend.ready()) {
                return amongReady.apply(backend);
            }
            if (!isGoing(backend)) {
                return backend.terminating() ? EndpointDecision.ENDED : EndpointDecision.NOT_READY;
            }
            EndpointDecision place = amongGoing.apply(backend);
            if (place != EndpointDecision.USED) {
                return place;
            }
            return anyReady ? EndpointDecision.TERMINATING : EndpointDecision.LAST_RESORT;
        };
    }

    /**
     * Which ready endpoints the hints leave: those for this node, else those for this zone, else all. A level counts
     * only if every ready endpoint has a hint of it, since one without may be all that a roll-out has updated so far,
     * and if one of them is for here.
     */
    private static Function<Backend, EndpointDecision> hinted(Collection<Backend> backends, NodeLocality here) {
        boolean allNode = true;
        boolean allZone = true;
        boolean thisNode = false;
        boolean thisZone = false;
        for (Backend backend : backends) {
            if (backend.ready()) {
                List<String> nodes = backend.hints().nodes();
                List<String> zones = backend.hints().zones();
                allNode &= !nodes.isEmpty();
                allZone &= !zones.isEmpty();
                thisNode |= nodes.contains(here.node());
                thisZone |= zones.contains(here.zone());
            }
        }
        if (allNode && thisNode) {
            return backend ->
                    backend.hints().nodes().contains(here.node()) ? EndpointDecision.USED : EndpointDecision.OTHER_NODE;
        }
        if (allZone && thisZone) {
            return backend ->
                    backend.hints().zones().contains(here.zone()) ? EndpointDecision.USED : EndpointDecision.OTHER_ZONE;
        }
        return backend -> EndpointDecision.USED;
    }

    private static List<Endpoint> select(Map<Endpoint, Backend> endpoints, Function<Backend, EndpointDecision> list) {
        List<Endpoint> chosen = new ArrayList<>();
        endpoints.forEach((endpoint, backend) -> {
            if (list.apply(backend).used()) {
                chosen.add(endpoint);
            }
        });
        return chosen;
    }

    /** Those of one family: a client of the other cannot be sent there, so to it they do not exist. */
    static Map<Endpoint, Backend> ofFamily(Family family, Map<Endpoint, Backend> endpoints) {
        Map<Endpoint, Backend> those = new LinkedHashMap<>();
        endpoints.forEach((endpoint, backend) -> {
            if (endpoint.address().family() == family) {
                those.put(endpoint, backend);
            }
        });
        return those;
    }

    /** How many addresses of this node are ready, whatever the port: what a load balancer sends traffic for. */
    static int localReady(Collection<EndpointsObject> objects, NodeLocality here) {
        Set<NamedPort> ports = new HashSet<>();
        for (EndpointsObject object : objects) {
            object.groups().forEach(group -> ports.addAll(group.ports()));
        }
        Set<IpAddress> ready = new HashSet<>();
        for (NamedPort port : ports) {
            endpointsOf(port, objects).forEach((endpoint, backend) -> {
                if (backend.ready() && here.isLocal(backend)) {
                    ready.add(endpoint.address());
                }
            });
        }
        return ready.size();
    }

    /** Where an existing UDP flow may stay. */
    static Set<Endpoint> flowEndpoints(Map<Endpoint, Backend> endpoints) {
        Set<Endpoint> stay = new HashSet<>();
        endpoints.forEach((endpoint, backend) -> {
            if (backend.ready() || backend.serving()) {
                stay.add(endpoint);
            }
        });
        return stay;
    }
}
