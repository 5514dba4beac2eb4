package io.sluice.rules;

import static java.util.Objects.requireNonNull;

import io.sluice.model.Endpoint;
import io.sluice.model.Family;
import io.sluice.model.IpAddress;
import io.sluice.model.Route;
import io.sluice.model.TrafficPolicy.Preference;
import io.sluice.objects.EndpointsObject;
import io.sluice.objects.EndpointsObject.EndpointGroup;
import io.sluice.objects.EndpointsObject.SliceEndpoint;
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

/**
 * The Kubernetes rules for choosing endpoints, as pure functions: the equivalent of kube-proxy's {@code topology.go}.
 */
final class EndpointRules {
    private static final Comparator<Endpoint> BY_ADDRESS =
            Comparator.comparing(Endpoint::address).thenComparingInt(Endpoint::port);

    private EndpointRules() {}

    /**
     * All endpoints of one service port in any state, sorted by address and port. An address may be listed twice,
     * because an endpoint moves between slices or a new pod reuses the address of a terminating one. The last entry
     * that is not terminating applies; if all are terminating, the first.
     */
    static Map<Endpoint, SliceEndpoint> endpointsOf(NamedPort servicePort, Collection<EndpointsObject> objects) {
        Map<Endpoint, SliceEndpoint> endpoints = new TreeMap<>(BY_ADDRESS);
        forEach(
                servicePort,
                objects,
                (sliceEndpoint, port) -> endpoints.merge(
                        new Endpoint(sliceEndpoint.address(), port),
                        sliceEndpoint,
                        (first, later) -> later.terminating() ? first : later));
        return endpoints;
    }

    /** Calls the action for each endpoint of one service port and its port number, once per slice that lists it. */
    static void forEach(
            NamedPort servicePort, Collection<EndpointsObject> objects, ObjIntConsumer<SliceEndpoint> action) {
        for (EndpointsObject object : objects) {
            for (EndpointGroup group : object.groups()) {
                for (NamedPort port : group.ports()) {
                    if (port.matches(servicePort)) {
                        group.sliceEndpoints().forEach(sliceEndpoint -> action.accept(sliceEndpoint, port.port()));
                    }
                }
            }
        }
    }

    /**
     * The node and zone in which this proxy runs.
     *
     * @param node name of the node; empty if unknown, in which case no endpoint is local
     * @param zone zone of the node; empty if unknown
     */
    record NodeLocality(String node, String zone) {
        boolean isLocal(SliceEndpoint sliceEndpoint) {
            return !node.isEmpty() && sliceEndpoint.nodeName().equals(node);
        }

        boolean isInZone(SliceEndpoint sliceEndpoint) {
            return !zone.isEmpty() && sliceEndpoint.zone().equals(zone);
        }
    }

    /**
     * The traffic policies of a service port.
     *
     * @param external whether the port has an address for external clients; without one, externalTrafficPolicy has no
     *     effect
     */
    record Policies(boolean internalLocal, boolean externalLocal, boolean external) {
        static Policies of(ServiceObject service, ServiceObject.Port port, Family family) {
            return new Policies(service.internalLocal(), service.external().local(), service.isExternal(port, family));
        }

        /** True even if externalTrafficPolicy is Local, because that policy does not apply to pods and this node. */
        boolean useCluster() {
            return !internalLocal || external;
        }

        boolean useLocal() {
            return internalLocal || (externalLocal && external);
        }
    }

    /**
     * The usable endpoints of a service port in one family, sorted by address and port.
     *
     * @param cluster the endpoints for traffic that may go to any node; empty if no policy needs them
     * @param local the endpoints on this node; empty if no policy needs them
     * @param any whether any node has a usable endpoint
     */
    record EndpointLists(List<Endpoint> cluster, List<Endpoint> local, boolean any) {
        EndpointLists {
            cluster = List.copyOf(cluster);
            local = List.copyOf(local);
        }

        /** REJECT if no node has a usable endpoint; DROP if only this node has none, because that may soon change. */
        Route route(boolean onlyLocal, Route.Source source) {
            List<Endpoint> endpoints = onlyLocal ? local : cluster;
            if (endpoints.isEmpty()) {
                return any ? Route.DROP : Route.REJECT;
            }
            return Route.forward(endpoints, source);
        }
    }

    /** The reason why an endpoint is or is not used. */
    enum EndpointDecision {
        USED("ready"),
        SERVING_TERMINATING("terminating but still serving, and no endpoint is ready"),
        NOT_READY("not ready"),
        TERMINATING("terminating while others are ready"),
        NOT_SERVING("terminating and no longer serving"),
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
            return this == USED || this == SERVING_TERMINATING;
        }
    }

    /** Chooses the usable endpoints of one family; the equivalent of kube-proxy's {@code CategorizeEndpoints}. */
    static EndpointLists categorize(Map<Endpoint, SliceEndpoint> endpoints, Policies policies, NodeLocality locality) {
        List<Endpoint> cluster =
                policies.useCluster() ? select(endpoints, clusterList(endpoints.values(), locality)) : List.of();
        List<Endpoint> local =
                policies.useLocal() ? select(endpoints, localList(endpoints.values(), locality)) : List.of();
        boolean any = endpoints.values().stream().anyMatch(EndpointRules::isUsable);
        return new EndpointLists(cluster, local, any);
    }

    /** Decides which endpoints are used for traffic to any node. Hints apply to ready endpoints only. */
    static Function<SliceEndpoint, EndpointDecision> clusterList(
            Collection<SliceEndpoint> sliceEndpoints, NodeLocality locality) {
        return readyElseServingTerminating(
                sliceEndpoints, hinted(sliceEndpoints, locality), sliceEndpoint -> EndpointDecision.USED);
    }

    /** Decides which endpoints are used for traffic that must stay on this node. Hints do not apply. */
    static Function<SliceEndpoint, EndpointDecision> localList(
            Collection<SliceEndpoint> sliceEndpoints, NodeLocality locality) {
        Function<SliceEndpoint, EndpointDecision> local =
                sliceEndpoint -> locality.isLocal(sliceEndpoint) ? EndpointDecision.USED : EndpointDecision.NOT_LOCAL;
        return readyElseServingTerminating(sliceEndpoints, local, local);
    }

    private static boolean isServingTerminating(SliceEndpoint sliceEndpoint) {
        return sliceEndpoint.serving() && sliceEndpoint.terminating();
    }

    /** Uses the ready endpoints; without ready ones, the endpoints that are terminating but still serving. */
    private static Function<SliceEndpoint, EndpointDecision> readyElseServingTerminating(
            Collection<SliceEndpoint> sliceEndpoints,
            Function<SliceEndpoint, EndpointDecision> amongReady,
            Function<SliceEndpoint, EndpointDecision> amongServingTerminating) {
        boolean anyReady = sliceEndpoints.stream()
                .anyMatch(sliceEndpoint ->
                        sliceEndpoint.ready() && amongReady.apply(sliceEndpoint) == EndpointDecision.USED);
        return sliceEndpoint -> {
            if (sliceEndpoint.ready()) {
                return amongReady.apply(sliceEndpoint);
            }
            if (!isServingTerminating(sliceEndpoint)) {
                return sliceEndpoint.terminating() ? EndpointDecision.NOT_SERVING : EndpointDecision.NOT_READY;
            }
            EndpointDecision decision = amongServingTerminating.apply(sliceEndpoint);
            if (decision != EndpointDecision.USED) {
                return decision;
            }
            return anyReady ? EndpointDecision.TERMINATING : EndpointDecision.SERVING_TERMINATING;
        };
    }

    /**
     * Applies topology hints to the ready endpoints: uses the endpoints with a hint for this node, else those with a
     * hint for this zone, else all. Node or zone hints apply only if every ready endpoint has such a hint and at least
     * one hint matches. An endpoint without a hint disables hints, because during a rollout the few hinted endpoints
     * could be overloaded.
     */
    private static Function<SliceEndpoint, EndpointDecision> hinted(
            Collection<SliceEndpoint> sliceEndpoints, NodeLocality locality) {
        boolean allNode = true;
        boolean allZone = true;
        boolean thisNode = false;
        boolean thisZone = false;
        for (SliceEndpoint sliceEndpoint : sliceEndpoints) {
            if (sliceEndpoint.ready()) {
                List<String> nodes = sliceEndpoint.hints().nodes();
                List<String> zones = sliceEndpoint.hints().zones();
                allNode &= !nodes.isEmpty();
                allZone &= !zones.isEmpty();
                thisNode |= nodes.contains(locality.node());
                thisZone |= zones.contains(locality.zone());
            }
        }
        if (allNode && thisNode) {
            return sliceEndpoint -> sliceEndpoint.hints().nodes().contains(locality.node())
                    ? EndpointDecision.USED
                    : EndpointDecision.OTHER_NODE;
        }
        if (allZone && thisZone) {
            return sliceEndpoint -> sliceEndpoint.hints().zones().contains(locality.zone())
                    ? EndpointDecision.USED
                    : EndpointDecision.OTHER_ZONE;
        }
        return sliceEndpoint -> EndpointDecision.USED;
    }

    private static List<Endpoint> select(
            Map<Endpoint, SliceEndpoint> endpoints, Function<SliceEndpoint, EndpointDecision> list) {
        List<Endpoint> chosen = new ArrayList<>();
        endpoints.forEach((endpoint, sliceEndpoint) -> {
            if (list.apply(sliceEndpoint).used()) {
                chosen.add(endpoint);
            }
        });
        return chosen;
    }

    /** The endpoints of one family. Each family is treated as a separate Service, as in kube-proxy. */
    static Map<Endpoint, SliceEndpoint> ofFamily(Family family, Map<Endpoint, SliceEndpoint> endpoints) {
        Map<Endpoint, SliceEndpoint> those = new LinkedHashMap<>();
        endpoints.forEach((endpoint, sliceEndpoint) -> {
            if (endpoint.address().family() == family) {
                those.put(endpoint, sliceEndpoint);
            }
        });
        return those;
    }

    /** The number of distinct local addresses with a ready endpoint, across all ports, for health check node ports. */
    static int localReady(Collection<EndpointsObject> objects, NodeLocality locality) {
        Set<NamedPort> ports = new HashSet<>();
        for (EndpointsObject object : objects) {
            object.groups().forEach(group -> ports.addAll(group.ports()));
        }
        Set<IpAddress> ready = new HashSet<>();
        for (NamedPort port : ports) {
            endpointsOf(port, objects).forEach((endpoint, sliceEndpoint) -> {
                if (sliceEndpoint.ready() && locality.isLocal(sliceEndpoint)) {
                    ready.add(endpoint.address());
                }
            });
        }
        return ready.size();
    }

    /**
     * The usable endpoints that are chosen before all others; empty if there is no preference among them.
     *
     * @param endpoints all endpoints of the service port
     */
    static Set<Endpoint> preferred(
            Preference preference,
            Collection<EndpointLists> usable,
            Map<Endpoint, SliceEndpoint> endpoints,
            NodeLocality locality) {
        if (preference == Preference.NONE) {
            return Set.of();
        }
        Set<Endpoint> all = new HashSet<>();
        for (EndpointLists lists : usable) {
            all.addAll(lists.cluster());
            all.addAll(lists.local());
        }
        Set<Endpoint> preferred = new HashSet<>(all);
        preferred.removeIf(endpoint -> {
            SliceEndpoint sliceEndpoint = requireNonNull(endpoints.get(endpoint));
            return !(preference == Preference.NODE
                    ? locality.isLocal(sliceEndpoint)
                    : locality.isInZone(sliceEndpoint));
        });
        return preferred.size() == all.size() ? Set.of() : preferred;
    }

    /** Whether an endpoint may be chosen for new connections: it is ready, or terminating but still serving. */
    static boolean isUsable(SliceEndpoint sliceEndpoint) {
        return sliceEndpoint.ready() || isServingTerminating(sliceEndpoint);
    }

    /** The endpoints on which established connections and flows may stay: those that are ready or serving. */
    static Set<Endpoint> servingEndpoints(Map<Endpoint, SliceEndpoint> endpoints) {
        Set<Endpoint> stay = new HashSet<>();
        endpoints.forEach((endpoint, sliceEndpoint) -> {
            if (sliceEndpoint.ready() || sliceEndpoint.serving()) {
                stay.add(endpoint);
            }
        });
        return stay;
    }
}
