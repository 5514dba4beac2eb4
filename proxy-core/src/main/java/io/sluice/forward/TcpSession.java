package io.sluice.forward;

import io.sluice.balance.EndpointTarget;
import io.sluice.balance.FrontendRouting;
import io.sluice.balance.ServiceState;
import io.sluice.forward.EndedConnection.End;
import io.sluice.model.Endpoint;
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
 * A proxied TCP connection, which consists of the client's connection and the connection to the endpoint. Used only by
 * the thread of the loop that accepted it.
 *
 * <p>First a {@link Connector} connects to an endpoint. Nothing is read from the client until that succeeds, so no
 * bytes are lost if another endpoint has to be tried. Then a {@link Relay} forwards bytes both ways. The connection
 * ends when both directions have ended, or when a {@link Leg} fails:
 *
 * <table>
 * <caption>Event at one peer, and what the other peer sees</caption>
 * <tr><td>FIN</td><td>all earlier bytes, then FIN; the other direction continues</td></tr>
 * <tr><td>FIN, then no byte from the other peer within the half-closed timeout</td><td>RST to both</td></tr>
 * <tr><td>RST, no reply to keep-alive probes, or no acknowledgement of data within the stalled timeout</td> <td>all
 * bytes that Sluice had received before, then RST; RST earlier if the other peer accepts none of them within the
 * half-closed timeout</td></tr>
 * <tr><td>all attempts fail, or none succeeds before the connect deadline</td><td>RST to the client</td></tr>
 * </table>
 */
final class TcpSession extends TimeoutEntry {
    private static final Logger log = LoggerFactory.getLogger(TcpSession.class);

    final Loop loop;
    final ServiceState service;
    final CounterCells cells;
    final FrontendRoutes frontend;
    final IpAddress clientAddress;
    final int clientPort;
    final long openedNanos;
    private final Leg client;

    /** Used while connecting; null once an endpoint has accepted the connection. */
    private @Nullable Connector connector;

    /** Used after connecting; null until an endpoint has accepted the connection. */
    private @Nullable Relay relay;

    /** Time from {@link #openedNanos} until an endpoint accepted the connection; negative if none has. */
    private long connectNanos = -1;

    /** Number of connection attempts. */
    int tries;

    private boolean over;
    /** Why the connection ended or will end once the last bytes are delivered; null while it is open. */
    private @Nullable End end;

    private TcpSession(
            Loop loop,
            FrontendRoutes frontend,
            FrontendRouting routing,
            InetSocket socket,
            IpAddress clientAddress,
            int clientPort) {
        this.loop = loop;
        this.frontend = frontend;
        this.service = routing.service();
        this.cells = service.stats.cells(loop.index);
        this.clientAddress = clientAddress;
        this.clientPort = clientPort;
        this.client = new Leg(this, socket, true);
        this.openedNanos = loop.now();
        this.connector =
                new Connector(this, new EndpointAttempts(frontend, service, clientAddress, loop.connectAttempts));
    }

    /**
     * Creates and starts a proxied connection, or resets the client connection if the client already holds its share.
     * Takes ownership of the socket unless this method throws.
     */
    static void open(
            Loop loop,
            FrontendRoutes frontend,
            FrontendRouting routing,
            InetSocket socket,
            IpAddress clientAddress,
            int clientPort) {
        CounterCells cells = routing.service().stats.cells(loop.index);
        cells.increment(Counter.SESSIONS_OPENED);
        if (!loop.clients.allowsSession(clientAddress)) {
            cells.increment(Counter.SESSIONS_OVER_CLIENT_SHARE);
            loop.exhaustion.noteClientLimit(clientAddress, loop.clients.percent());
            socket.resetOnClose();
            socket.closeQuietly();
            if (loop.reportsEnds()) {
                loop.ended(EndedConnection.limited(
                        routing.service().stats.name(), frontend.address, clientAddress, clientPort));
            }
            return;
        }
        new TcpSession(loop, frontend, routing, socket, clientAddress, clientPort).start(routing);
    }

    private void start(FrontendRouting routing) {
        cells.increment(Counter.SESSIONS_ACTIVE);
        loop.sessionOpened(this);
        loop.clients.sessionOpened(clientAddress);
        try {
            Objects.requireNonNull(connector).start(routing);
        } catch (RuntimeException | Error fault) {
            failInternally(fault);
        }
    }

    /** Called when the endpoint of {@code leg} has accepted the connection; starts forwarding. */
    void connected(Leg leg, EndpointTarget target, long nowNanos) {
        connectNanos = nowNanos - openedNanos;
        Relay made = new Relay(this, client, leg, target);
        connector = null;
        relay = made;
        loop.timeouts.await(loop.timeouts.newSessions, this, nowNanos);
        service.stats.record(loop.index, Timing.CONNECT, connectNanos);
        try {
            made.start();
        } catch (IOException e) {
            ResourceExhaustion.Kind exhausted = ResourceExhaustion.Kind.errno(Errno.of(e));
            if (exhausted == null) {
                failInternally(e);
                return;
            }
            loop.exhaustion.note(exhausted);
            cells.increment(Counter.CONNECT_NO_RESOURCES);
            end(End.OVERLOAD, true);
        }
    }

    void onEvent(Leg leg, int ops) {
        Connector connecting = connector;
        if (!over && connecting != null) {
            connecting.onEvent(leg, ops);
            // Continue with the relay, because the same event may also report bytes or a FIN from the endpoint.
        }
        Relay relaying = relay;
        if (!over && relaying != null) {
            relaying.onEvent(leg, ops);
        }
    }

    @Override
    void expire(TimeoutQueue expiredIn, long nowNanos) {
        if (expiredIn == loop.timeouts.connecting) {
            Objects.requireNonNull(connector).checkTimeout(nowNanos);
        } else if (expiredIn == loop.timeouts.newSessions) {
            Objects.requireNonNull(relay).setLongLivedOptions(nowNanos);
        } else if (expiredIn == loop.timeouts.unacknowledged) {
            Objects.requireNonNull(relay).checkStalled(nowNanos);
        } else {
            cells.increment(Counter.SESSIONS_TIMED_OUT);
            end(End.HALF_CLOSED_TIMEOUT, true);
        }
    }

    boolean isOver() {
        return over;
    }

    @Override
    void failInternally(Throwable fault) {
        try {
            log.error("internal error; closing {}", this, fault);
        } finally {
            end(End.ERROR, true);
        }
    }

    /** Resets the connection because the loop is shutting down. */
    void cut() {
        if (!over) {
            cells.increment(Counter.SESSIONS_CUT);
            end(End.SHUTDOWN, true);
        }
    }

    /** Records why the connection is about to end, unless that is already known. */
    void ending(End reason) {
        if (end == null) {
            end = reason;
        }
    }

    /** Ends the connection; with {@code reset}, sends RST to both peers. Idempotent. */
    void end(End reason, boolean reset) {
        if (over) {
            return;
        }
        over = true;
        ending(reason);
        leaveQueue();
        cells.add(Counter.SESSIONS_ACTIVE, -1);
        loop.sessionClosed(this);
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
            if (loop.reportsEnds()) {
                loop.ended(asEnded(loop.now()));
            }
        }
    }

    /** The endpoint that accepted the connection or is being tried; null if there is none. */
    @Nullable
    Endpoint endpoint() {
        Relay relaying = relay;
        EndpointTarget target = relaying != null ? relaying.target : connector == null ? null : connector.target();
        return target == null ? null : target.endpoint;
    }

    /** This connection for a listing. */
    ConnectionStatus status(long nowNanos) {
        Relay relaying = relay;
        return new ConnectionStatus(
                service.stats.name(),
                frontend.address,
                clientAddress,
                clientPort,
                endpoint(),
                relaying == null ? ConnectionStatus.State.CONNECTING : relaying.connectionState(),
                nowNanos - openedNanos,
                relaying == null ? 0 : relaying.bytesToEndpoint(),
                relaying == null ? 0 : relaying.bytesToClient());
    }

    /** This connection after its end. */
    EndedConnection asEnded(long nowNanos) {
        Relay relaying = relay;
        return new EndedConnection(
                service.stats.name(),
                frontend.address,
                clientAddress,
                clientPort,
                endpoint(),
                relaying == null ? 0 : relaying.bytesToEndpoint(),
                relaying == null ? 0 : relaying.bytesToClient(),
                nowNanos - openedNanos,
                connectNanos,
                tries,
                Objects.requireNonNull(end));
    }

    @Override
    public String toString() {
        return "connection to " + service.stats.name() + " from " + clientAddress;
    }
}
