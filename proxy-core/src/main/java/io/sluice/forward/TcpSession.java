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
 * the thread of one loop.
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
    /** The client's address; replaced by that in a PROXY protocol header. */
    IpAddress clientAddress;

    int clientPort;
    final long openedNanos;
    final Leg client;

    /** Null if the traffic policy requires nothing of this connection. */
    @Nullable
    SessionPolicy policy;

    /** Used while connecting; null once an endpoint has accepted the connection. */
    @Nullable
    Connector connector;

    /** Used after connecting; null until an endpoint has accepted the connection. */
    @Nullable
    Relay relay;

    /** Time from {@link #openedNanos} until an endpoint accepted the connection; negative if none has. */
    long connectNanos = -1;

    /** Number of connection attempts. */
    int tries;

    private boolean over;
    /** Why the connection ended or will end once the last bytes are delivered; null while it is open. */
    private @Nullable End end;

    TcpSession(
            Loop loop,
            FrontendRoutes frontend,
            ServiceState service,
            InetSocket socket,
            IpAddress clientAddress,
            int clientPort,
            long openedNanos) {
        this.loop = loop;
        this.frontend = frontend;
        this.service = service;
        this.cells = service.stats.cells(loop.index);
        this.clientAddress = clientAddress;
        this.clientPort = clientPort;
        this.client = new Leg(this, socket, true);
        this.openedNanos = openedNanos;
    }

    /** Starts the connection: waits for a PROXY protocol header if the peer must send one, then connects. */
    void start(FrontendRouting routing) {
        count();
        try {
            if (routing.policy().proxyProtocol().acceptsFrom(clientAddress)) {
                policyOrNew().awaitHeader();
            } else {
                admit(routing);
            }
        } catch (RuntimeException | Error fault) {
            failInternally(fault);
        }
    }

    /** Counts the connection as open. */
    void count() {
        cells.increment(Counter.SESSIONS_ACTIVE);
        loop.sessionOpened(this);
        loop.clients.sessionOpened(clientAddress);
    }

    /** Applies the limits of the Service, then connects to an endpoint. Called again after the connection has waited. */
    @SuppressWarnings("ReferenceEquality") // each service port has a single state object
    void admit(FrontendRouting routing) {
        if (routing.service() != service) {
            // The frontend's address has moved to another Service.
            close(Counter.SESSIONS_REFUSED, End.REFUSED, true);
            return;
        }
        Counter refused =
                SessionPolicy.isNeeded(routing.policy()) ? policyOrNew().admit(routing.policy()) : null;
        if (refused != null) {
            close(refused, End.LIMIT, true);
            return;
        }
        Connector made = new Connector(this, new EndpointAttempts(frontend, service, peerAddress(), clientAddress));
        connector = made;
        made.start(routing);
    }

    /** Called when the endpoint of {@code leg} has accepted the connection; starts forwarding. */
    void connected(Leg leg, EndpointTarget target, long nowNanos) {
        connectNanos = nowNanos - openedNanos;
        Relay made = new Relay(this, client, leg, target);
        connector = null;
        relay = made;
        loop.timeouts.await(loop.timeouts.newSessions, this, nowNanos);
        service.stats.record(loop.index, Timing.CONNECT, nowNanos - connectStartNanos());
        try {
            made.start(service.policy().proxyProtocol().send());
        } catch (IOException e) {
            registrationFailed(e);
        }
        SessionPolicy.apply(this);
    }

    /** Ends the connection because the client's socket could not be registered. */
    void registrationFailed(IOException e) {
        ResourceExhaustion.Kind exhausted = ResourceExhaustion.Kind.errno(Errno.of(e));
        if (exhausted == null) {
            failInternally(e);
            return;
        }
        loop.exhaustion.note(exhausted);
        close(Counter.CONNECT_NO_RESOURCES, End.OVERLOAD, true);
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
        } else if (!over && policy != null && leg == client) {
            policy.onEarlyEvent(ops);
        }
    }

    @Override
    void expire(TimeoutQueue expiredIn, long nowNanos) {
        switch (expiredIn.kind) {
            case CONNECTING -> Objects.requireNonNull(connector).checkTimeout(nowNanos);
            case NEW_SESSION -> Objects.requireNonNull(relay).setLongLivedOptions(nowNanos);
            case UNACKNOWLEDGED -> Objects.requireNonNull(relay).checkStalled(nowNanos);
            case HALF_CLOSED -> close(Counter.SESSIONS_TIMED_OUT, End.HALF_CLOSED_TIMEOUT, true);
            default -> Objects.requireNonNull(policy).expired(expiredIn.kind, nowNanos);
        }
    }

    /** What the traffic policy requires of this connection; created if nothing was required so far. */
    SessionPolicy policyOrNew() {
        SessionPolicy known = policy == null ? new SessionPolicy(this, client) : policy;
        policy = known;
        return known;
    }

    /** When the first attempt to connect to an endpoint began. */
    long connectStartNanos() {
        return policy == null ? openedNanos : policy.connectStartNanos;
    }

    /** The address from which packets arrive, see {@link SessionPolicy#peer}. */
    IpAddress peerAddress() {
        return policy == null ? clientAddress : policy.peer;
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
        close(Counter.SESSIONS_CUT, End.SHUTDOWN, true);
    }

    /** Counts why the connection ends, and ends it; with {@code reset}, sends RST to both peers. */
    void close(Counter counter, End reason, boolean reset) {
        if (!over) {
            cells.increment(counter);
            end(reason, reset);
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
        ending(reason);
        leave();
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

    /** Ends all that the loop does for the connection, which is no longer counted as open. */
    void leave() {
        over = true;
        leaveQueue();
        cells.add(Counter.SESSIONS_ACTIVE, -1);
        loop.sessionClosed(this);
        loop.clients.sessionClosed(clientAddress);
        if (policy != null) {
            policy.release();
        }
    }

    /** The endpoint that accepted the connection or is being tried; null if there is none. */
    @Nullable
    Endpoint endpoint() {
        Relay relaying = relay;
        EndpointTarget target = relaying != null ? relaying.target : connector == null ? null : connector.target();
        return target == null ? null : target.endpoint;
    }

    private EndedConnection asEnded(long nowNanos) {
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
