package io.sluice.kube;

import io.sluice.kube.EndpointsObject.Backend;
import io.sluice.kube.EndpointsObject.Group;
import io.sluice.model.Endpoint;
import io.sluice.model.Route;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Comparator;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.function.Predicate;

/** Kubernetes' rules of which endpoints serve, as pure functions. */
final class EndpointRules {
    private static final Comparator<Endpoint> BY_ADDRESS =
            Comparator.comparing(Endpoint::address).thenComparingInt(Endpoint::port);

    private EndpointRules() {}

    /**
     * All endpoints of one service port, whatever their state, by address then port. Endpoints move between slices, so
     * one may be in two at once: of duplicates the first counts, unless it is terminating and a later one is not. A
     * pod's address may belong to a new pod while the old one is still going.
     */
    static Map<Endpoint, Backend> endpointsOf(NamedPort servicePort, Collection<EndpointsObject> objects) {
        Map<Endpoint, Backend> endpoints = new TreeMap<>(BY_ADDRESS);
        for (EndpointsObject object : objects) {
            for (Group group : object.groups()) {
                for (NamedPort port : group.ports()) {
                    if (port.joins(servicePort)) {
                        addAll(group.backends(), port.port(), endpoints);
                    }
                }
            }
        }
        return endpoints;
    }

    private static void addAll(List<Backend> backends, int port, Map<Endpoint, Backend> endpoints) {
        for (Backend backend : backends) {
            endpoints.merge(
                    new Endpoint(backend.address(), port),
                    backend,
                    (first, later) -> first.terminating() && !later.terminating() ? later : first);
        }
    }

    /**
     * Where this proxy runs.
     *
     * @param node empty if unknown, and then no endpoint is local; likewise the zone
     */
    record Place(String node, String zone) {
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
        /** None at all is refused. That there is none here is not the client's fault, and may be about to change. */
        Route route(boolean onlyLocal) {
            List<Endpoint> endpoints = onlyLocal ? local : cluster;
            if (endpoints.isEmpty()) {
                return any ? Route.DROP : Route.REFUSE;
            }
            return Route.forward(endpoints, Route.Source.NODE);
        }
    }

    /**
     * Sorts the endpoints of one family. Each list has the ready ones, or if there are none those that still serve
     * while they terminate; that is decided for each list by itself. Hints narrow the ready ones of the cluster and
     * nothing else.
     */
    static Choice choose(Map<Endpoint, Backend> endpoints, Policies policies, Place here) {
        List<Endpoint> cluster = policies.useCluster()
                ? readyOrElseGoing(endpoints, hinted(endpoints.values(), here), backend -> true)
                : List.of();
        List<Endpoint> local =
                policies.useLocal() ? readyOrElseGoing(endpoints, here::isLocal, here::isLocal) : List.of();
        boolean any = endpoints.values().stream().anyMatch(backend -> backend.ready() || isGoing(backend));
        return new Choice(cluster, local, any);
    }

    private static boolean isGoing(Backend backend) {
        return backend.serving() && backend.terminating();
    }

    private static List<Endpoint> readyOrElseGoing(
            Map<Endpoint, Backend> endpoints, Predicate<Backend> amongReady, Predicate<Backend> amongGoing) {
        List<Endpoint> ready = select(endpoints, backend -> backend.ready() && amongReady.test(backend));
        return ready.isEmpty() ? select(endpoints, backend -> isGoing(backend) && amongGoing.test(backend)) : ready;
    }

    /**
     * Which ready endpoints the hints leave: those for this node, else those for this zone, else all. A level counts
     * only if every ready endpoint has a hint of it, since one without may be all that a roll-out has updated so far,
     * and if one of them is for here.
     */
    private static Predicate<Backend> hinted(Collection<Backend> backends, Place here) {
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
            return backend -> backend.hints().nodes().contains(here.node());
        }
        if (allZone && thisZone) {
            return backend -> backend.hints().zones().contains(here.zone());
        }
        return backend -> true;
    }

    private static List<Endpoint> select(Map<Endpoint, Backend> endpoints, Predicate<Backend> condition) {
        List<Endpoint> chosen = new ArrayList<>();
        endpoints.forEach((endpoint, backend) -> {
            if (condition.test(backend)) {
                chosen.add(endpoint);
            }
        });
        return chosen;
    }

    /** Those of one family: a client of the other cannot be sent there, so to it they do not exist. */
    static Map<Endpoint, Backend> ofFamily(boolean v6, Map<Endpoint, Backend> endpoints) {
        Map<Endpoint, Backend> family = new LinkedHashMap<>();
        endpoints.forEach((endpoint, backend) -> {
            if (endpoint.address().v6() == v6) {
                family.put(endpoint, backend);
            }
        });
        return family;
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
