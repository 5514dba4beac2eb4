package io.sluice.forward;

import io.sluice.balance.EndpointTarget;
import io.sluice.balance.FrontendRouting;
import io.sluice.balance.ServiceState;
import io.sluice.model.IpAddress;
import io.sluice.socket.Errno;
import io.sluice.socket.InetSocket;
import io.sluice.stats.Counter;
import io.sluice.stats.CounterCells;
import io.sluice.stats.Timing;
import java.io.IOException;
import java.util.Objects;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * One client connection and the endpoint connection made for it. Belongs to the loop that accepted it.
 *
 * <p>A {@link Connector} connects first; only then is the client read, so that nothing is lost by trying another endpoint.
 * Then a {@link Relay} passes bytes both ways. The session ends when both directions have ended, or when a {@link Leg}
 * fails:
 *
 * <table>
 * <caption>What one end does, and what the other end sees</caption>
 * <tr><td>FIN</td><td>everything sent before, then FIN; the other direction goes on</td></tr>
 * <tr><td>FIN, then nothing from the other end for the half-closed timeout</td><td>RST on both</td></tr>
 * <tr><td>RST, or no answer to keep-alive probes, or none to data for the stalled timeout</td>
 * <td>everything that had arrived here before, then RST; RST at once if it takes nothing of that for the half-closed
 * timeout</td></tr>
 * <tr><td>every endpoint refuses, or none answers before the deadline</td><td>RST at the client</td></tr>
 * </table>
 */
final class TcpSession extends TimeoutEntry {
    private static final Logger log = LoggerFactory.getLogger(TcpSession.class);

    final Loop loop;
    final ServiceState service;
    final CounterCells cells;
    final IpAddress clientAddress;
    final long openedNanos;
    private final Leg client;

    /** Null once the endpoint has answered; the relay is there from then on. */
    private @Nullable Connector connector;

    private @Nullable Relay relay;
    private boolean over;

    private TcpSession(
            Loop loop, FrontendRoutes frontend, FrontendRouting routing, InetSocket socket, IpAddress clientAddress) {
        this.loop = loop;
        this.service = routing.service();
        this.cells = service.stats.cells(loop.index);
        this.clientAddress = clientAddress;
        this.client = new Leg(this, socket, true);
        this.openedNanos = loop.now();
        this.connector =
                new Connector(this, new EndpointAttempts(frontend, service, clientAddress, loop.connectAttempts));
    }

    /** Owns the socket once it returns, whatever became of the session; an exception leaves it to the caller. */
    static void open(
            Loop loop, FrontendRoutes frontend, FrontendRouting routing, InetSocket socket, IpAddress clientAddress) {
        CounterCells cells = routing.service().stats.cells(loop.index);
        cells.increment(Counter.SESSIONS_OPENED);
        if (!loop.clients.admitsSession(clientAddress)) {
            cells.increment(Counter.SESSIONS_OVER_CLIENT_SHARE);
            loop.shortage.noteShare(clientAddress, loop.clients.percent());
            socket.resetOnClose();
            socket.closeQuietly();
            return;
        }
        new TcpSession(loop, frontend, routing, socket, clientAddress).begin(routing);
    }

    private void begin(FrontendRouting routing) {
        cells.increment(Counter.SESSIONS_ACTIVE);
        loop.sessionOpened();
        loop.clients.sessionOpened(clientAddress);
        try {
            Objects.requireNonNull(connector).begin(routing);
        } catch (RuntimeException | Error fault) {
            broke(fault);
        }
    }

    /** The endpoint behind {@code leg} has answered. */
    void connected(Leg leg, EndpointTarget target, long nowNanos) {
        Relay made = new Relay(this, client, leg, target);
        connector = null;
        relay = made;
        loop.timeouts.await(loop.timeouts.young, this, nowNanos);
        service.stats.record(loop.index, Timing.CONNECT, nowNanos - openedNanos);
        try {
            made.begin();
        } catch (IOException e) {
            ResourceExhaustion.Kind lacking = ResourceExhaustion.Kind.errno(Errno.of(e));
            if (lacking == null) {
                broke(e);
                return;
            }
            loop.shortage.note(lacking);
            cells.increment(Counter.CONNECT_NO_RESOURCES);
            end(true);
        }
    }

    void onEvent(Leg leg, int ops) {
        Connector connecting = connector;
        if (!over && connecting != null) {
            connecting.onEvent(leg, ops);
            // An endpoint that speaks first, or closes at once, says so in this same event.
        }
        Relay relaying = relay;
        if (!over && relaying != null) {
            relaying.onEvent(leg, ops);
        }
    }

    @Override
    void expire(TimeoutQueue waitedIn, long nowNanos) {
        if (waitedIn == loop.timeouts.connecting) {
            Objects.requireNonNull(connector).keepWaiting(nowNanos);
        } else if (waitedIn == loop.timeouts.young) {
            Objects.requireNonNull(relay).makeLasting(nowNanos);
        } else if (waitedIn == loop.timeouts.watched) {
            Objects.requireNonNull(relay).checkStalled(nowNanos);
        } else {
            cells.increment(Counter.SESSIONS_TIMED_OUT);
            end(true);
        }
    }

    boolean isOver() {
        return over;
    }

    @Override
    void broke(Throwable fault) {
        try {
            log.error("internal error; closing {}", this, fault);
        } finally {
            end(true);
        }
    }

    /** The loop ends. */
    void cut() {
        if (!over) {
            cells.increment(Counter.SESSIONS_CUT);
            end(true);
        }
    }

    /** Ends it once; with {@code reset}, both peers see RST. */
    void end(boolean reset) {
        if (over) {
            return;
        }
        over = true;
        leaveQueue();
        cells.add(Counter.SESSIONS_ACTIVE, -1);
        loop.sessionClosed();
        loop.clients.sessionClosed(clientAddress);
        Connector connecting = connector;
        Relay relaying = relay;
        try {
            client.release(loop, reset);
        } finally {
            if (connecting != null) {
                connecting.release();
            }
            if (relaying != null) {
                relaying.release(reset);
                service.stats.record(loop.index, Timing.SESSION, loop.now() - openedNanos);
            }
        }
    }

    @Override
    public String toString() {
        return "session of " + service.stats.name() + " from " + clientAddress;
    }
}
