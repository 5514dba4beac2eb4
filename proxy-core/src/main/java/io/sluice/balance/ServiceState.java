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
 * What outlives one snapshot of a service port: its counters, its cursors, and its identity, which is what affinity is
 * keyed by. Updated on the control side only.
 */
public final class ServiceState {
    public final ServiceStats stats;
    public final AffinityTable affinityTable;
    private List<RoundRobin> rotations = List.of();

    public ServiceState(ServiceStats stats, AffinityTable affinityTable) {
        this.stats = stats;
        this.affinityTable = affinityTable;
    }

    /** Takes over a new version of the service port; the answer has one routing per frontend, in its order. */
    public List<FrontendRouting> update(ServicePort servicePort, Function<IpAddress, Origin> originOf) {
        List<RoundRobin> next = new ArrayList<>();
        List<FrontendRouting> routings = new ArrayList<>(servicePort.frontends().size());
        for (Frontend frontend : servicePort.frontends()) {
            routings.add(new FrontendRouting(
                    this,
                    servicePort,
                    frontend,
                    rotation(frontend.pod(), next),
                    rotation(frontend.node(), next),
                    rotation(frontend.external(), next),
                    originOf));
        }
        rotations = next;
        return routings;
    }

    /** Whose turn it is in each rotation. */
    public List<Endpoint> turns() {
        return rotations.stream().map(RoundRobin::turn).toList();
    }

    /** Goes on where a predecessor stood; the same service port has the same rotations in the same order. */
    public void resume(BalancePosition before, long nowNanos) {
        for (int i = 0; i < Math.min(rotations.size(), before.turns().size()); i++) {
            rotations.get(i).resumeAt(before.turns().get(i));
        }
        for (BalancePosition.AffinityEntry pin : before.pins()) {
            affinityTable.hold(this, pin.client(), pin.endpoint(), nowNanos - pin.idleNanos());
        }
    }

    private @Nullable RoundRobin rotation(Route route, List<RoundRobin> next) {
        List<Endpoint> endpoints = route.endpoints();
        if (endpoints.isEmpty()) {
            return null;
        }
        for (RoundRobin sibling : next) {
            if (sibling.holds(endpoints)) {
                return sibling;
            }
        }
        RoundRobin rotation = RoundRobin.of(endpoints, rotations);
        next.add(rotation);
        return rotation;
    }
}
