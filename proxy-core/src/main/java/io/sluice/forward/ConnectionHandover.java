package io.sluice.forward;

import io.netty.util.concurrent.Future;
import io.sluice.balance.EndpointHealth;
import io.sluice.balance.EndpointTarget;
import io.sluice.balance.FrontendRouting;
import io.sluice.balance.OutOfUse;
import io.sluice.balance.ServiceState;
import io.sluice.forward.EndedConnection.End;
import io.sluice.forward.MovedConnection.Forwarding;
import io.sluice.model.Frontend;
import io.sluice.model.FrontendAddress;
import io.sluice.model.Origin;
import io.sluice.model.Route;
import io.sluice.model.ServicePort;
import io.sluice.model.ServicePortName;
import io.sluice.model.SessionAffinity;
import io.sluice.socket.InetSocket;
import io.sluice.stats.Counter;
import io.sluice.stats.ServiceStats;
import io.sluice.stats.Stats;
import java.io.IOException;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.RejectedExecutionException;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Releases open TCP connections for another process, and continues those that another process has released. Used under
 * the forwarder's lock; the connections themselves are accessed on their loops.
 */
final class ConnectionHandover {
    private static final Logger log = LoggerFactory.getLogger(ConnectionHandover.class);

    /** Limits the size of a batch, and so the time for which its connections pause. */
    private static final int MAX_BUFFERED_BYTES = 1 << 20;

    private final FrontendTable table;
    private final List<Loop> loops;
    private final Stats stats;
    /** Service ports that exist only for received connections. */
    private final Map<ServicePortName, ServiceState> removedServices = new HashMap<>();

    private int nextLoop;

    ConnectionHandover(FrontendTable table, List<Loop> loops, Stats stats) {
        this.table = table;
        this.loops = loops;
        this.stats = stats;
    }

    /** See {@link Forwarder#releaseConnections}. */
    List<MovedConnection> release(int max) {
        for (int i = 0; i < loops.size(); i++) {
            Loop loop = loops.get(nextLoop++ % loops.size());
            if (loop.sessions() > 0) {
                Future<List<MovedConnection>> releasing = loop.executor.submit(() -> release(loop, max));
                if (!releasing.awaitUninterruptibly().isSuccess()) {
                    throw new IllegalStateException("internal error in event loop " + loop.index, releasing.cause());
                }
                if (!releasing.getNow().isEmpty()) {
                    return releasing.getNow();
                }
            }
        }
        return List.of();
    }

    /** Runs as a task of the loop, so no event of this round is left for the sockets. */
    private static List<MovedConnection> release(Loop loop, int max) {
        List<MovedConnection> released = new ArrayList<>();
        int bufferedBytes = 0;
        ListEntry next = loop.sessionList.first();
        while (next != null && released.size() < max && bufferedBytes < MAX_BUFFERED_BYTES) {
            ListEntry entry = next;
            next = entry.after;
            if (entry instanceof TcpSession session && SessionState.isMovable(session)) {
                try {
                    MovedConnection moved = SessionState.release(session);
                    bufferedBytes += moved.bufferedBytes();
                    released.add(moved);
                } catch (RuntimeException | Error fault) {
                    // The connections that were released before are not lost.
                    session.failInternally(fault);
                }
            }
        }
        return released;
    }

    /** @param received whether to count the connections as received from another process */
    void resume(List<MovedConnection> connections, boolean received) {
        List<Future<?>> resuming = new ArrayList<>(connections.size());
        for (MovedConnection moved : connections) {
            try {
                resuming.add(resume(moved, received));
            } catch (RejectedExecutionException e) {
                // The loop has ended because this process ends.
                reset(moved);
            }
        }
        for (Future<?> each : resuming) {
            if (!each.awaitUninterruptibly().isSuccess()) {
                log.error("internal error; a connection from another process has ended", each.cause());
            }
        }
    }

    private Future<?> resume(MovedConnection moved, boolean received) {
        ServiceState known = table.services.get(moved.service());
        ServiceState service = known == null ? removedService(moved.service()) : known;
        FrontendRoutes routes = routes(moved.frontend(), service);
        Forwarding forwarding = moved.forwarding();
        EndpointTarget target = forwarding == null ? null : service.targetInUse(forwarding.endpoint());
        OutOfUse outOfUse =
                target == null ? null : table.takenOut.of(moved.service()).get(target.endpoint);
        boolean disabled = outOfUse != null && outOfUse.state() == EndpointHealth.State.DISABLED;
        Loop loop = loops.get(nextLoop++ % loops.size());
        return loop.executor.submit(() -> {
            TcpSession session = SessionState.resume(loop, routes, service, target, moved, known == null);
            if (received) {
                session.cells.increment(Counter.SESSIONS_RECEIVED);
            }
            if (disabled) {
                session.end(End.REMOVED, true);
            }
            return session;
        });
    }

    /** Resets connections that this process cannot continue. */
    static void reset(MovedConnection moved) {
        for (int descriptor : MovedConnection.descriptors(List.of(moved))) {
            try {
                InetSocket socket = InetSocket.adopt(descriptor);
                socket.endForAll(true);
                socket.closeQuietly();
            } catch (IOException e) {
                log.debug("descriptor {} is not a socket", descriptor, e);
            }
        }
    }

    private ServiceState removedService(ServicePortName name) {
        return removedServices.computeIfAbsent(name, unknown -> {
            ServiceStats counters = stats.open(name);
            stats.close(counters);
            return new ServiceState(counters, table.affinityTable, change -> {});
        });
    }

    /** The routes of a frontend or, if it does not belong to this service port any more, routes that reject clients. */
    @SuppressWarnings("ReferenceEquality") // each service port has a single state object
    private FrontendRoutes routes(FrontendAddress address, ServiceState service) {
        BoundFrontend bound = table.frontends.get(address);
        if (bound != null && bound.routes.routing.service() == service) {
            return bound.routes;
        }
        Frontend frontend = Frontend.of(address, Route.REJECT);
        ServicePort servicePort =
                new ServicePort(service.stats.name(), SessionAffinity.NONE, Set.of(), List.of(frontend));
        FrontendRouting rejecting =
                new FrontendRouting(service, servicePort, frontend, null, null, null, ip -> Origin.EXTERNAL, false);
        return new FrontendRoutes(address, rejecting, failed -> {});
    }
}
