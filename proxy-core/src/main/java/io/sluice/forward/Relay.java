package io.sluice.forward;

import io.sluice.balance.EndpointTarget;
import io.sluice.forward.EndedConnection.End;
import io.sluice.model.TrafficPolicy.ProxyHeader;
import io.sluice.socket.Errno;
import io.sluice.stats.Counter;
import io.sluice.stats.EndpointCells;
import io.sluice.stats.Timing;
import java.io.IOException;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Forwards bytes between the two legs of an established {@link TcpSession}. Dispatches events to the two {@link
 * Direction}s and decides how the end or failure of one affects the other. Used only by the loop's thread.
 */
final class Relay implements Runnable {
    private static final Logger log = LoggerFactory.getLogger(Relay.class);

    /** Interval at which to check whether the last bytes before a reset were acknowledged. */
    private static final long DELIVERY_CHECK_MILLIS = 20;

    private final TcpSession session;
    final Loop loop;
    final Leg client;
    final Leg endpoint;
    final EndpointTarget target;
    final EndpointCells endpointCells;
    final Direction toEndpoint;
    final Direction toClient;
    boolean firstByteSeen;
    private boolean continuationScheduled;

    Relay(TcpSession session, Leg client, Leg endpoint, EndpointTarget target) {
        this.session = session;
        this.loop = session.loop;
        this.client = client;
        this.endpoint = endpoint;
        this.target = target;
        this.endpointCells = target.cells(loop.index);
        this.toEndpoint = new Direction(this, client, endpoint, Counter.BYTES_TO_ENDPOINT);
        this.toClient = new Direction(this, endpoint, client, Counter.BYTES_TO_CLIENT);
    }

    /** Starts forwarding; throws if the client's socket cannot be registered. */
    void start(ProxyHeader header) throws IOException {
        endpointCells.opened();
        if (header != ProxyHeader.NONE) {
            toEndpoint.writeHeader(ProxyHeaders.write(
                    header, session.frontend.address, session.clientAddress, session.clientPort, client.socket, loop));
        }
        if (session.policy != null) {
            toEndpoint.forwardFirst(session.policy.takePayload());
        }
        // The client has often sent bytes by now. Reading them before registering the client's socket saves a wake-up.
        client.readable = true;
        toEndpoint.pump();
        if (!session.isOver()) {
            endpoint.completeHandshake();
        }
        if (!session.isOver() && !client.isRegistered()) {
            client.register(loop, toClient.hasPending());
        }
    }

    void onEvent(Leg leg, int ops) {
        if (leg != client && leg != endpoint) {
            return;
        }
        Direction reading = leg == client ? toEndpoint : toClient;
        Direction writing = leg == client ? toClient : toEndpoint;
        if ((ops & EpollFlags.ERR) != 0 && !reading.state().reads()) {
            // The end of the stream was already read from this leg, so no further read will report the error.
            leg.failed(leg.takeError());
            fail(reading);
            return;
        }
        if ((ops & (EpollFlags.RDHUP | EpollFlags.HUP | EpollFlags.ERR)) != 0) {
            leg.peerClosed = true;
            if (reading.hasPending()) {
                ensureHalfClosedTimeout();
            }
        }
        if ((ops & (EpollFlags.RDHUP | EpollFlags.HUP | EpollFlags.ERR | EpollFlags.PRI)) != 0) {
            leg.readUntilEmpty = true;
            leg.readable = true;
        }
        if ((ops & EpollFlags.PRI) != 0) {
            leg.socket.keepUrgentData();
        }
        if ((ops & EpollFlags.IN) != 0) {
            leg.readable = true;
        }
        if ((ops & EpollFlags.OUT) != 0 && writing.hasPending()) {
            writing.flush();
        }
        reading.pump();
    }

    /** Continues the work that {@link #continueLater} postponed. */
    @Override
    public void run() {
        continuationScheduled = false;
        try {
            toEndpoint.pump();
            toClient.pump();
        } catch (RuntimeException | Error fault) {
            session.failInternally(fault);
        }
    }

    /** Schedules {@link #run} after the loop's other events, so that other connections are not delayed. */
    void continueLater() {
        if (!continuationScheduled) {
            continuationScheduled = true;
            loop.executor.execute(this);
        }
    }

    /** Called when the connection is two seconds old; enables keep-alive and starts the stall check. */
    void setLongLivedOptions(long nowNanos) {
        endpoint.setLongLivedOptions(loop.keepAlive);
        startStallCheck(nowNanos);
    }

    /** Schedules the next stall check, if a leg may have unacknowledged output and no other timeout is running. */
    void startStallCheck(long nowNanos) {
        if (session.queue == null && (client.mayHaveOutput() || endpoint.mayHaveOutput())) {
            loop.timeouts.await(loop.timeouts.unacknowledged, session, nowNanos);
        }
    }

    /** Ends the connection if a peer has neither acknowledged output nor sent anything for the stalled timeout. */
    void checkStalled(long nowNanos) {
        long timeoutNanos = loop.stalledTimeoutNanos;
        if (client.isStalled(loop.tcpInfo, toClient.hasPending(), timeoutNanos, nowNanos)) {
            client.failed(Errno.ETIMEDOUT);
            fail(toEndpoint);
        } else if (endpoint.isStalled(loop.tcpInfo, toEndpoint.hasPending(), timeoutNanos, nowNanos)) {
            endpoint.failed(Errno.ETIMEDOUT);
            fail(toClient);
        } else {
            startStallCheck(nowNanos);
        }
    }

    Direction opposite(Direction direction) {
        return direction == toEndpoint ? toClient : toEndpoint;
    }

    boolean isOver() {
        return session.isOver();
    }

    /** Records forwarded bytes, whether already written to the reader or still pending. */
    void forwarded(Counter bytes, int length) {
        if (session.queue == null) {
            startStallCheck(loop.now());
        }
        bytesMoved();
        session.cells.add(bytes, length);
        if (bytes == Counter.BYTES_TO_ENDPOINT) {
            endpointCells.toEndpoint(length);
            return;
        }
        endpointCells.toClient(length);
        if (!firstByteSeen) {
            firstByteSeen = true;
            session.service.stats.record(loop.index, Timing.FIRST_BYTE, loop.now() - session.openedNanos);
        }
    }

    /** Restarts the timeouts that are running, because bytes were read or written. */
    void bytesMoved() {
        if (Timeouts.isHalfClosed(session)) {
            startHalfClosedTimeout();
        }
        if (session.policy != null) {
            session.policy.active();
        }
    }

    /** Starts the half-closed timeout; if no bytes are forwarded before it expires, the connection is reset. */
    void startHalfClosedTimeout() {
        loop.timeouts.startHalfClosed(session, session.service.policy().timeouts());
    }

    /** Starts the half-closed timeout unless it is running: the last bytes of a sender wait for the reader. */
    void ensureHalfClosedTimeout() {
        if (!Timeouts.isHalfClosed(session)) {
            startHalfClosedTimeout();
        }
    }

    /** Whether bytes wait for a reader. */
    boolean hasPending() {
        return toEndpoint.hasPending() || toClient.hasPending();
    }

    /** Whether no byte is on its way in either direction. */
    boolean isQuiet() {
        return connectionState() == ConnectionStatus.State.OPEN
                && !hasPending()
                && client.isAcknowledged(loop.tcpInfo)
                && endpoint.isAcknowledged(loop.tcpInfo);
    }

    /** Ends the connection after both peers have sent FIN, the sender of {@code last} after the other. */
    void bothEnded(Direction last) {
        session.end(last == toClient ? End.CLIENT_CLOSED : End.ENDPOINT_CLOSED, false);
    }

    /** Resets the connection because there is no memory to buffer bytes for its reader. */
    void shed() {
        session.close(Counter.SESSIONS_SHED, End.OVERLOAD, true);
    }

    /**
     * Ends the connection after the sender of this direction reset it or was lost: delivers pending bytes, then resets
     * the reader's connection.
     */
    void fail(Direction dead) {
        if (session.isOver() || dead.state() == DirectionState.DELIVERING || dead.state() == DirectionState.CLOSED) {
            return;
        }
        countFailure(dead.from);
        dead.enter(DirectionState.DELIVERING);
        opposite(dead).enter(DirectionState.CLOSED);
        assert isLegal();
        if (dead.hasPending()) {
            startHalfClosedTimeout();
        } else {
            resetOnceDelivered(dead.to);
        }
    }

    /** Whether the states of the two directions are a legal combination. */
    boolean isLegal() {
        return toEndpoint.state().isLegalWith(toClient.state());
    }

    private void countFailure(Leg dead) {
        boolean ofClient = dead == client;
        if (!dead.hasLostPeer()) {
            session.ending(ofClient ? End.CLIENT_RESET : End.ENDPOINT_RESET);
            session.cells.increment(ofClient ? Counter.SESSIONS_RESET_BY_CLIENT : Counter.SESSIONS_RESET_BY_ENDPOINT);
            return;
        }
        session.ending(ofClient ? End.CLIENT_LOST : End.ENDPOINT_LOST);
        session.cells.increment(ofClient ? Counter.SESSIONS_CLIENT_LOST : Counter.SESSIONS_ENDPOINT_LOST);
        log.debug("{}: {} acknowledges neither data nor probes; reset", session, ofClient ? "the client" : target);
    }

    /**
     * Resets the connection once this leg's output is acknowledged, because a reset makes the kernel discard unsent
     * bytes.
     */
    void resetOnceDelivered(Leg leg) {
        if (session.isOver()) {
            return;
        }
        if (!loop.tcpInfo.read(leg.socket) || !loop.tcpInfo.hasOutput()) {
            // The reason was recorded when the peer failed.
            session.end(End.ERROR, true);
            return;
        }
        ensureHalfClosedTimeout();
        loop.timeouts.later(() -> resetOnceDelivered(leg), DELIVERY_CHECK_MILLIS);
    }

    long bytesToEndpoint() {
        return toEndpoint.bytes();
    }

    long bytesToClient() {
        return toClient.bytes();
    }

    /** The state of the connection, for listings. */
    ConnectionStatus.State connectionState() {
        DirectionState one = toEndpoint.state();
        DirectionState other = toClient.state();
        if (one == DirectionState.OPEN && other == DirectionState.OPEN) {
            return ConnectionStatus.State.OPEN;
        }
        return one == DirectionState.ENDED || other == DirectionState.ENDED
                ? ConnectionStatus.State.HALF_CLOSED
                : ConnectionStatus.State.CLOSING;
    }

    /** Discards pending bytes and closes the endpoint's socket. */
    void release(boolean reset) {
        endpointCells.closed();
        toEndpoint.dropPending();
        toClient.dropPending();
        endpoint.release(loop, reset);
    }
}
