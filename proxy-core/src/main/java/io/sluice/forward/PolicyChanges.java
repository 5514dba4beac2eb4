package io.sluice.forward;

import io.sluice.balance.ServiceState;
import io.sluice.forward.EndedConnection.End;
import io.sluice.model.Endpoint;
import io.sluice.model.ServicePort;
import io.sluice.model.TrafficPolicy;
import io.sluice.stats.Counter;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.function.Consumer;

/**
 * Applies changes of service ports to open connections and flows, as their traffic policy requires: changed limits and
 * timeouts, removed endpoints, and endpoints for connections that wait. Each change visits all connections and flows, a
 * limited number per turn of a loop. Called under the forwarder's lock, after the new routes are published.
 */
final class PolicyChanges {
    private final List<Loop> loops;

    PolicyChanges(List<Loop> loops) {
        this.loops = loops;
    }

    void changed(ServiceState service, ServicePort before, ServicePort after) {
        Set<Endpoint> gone = new HashSet<>(before.servingEndpoints());
        gone.removeAll(after.servingEndpoints());
        boolean policyChanged = !before.policy().equals(after.policy());
        TrafficPolicy.Lifetime lifetime = after.policy().lifetime();
        boolean endsConnections = !gone.isEmpty() && lifetime.removal() != TrafficPolicy.Removal.KEEP;
        if (policyChanged || endsConnections || service.held() > 0) {
            visitSessions(service, session -> {
                if (policyChanged) {
                    SessionPolicy.apply(session, session.loop.now());
                }
                if (endsConnections && gone.contains(session.endpoint())) {
                    SessionPolicy.endpointRemoved(session, lifetime);
                }
                EarlyState.retry(session);
            });
        }
        if (policyChanged) {
            visitFlows(service, flow -> flow.apply(after.policy()));
        }
    }

    void removed(ServiceState service, ServicePort before) {
        TrafficPolicy.Lifetime lifetime = before.policy().lifetime();
        if (lifetime.removal() != TrafficPolicy.Removal.KEEP || service.held() > 0) {
            visitSessions(service, session -> {
                SessionPolicy.endpointRemoved(session, lifetime);
                if (session.early != null && session.early.isHolding()) {
                    session.close(Counter.SESSIONS_REFUSED, End.REFUSED, true);
                }
            });
        }
    }

    @SuppressWarnings("ReferenceEquality") // each service port has a single state object
    private void visitSessions(ServiceState service, Consumer<TcpSession> action) {
        for (Loop loop : loops) {
            start(loop, loop.sessionList, entry -> {
                if (entry instanceof TcpSession session && session.service == service) {
                    action.accept(session);
                }
            });
        }
    }

    @SuppressWarnings("ReferenceEquality") // as above
    private void visitFlows(ServiceState service, Consumer<UdpFlow> action) {
        for (Loop loop : loops) {
            start(loop, loop.flowList, entry -> {
                if (entry instanceof UdpFlow flow && flow.routing.service() == service) {
                    action.accept(flow);
                }
            });
        }
    }

    private static void start(Loop loop, LoopList list, Consumer<ListEntry> action) {
        LoopWalk.start(loop, list, entry -> {
            action.accept(entry);
            return true;
        });
    }
}
