package io.sluice.kube;

import io.sluice.kube.EndpointsObject.Backend;
import io.sluice.kube.EndpointsObject.Group;
import io.sluice.model.Endpoint;
import io.sluice.model.Route;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Comparator;
import java.util.HashSet;
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

    /** The ready endpoints of a family; if there are none, those that still serve while they terminate. */
    static Route route(Map<Endpoint, Backend> endpoints, boolean v6) {
        List<Endpoint> chosen = select(endpoints, v6, Backend::ready);
        if (chosen.isEmpty()) {
            chosen = select(endpoints, v6, backend -> backend.serving() && backend.terminating());
        }
        return chosen.isEmpty() ? Route.REFUSE : Route.forward(chosen, Route.Source.NODE);
    }

    private static List<Endpoint> select(Map<Endpoint, Backend> endpoints, boolean v6, Predicate<Backend> condition) {
        List<Endpoint> chosen = new ArrayList<>();
        endpoints.forEach((endpoint, backend) -> {
            if (endpoint.address().v6() == v6 && condition.test(backend)) {
                chosen.add(endpoint);
            }
        });
        return chosen;
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
