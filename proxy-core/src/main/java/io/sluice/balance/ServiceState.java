package io.sluice.balance;

import io.sluice.model.Endpoint;
import io.sluice.model.Frontend;
import io.sluice.model.IpAddress;
import io.sluice.model.Origin;
import io.sluice.model.Route;
import io.sluice.model.ServicePort;
import io.sluice.stats.ServiceStats;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Function;
import org.jspecify.annotations.Nullable;

/**
 * The state of a service port that outlives a snapshot: its counters and round-robin positions. The identity of this
 * object is part of the key of session affinity entries. Updated by the control thread only.
 */
public final class ServiceState {
    public final ServiceStats stats;
    public final AffinityTable affinityTable;
    private List<RoundRobin> roundRobins = List.of();

    public ServiceState(ServiceStats stats, AffinityTable affinityTable) {
        this.stats = stats;
        this.affinityTable = affinityTable;
    }

    /** Applies a new version of the service port and returns the routings of its frontends, in the same order. */
    public List<FrontendRouting> update(ServicePort servicePort, Function<IpAddress, Origin> originOf) {
        List<RoundRobin> updated = new ArrayList<>();
        List<FrontendRouting> routings = new ArrayList<>(servicePort.frontends().size());
        for (Frontend frontend : servicePort.frontends()) {
            routings.add(new FrontendRouting(
                    this,
                    servicePort,
                    frontend,
                    roundRobin(frontend.pod(), updated),
                    roundRobin(frontend.node(), updated),
                    roundRobin(frontend.external(), updated),
                    originOf));
        }
        roundRobins = updated;
        return routings;
    }

    /** The next endpoint of each round robin. */
    public List<Endpoint> turns() {
        return roundRobins.stream().map(RoundRobin::peek).toList();
    }

    /**
     * Restores the state received from the old process. If the service port is equal in both, its round robins are in
     * the same order.
     */
    public void resume(BalancePosition before, long nowNanos) {
        for (int i = 0; i < Math.min(roundRobins.size(), before.turns().size()); i++) {
            roundRobins.get(i).resumeAt(before.turns().get(i));
        }
        for (BalancePosition.AffinityEntry entry : before.pins()) {
            affinityTable.hold(this, entry.client(), entry.endpoint(), nowNanos - entry.idleNanos());
        }
    }

    private @Nullable RoundRobin roundRobin(Route route, List<RoundRobin> updated) {
        List<Endpoint> endpoints = route.endpoints();
        if (endpoints.isEmpty()) {
            return null;
        }
        for (RoundRobin existing : updated) {
            if (existing.isFor(endpoints)) {
                return existing;
            }
        }
        RoundRobin roundRobin = RoundRobin.of(endpoints, roundRobins);
        updated.add(roundRobin);
        return roundRobin;
    }
}
