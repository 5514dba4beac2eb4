package io.sluice.balance;

import io.sluice.balance.BalancerUpdate.Selection;
import io.sluice.model.Endpoint;
import io.sluice.model.Frontend;
import io.sluice.model.IpAddress;
import io.sluice.model.Origin;
import io.sluice.model.Route;
import io.sluice.model.ServicePort;
import io.sluice.model.TrafficPolicy;
import io.sluice.model.TrafficPolicy.Balancing;
import io.sluice.model.TrafficPolicy.Lifetime;
import io.sluice.model.TrafficPolicy.Removal;
import io.sluice.stats.ServiceStats;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Collections;
import java.util.IdentityHashMap;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.Consumer;
import java.util.function.Function;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/**
 * The state of a service port that outlives a snapshot: its counters, endpoints and balancers. The identity
 * of this object is part of the key of session affinity entries. Updated by the control thread only, read by any thread.
 */
public final class ServiceState {
    public final ServiceStats stats;
    public final AffinityTable affinityTable;
    private final Consumer<EndpointChange> onEndpointChange;
    private volatile TrafficPolicy policy = TrafficPolicy.DEFAULT;
    private volatile Set<Endpoint> serving = Set.of();
    /** Null until a traffic policy needs it. */
    private volatile @Nullable ServiceLimits limits;

    private final Ejections ejections = new Ejections(this::report);
    private volatile List<Balancer> balancers = List.of();
    /** The selection of the balancers; used by the control thread only. */
    private @Nullable Selection selection;

    /**
     * Endpoints that get no new connections: taken out by an operator, or removed from the service port while
     * connections are open.
     */
    private volatile List<EndpointTarget> outOfUse = List.of();

    /** @param onEndpointChange callback for changes of the health of an endpoint, on any thread; must not block */
    public ServiceState(ServiceStats stats, AffinityTable affinityTable, Consumer<EndpointChange> onEndpointChange) {
        this.stats = stats;
        this.affinityTable = affinityTable;
        this.onEndpointChange = onEndpointChange;
    }

    /** Creates the target of an endpoint to which no connection has been attempted. */
    public EndpointTarget newTarget(Endpoint endpoint) {
        return new EndpointTarget(stats, ejections, endpoint);
    }

    /** Reports a change, unless the service port has lost the endpoint while a connection to it was being opened. */
    private void report(EndpointTarget changed, EndpointHealth before, EndpointHealth after) {
        Endpoint endpoint = changed.endpoint;
        if (find(endpoint, balancers) != null
                || outOfUse.stream().anyMatch(target -> target.endpoint.equals(endpoint) && target.isTakenOut())) {
            onEndpointChange.accept(new EndpointChange(stats.name(), endpoint, before, after));
        }
    }

    /** The current traffic policy; the last one if the service port was removed. Thread-safe. */
    public TrafficPolicy policy() {
        return policy;
    }

    /** Whether an endpoint may keep its connections. Thread-safe. */
    public boolean isServing(Endpoint endpoint) {
        return serving.contains(endpoint);
    }

    /** The connections and flows that count toward the limits of the traffic policy. Thread-safe. */
    public ServiceLimits limits() {
        ServiceLimits known = limits;
        return known == null ? createLimits() : known;
    }

    private synchronized ServiceLimits createLimits() {
        ServiceLimits created = limits;
        if (created == null) {
            created = new ServiceLimits();
            limits = created;
        }
        return created;
    }

    /** The number of connections that wait for an endpoint. Thread-safe. */
    public int held() {
        ServiceLimits known = limits;
        return known == null ? 0 : known.held();
    }

    /** Records that the service port no longer exists. */
    public void removed() {
        Set<EndpointTarget> before = targets(balancers);
        serving = Set.of();
        balancers = List.of();
        outOfUse = List.of();
        ejections.update(Balancing.DEFAULT, Set.of(), before);
    }

    /** The endpoints that get new connections, without duplicates. Thread-safe. */
    public Set<EndpointTarget> targetsInUse() {
        return targets(balancers);
    }

    private static Set<EndpointTarget> targets(List<Balancer> balancers) {
        Set<EndpointTarget> targets = Collections.newSetFromMap(new IdentityHashMap<>());
        balancers.forEach(balancer -> balancer.forEach(targets::add));
        return targets;
    }

    /**
     * Applies a new version of the service port and returns the routings of its frontends, in the same order.
     *
     * @param takenOut endpoints that an operator has taken out; they are not used
     * @param nowNanos the time at which new endpoints start to receive connections
     */
    public List<FrontendRouting> update(
            ServicePort servicePort,
            Function<IpAddress, Origin> originOf,
            Map<Endpoint, OutOfUse> takenOut,
            long nowNanos) {
        policy = servicePort.policy();
        serving = servicePort.servingEndpoints();
        BalancerUpdate update = new BalancerUpdate(servicePort, balancers, selection, this::target, nowNanos);
        selection = update.selection;
        List<FrontendRouting> routings = new ArrayList<>(servicePort.frontends().size());
        for (Frontend frontend : servicePort.frontends()) {
            routings.add(new FrontendRouting(
                    this,
                    servicePort,
                    frontend,
                    update.of(usable(frontend.pod(), takenOut)),
                    update.of(usable(frontend.node(), takenOut)),
                    update.of(usable(frontend.external(), takenOut)),
                    originOf,
                    true));
        }
        List<Balancer> updated = update.balancers;
        Set<EndpointTarget> targets = targets(updated);
        int maxConnections = servicePort.policy().limits().connectionsPerEndpoint();
        targets.forEach(target -> target.maxConnections(maxConnections));
        outOfUse = outOfUse(servicePort, takenOut, updated);
        Set<EndpointTarget> before = targets(balancers);
        balancers = updated;
        ejections.update(servicePort.policy().balancing(), targets, before);
        return routings;
    }

    /** The endpoints of any frontend that an operator has taken out, and those that are only used by old connections. */
    private List<EndpointTarget> outOfUse(
            ServicePort servicePort, Map<Endpoint, OutOfUse> takenOut, List<Balancer> updated) {
        Map<Endpoint, EndpointTarget> all = new LinkedHashMap<>();
        if (!takenOut.isEmpty()) {
            Set<Endpoint> endpoints = servicePort.endpoints();
            takenOut.forEach((endpoint, reason) -> {
                // A Service has several ports; an endpoint that this one has lost meanwhile stays listed.
                if (endpoints.contains(endpoint) || known(endpoint, List.of()) != null) {
                    EndpointTarget target = target(endpoint);
                    target.outOfUse(reason);
                    all.put(endpoint, target);
                }
            });
        }
        Consumer<EndpointTarget> keepIfActive = target -> {
            if (target.active() > 0 && find(target.endpoint, updated) == null && !all.containsKey(target.endpoint)) {
                boolean isServing = servicePort.servingEndpoints().contains(target.endpoint);
                target.removed(Instant.now(), drainNanos(servicePort.policy().lifetime(), isServing));
                all.put(target.endpoint, target);
            }
        };
        if (balancers != updated) {
            balancers.stream().filter(old -> !updated.contains(old)).forEach(old -> old.forEach(keepIfActive));
        }
        outOfUse.forEach(keepIfActive);
        updated.forEach(balancer -> balancer.forEach(target -> target.outOfUse(null)));
        return List.copyOf(all.values());
    }

    /** Time after which the connections of an endpoint without new ones are reset; negative if they are not. */
    private static long drainNanos(Lifetime lifetime, boolean isServing) {
        return lifetime.removal() == Removal.DRAIN && !isServing ? lifetime.drainNanos() : -1;
    }

    /**
     * The target of an endpoint to which a connection is open that another process has opened. It is listed even if the
     * service port no longer has the endpoint.
     */
    public EndpointTarget targetInUse(Endpoint endpoint) {
        EndpointTarget known = known(endpoint, List.of());
        if (known != null) {
            return known;
        }
        EndpointTarget created = newTarget(endpoint);
        created.removed(Instant.now(), drainNanos(policy.lifetime(), isServing(endpoint)));
        outOfUse = Stream.concat(outOfUse.stream(), Stream.of(created)).toList();
        return created;
    }

    /** The target of an endpoint that gets new connections or still has some; null if there is none. Thread-safe. */
    public @Nullable EndpointTarget targetOf(Endpoint endpoint) {
        return known(endpoint, List.of());
    }

    /** The health and counters of all endpoints. Thread-safe. */
    public List<EndpointStatus> endpoints() {
        Set<EndpointTarget> all = new LinkedHashSet<>();
        balancers.forEach(balancer -> balancer.forEach(all::add));
        outOfUse.stream().filter(EndpointTarget::isListed).forEach(all::add);
        return all.stream().map(EndpointTarget::status).toList();
    }

    /** The position of each balancer. */
    public List<Endpoint> turns() {
        return balancers.stream().map(Balancer::position).toList();
    }

    /**
     * Restores the state received from the old process. If the service port is equal in both, its balancers are in
     * the same order.
     */
    public void resume(BalancePosition before, long nowNanos) {
        for (int i = 0; i < Math.min(balancers.size(), before.turns().size()); i++) {
            balancers.get(i).resumeAt(before.turns().get(i));
        }
        for (BalancePosition.AffinityEntry entry : before.pins()) {
            affinityTable.hold(this, entry.client(), entry.endpoint(), nowNanos - entry.idleNanos());
        }
    }

    private static List<Endpoint> usable(Route route, Map<Endpoint, OutOfUse> takenOut) {
        return takenOut.isEmpty()
                ? route.endpoints()
                : route.endpoints().stream()
                        .filter(endpoint -> !takenOut.containsKey(endpoint))
                        .toList();
    }

    /** The target of an endpoint: the one in use or out of use, otherwise a new one. Thread-safe. */
    public EndpointTarget target(Endpoint endpoint) {
        return target(endpoint, List.of());
    }

    /** The target of an endpoint: the one in use or out of use, otherwise a new one. */
    private EndpointTarget target(Endpoint endpoint, Collection<Balancer> updated) {
        EndpointTarget known = known(endpoint, updated);
        return known == null ? newTarget(endpoint) : known;
    }

    private @Nullable EndpointTarget known(Endpoint endpoint, Collection<Balancer> updated) {
        EndpointTarget known = find(endpoint, updated);
        if (known == null) {
            known = find(endpoint, balancers);
        }
        if (known == null) {
            for (EndpointTarget target : outOfUse) {
                if (target.endpoint.equals(endpoint)) {
                    return target;
                }
            }
        }
        return known;
    }

    private static @Nullable EndpointTarget find(Endpoint endpoint, Collection<Balancer> balancers) {
        for (Balancer balancer : balancers) {
            EndpointTarget known = balancer.find(endpoint);
            if (known != null) {
                return known;
            }
        }
        return null;
    }
}
