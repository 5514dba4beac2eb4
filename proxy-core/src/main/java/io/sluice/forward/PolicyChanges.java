package io.sluice.forward;

import io.sluice.balance.ServiceState;
import io.sluice.model.Endpoint;
import io.sluice.model.Protocol;
import io.sluice.model.ServicePort;
import io.sluice.model.TrafficPolicy.Lifetime;
import io.sluice.model.TrafficPolicy.Removal;
import java.util.HashSet;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Set;
import java.util.concurrent.RejectedExecutionException;
import java.util.function.Consumer;
import java.util.function.Function;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Applies changes of service ports to open connections and flows, as their traffic policies require: changed limits and
 * timeouts, removed endpoints, and endpoints for connections that wait. Collects the changes of a snapshot, and visits
 * the connections once, after the new routes are published. Called under the forwarder's lock.
 */
final class PolicyChanges {
    private static final Logger log = LoggerFactory.getLogger(PolicyChanges.class);

    private final List<Loop> loops;
    private IdentityHashMap<ServiceState, Change> changes = new IdentityHashMap<>();

    /**
     * A change of a service port.
     *
     * @param gone endpoints that may keep their connections no longer
     */
    private record Change(boolean policyChanged, Set<Endpoint> gone, boolean serviceRemoved) {}

    PolicyChanges(List<Loop> loops) {
        this.loops = loops;
    }

    void changed(ServiceState service, ServicePort before, ServicePort after) {
        boolean policyChanged = !before.policy().equals(after.policy());
        Set<Endpoint> gone = Set.of();
        if (after.name().protocol() == Protocol.TCP && after.policy().lifetime().removal() != Removal.KEEP) {
            gone = new HashSet<>(before.servingEndpoints());
            gone.removeAll(after.servingEndpoints());
        }
        if (policyChanged || !gone.isEmpty() || service.held() > 0) {
            changes.put(service, new Change(policyChanged, gone, false));
        }
    }

    void removed(ServiceState service, ServicePort before) {
        boolean ends = before.policy().lifetime().removal() != Removal.KEEP;
        if (ends || service.held() > 0) {
            changes.put(service, new Change(false, ends ? before.servingEndpoints() : Set.of(), true));
        }
    }

    /**
     * Begins to visit the connections and flows of the changed service ports, a limited number per turn of a loop. The
     * new routes must be published.
     */
    void apply() {
        if (changes.isEmpty()) {
            return;
        }
        IdentityHashMap<ServiceState, Change> found = changes;
        changes = new IdentityHashMap<>();
        visit(loop -> loop.sessionList, entry -> {
            Change change = entry instanceof TcpSession session ? found.get(session.service) : null;
            if (change != null) {
                apply(change, (TcpSession) entry);
            }
        });
        if (found.values().stream().anyMatch(Change::policyChanged)) {
            visit(loop -> loop.flowList, entry -> {
                Change change = entry instanceof UdpFlow flow ? found.get(flow.routing.service()) : null;
                if (change != null && change.policyChanged) {
                    ((UdpFlow) entry).applyPolicy();
                }
            });
        }
    }

    private static void apply(Change change, TcpSession session) {
        if (change.policyChanged) {
            SessionPolicy.apply(session);
        }
        Lifetime lifetime = session.service.policy().lifetime();
        if (session.relay != null && change.gone.contains(session.endpoint())) {
            session.policyOrNew().endpointRemoved(lifetime);
        }
        Connector connector = session.connector;
        if (connector != null && change.serviceRemoved) {
            connector.endHold();
        } else if (connector != null) {
            connector.retryHold();
        }
    }

    /** Ends all connections that wait for an endpoint, because this process gets no more changes. */
    void endHolds() {
        visit(loop -> loop.sessionList, entry -> {
            if (entry instanceof TcpSession session && session.connector != null) {
                session.connector.endHold();
            }
        });
    }

    private void visit(Function<Loop, LoopList> listOf, Consumer<TimeoutEntry> action) {
        for (Loop loop : loops) {
            LoopWalk.start(loop, listOf.apply(loop), entry -> {
                        if (entry instanceof TimeoutEntry each) {
                            visit(each, action);
                        }
                        return true;
                    })
                    .addListener(done -> {
                        // A loop that has ended has no connections.
                        if (done.cause() != null && !(done.cause() instanceof RejectedExecutionException)) {
                            log.error("internal error; a change does not apply to all connections", done.cause());
                        }
                    });
        }
    }

    /** A fault ends only this connection or flow. */
    private static void visit(TimeoutEntry entry, Consumer<TimeoutEntry> action) {
        try {
            action.accept(entry);
        } catch (RuntimeException | Error fault) {
            entry.failInternally(fault);
        }
    }
}
