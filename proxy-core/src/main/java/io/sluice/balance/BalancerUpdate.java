package io.sluice.balance;

import io.sluice.model.Endpoint;
import io.sluice.model.ServicePort;
import io.sluice.model.TrafficPolicy.Balancing;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.concurrent.ThreadLocalRandom;
import java.util.function.BiFunction;
import java.util.function.Predicate;
import org.jspecify.annotations.Nullable;

/**
 * Creates the balancers of one version of a service port. A list that has not changed keeps its balancer if the policy
 * is the same. Used by the control thread only.
 */
final class BalancerUpdate {
    /** The balancers of the new version, without duplicates. */
    final List<Balancer> balancers = new ArrayList<>();

    final Selection selection;
    private final List<Balancer> before;
    private final boolean sameSelection;
    /** Whether the last version had none of the endpoints, so that no slow start is needed. */
    private final boolean allNew;

    private final BiFunction<Endpoint, List<Balancer>, EndpointTarget> targetOf;
    private final long nowNanos;

    /**
     * How endpoints are selected, apart from their lists.
     *
     * @param preferred the endpoints that are chosen before all others; empty for no preference
     */
    record Selection(Balancing balancing, Set<Endpoint> preferred) {
        /** Whether the balancers of another version are the same for the same lists. */
        boolean isSame(@Nullable Selection other) {
            return other != null
                    && balancing.algorithm() == other.balancing.algorithm()
                    && balancing.slowStartNanos() == other.balancing.slowStartNanos()
                    && preferred.equals(other.preferred);
        }
    }

    /**
     * Begins an update.
     *
     * @param servicePort the new version
     * @param before the balancers of the last version, and {@code selectionBefore} their selection
     * @param targetOf returns the target of an endpoint, given the new balancers
     */
    BalancerUpdate(
            ServicePort servicePort,
            List<Balancer> before,
            @Nullable Selection selectionBefore,
            BiFunction<Endpoint, List<Balancer>, EndpointTarget> targetOf,
            long nowNanos) {
        this.selection = new Selection(servicePort.policy().balancing(), servicePort.preferredEndpoints());
        this.before = before;
        this.sameSelection = selection.isSame(selectionBefore);
        this.allNew = selection.balancing.slowStartNanos() > 0
                && servicePort.endpoints().stream().noneMatch(this::wasListed);
        this.targetOf = targetOf;
        this.nowNanos = nowNanos;
    }

    /** Returns the balancer for a list; null if the list is empty. */
    @Nullable
    Balancer of(List<Endpoint> endpoints) {
        if (endpoints.isEmpty()) {
            return null;
        }
        Balancer known = find(endpoints, balancers);
        if (known != null) {
            return known;
        }
        known = sameSelection ? find(endpoints, before) : null;
        Balancer balancer = known == null ? create(endpoints) : known;
        balancers.add(balancer);
        return balancer;
    }

    private static @Nullable Balancer find(List<Endpoint> endpoints, List<Balancer> in) {
        for (Balancer balancer : in) {
            if (balancer.isFor(endpoints)) {
                return balancer;
            }
        }
        return null;
    }

    private Balancer create(List<Endpoint> endpoints) {
        EndpointTarget[] targets = endpoints.stream()
                .map(endpoint -> targetOf.apply(endpoint, balancers))
                .toArray(EndpointTarget[]::new);
        if (selection.balancing.slowStartNanos() > 0) {
            startSlowly(targets);
        }
        Set<Endpoint> preferred = selection.preferred;
        if (preferred.isEmpty()
                || endpoints.stream().noneMatch(preferred::contains)
                || preferred.containsAll(endpoints)) {
            return create(endpoints, targets);
        }
        return new Preferred(
                endpoints,
                targets,
                part(targets, preferred::contains),
                part(targets, each -> !preferred.contains(each)));
    }

    private Balancer part(EndpointTarget[] targets, Predicate<Endpoint> filter) {
        List<Endpoint> endpoints = new ArrayList<>();
        List<EndpointTarget> filtered = new ArrayList<>();
        for (EndpointTarget target : targets) {
            if (filter.test(target.endpoint)) {
                endpoints.add(target.endpoint);
                filtered.add(target);
            }
        }
        return create(endpoints, filtered.toArray(EndpointTarget[]::new));
    }

    private Balancer create(List<Endpoint> endpoints, EndpointTarget[] targets) {
        int start = start(endpoints);
        Balancing balancing = selection.balancing;
        return switch (balancing.algorithm()) {
            case ROUND_ROBIN -> new RoundRobin(endpoints, targets, start, balancing.slowStartNanos());
            case LEAST_CONNECTIONS -> new LeastConnections(endpoints, targets, start);
            case MAGLEV -> new Maglev(endpoints, targets, start, before);
        };
    }

    /**
     * The index at which a new balancer starts: the position of the old balancer that shares the most endpoints with it,
     * whatever its algorithm; random if none shares any.
     */
    private int start(List<Endpoint> endpoints) {
        Balancer nearest = null;
        int mostShared = 0;
        for (Balancer old : before) {
            int shared = 0;
            for (Endpoint endpoint : endpoints) {
                shared += old.find(endpoint) == null ? 0 : 1;
            }
            if (shared > mostShared) {
                mostShared = shared;
                nearest = old;
            }
        }
        return nearest == null ? ThreadLocalRandom.current().nextInt(endpoints.size()) : nearest.startIn(endpoints);
    }

    /** Starts the slow start of new endpoints. */
    private void startSlowly(EndpointTarget[] targets) {
        for (EndpointTarget target : targets) {
            if (!wasListed(target.endpoint)) {
                target.slowStart(allNew ? null : new SlowStart(nowNanos));
            }
        }
    }

    private boolean wasListed(Endpoint endpoint) {
        return before.stream().anyMatch(old -> old.find(endpoint) != null);
    }
}
