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
import java.util.concurrent.RejectedExecutionException;
import java.util.function.Consumer;
import java.util.function.Function;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Applies changes of service ports to open connections and flows, as their traffic policy requires: changed limits and
 * timeouts, removed endpoints, and endpoints for connections that wait. Each change visits all connections and flows, a
 * limited number per turn of a loop. Called under the forwarder's lock, after the new routes are published.
 */
final class PolicyChanges {
    private static final Logger log = LoggerFactory.getLogger(PolicyChanges.class);

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
                    SessionPolicy.apply(session);
                }
                if (endsConnections && gone.contains(session.endpoint())) {
                    removed(session, lifetime);
                }
                if (session.policy != null) {
                    session.policy.retry();
                }
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
                removed(session, lifetime);
                if (session.policy != null && session.policy.isHolding()) {
                    session.close(Counter.SESSIONS_REFUSED, End.REFUSED, true);
                }
            });
        }
    }

    private static void removed(TcpSession session, TrafficPolicy.Lifetime lifetime) {
        if (session.relay != null && lifetime.removal() != TrafficPolicy.Removal.KEEP) {
            session.policyOrNew().endpointRemoved(lifetime);
        }
    }

    @SuppressWarnings("ReferenceEquality") // each service port has a single state object
    private void visitSessions(ServiceState service, Consumer<TcpSession> action) {
        visit(loop -> loop.sessionList, entry -> {
            if (entry instanceof TcpSession session && session.service == service) {
                action.accept(session);
            }
        });
    }

    @SuppressWarnings("ReferenceEquality") // as above
    private void visitFlows(ServiceState service, Consumer<UdpFlow> action) {
        visit(loop -> loop.flowList, entry -> {
            if (entry instanceof UdpFlow flow && flow.routing.service() == service) {
                action.accept(flow);
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
