package io.sluice.forward;

import io.sluice.balance.EndpointTarget;
import io.sluice.socket.Errno;
import io.sluice.stats.Counter;
import io.sluice.stats.Timing;
import java.io.IOException;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Passes bytes between the two legs of a connected {@link TcpSession}: events of the legs, turns, and what one direction
 * means for the other. Belongs to the session's loop.
 */
final class Relay implements Runnable {
    private static final Logger log = LoggerFactory.getLogger(Relay.class);

    /** How often to look whether the last bytes before a reset have arrived. */
    private static final long DELIVERY_CHECK_MILLIS = 20;

    private final TcpSession session;
    private final Loop loop;
    private final Leg client;
    private final Leg endpoint;
    private final EndpointTarget target;
    private final Direction toEndpoint;
    private final Direction toClient;
    private boolean firstByteSeen;
    private boolean turnScheduled;

    Relay(TcpSession session, Leg client, Leg endpoint, EndpointTarget target) {
        this.session = session;
        this.loop = session.loop;
        this.client = client;
        this.endpoint = endpoint;
        this.target = target;
        this.toEndpoint = new Direction(this, loop, client, endpoint, Counter.BYTES_TO_ENDPOINT);
        this.toClient = new Direction(this, loop, endpoint, client, Counter.BYTES_TO_CLIENT);
    }

    /** Starts to read the client; fails if its socket cannot be registered. */
    void begin() throws IOException {
        // What the client sent meanwhile goes first and its socket is watched after: that spares a wake-up.
        client.readable = true;
        toEndpoint.pump();
        if (!session.isOver()) {
            endpoint.completeHandshake();
        }
        if (!session.isOver() && !client.isRegistered()) {
            client.register(loop, toClient.holds());
        }
    }

    void onEvent(Leg leg, int ops) {
        if (leg != client && leg != endpoint) {
            return;
        }
        Direction reading = leg == client ? toEndpoint : toClient;
        Direction writing = leg == client ? toClient : toEndpoint;
        if ((ops & Leg.EPOLLERR) != 0 && !reading.state().reads()) {
            // Its end was read before, so no read will tell what happened since.
            leg.failed(leg.takeError());
            fail(reading);
            return;
        }
        if ((ops & (Leg.EPOLLRDHUP | Leg.EPOLLHUP | Leg.EPOLLERR)) != 0) {
            leg.leaving = true;
            if (reading.holds()) {
                awaitReader();
            }
        }
        if ((ops & (Leg.EPOLLRDHUP | Leg.EPOLLHUP | Leg.EPOLLERR | Leg.EPOLLPRI)) != 0) {
            leg.hungUp = true;
            leg.readable = true;
        }
        if ((ops & Leg.EPOLLIN) != 0) {
            leg.readable = true;
        }
        if ((ops & Leg.EPOLLOUT) != 0 && writing.holds()) {
            writing.flush();
        }
        reading.pump();
    }

    /** Goes on with what its turn was too short for. */
    @Override
    public void run() {
        turnScheduled = false;
        try {
            toEndpoint.pump();
            toClient.pump();
        } catch (RuntimeException | Error fault) {
            session.broke(fault);
        }
    }

    void takeTurnLater() {
        if (!turnScheduled) {
            turnScheduled = true;
            loop.executor.execute(this);
        }
    }

    /** Sets what a connection of less than two seconds does without. */
    void makeLasting(long nowNanos) {
        endpoint.makeLasting(loop.keepAlive);
        watch(nowNanos);
    }

    /** Has the session checked while a leg may have output that its peer has not acknowledged. */
    private void watch(long nowNanos) {
        if (session.queue == null && (client.mayHaveOutput() || endpoint.mayHaveOutput())) {
            loop.timeouts.await(loop.timeouts.watched, session, nowNanos);
        }
    }

    /** Ends the session if a peer has not acknowledged anything for the stalled timeout. */
    void checkStalled(long nowNanos) {
        long timeoutNanos = loop.stalledTimeoutNanos;
        if (client.isStalled(loop.tcpInfo, toClient.holds(), timeoutNanos, nowNanos)) {
            client.failed(Errno.ETIMEDOUT);
            fail(toEndpoint);
        } else if (endpoint.isStalled(loop.tcpInfo, toEndpoint.holds(), timeoutNanos, nowNanos)) {
            endpoint.failed(Errno.ETIMEDOUT);
            fail(toClient);
        } else {
            watch(nowNanos);
        }
    }

    Direction opposite(Direction direction) {
        return direction == toEndpoint ? toClient : toEndpoint;
    }

    boolean isOver() {
        return session.isOver();
    }

    /** So many bytes were written, or are held for the reader. */
    void passed(Counter bytes, int length) {
        if (session.queue == null) {
            watch(loop.now());
        }
        stayAlive();
        session.cells.add(bytes, length);
        if (bytes == Counter.BYTES_TO_CLIENT && !firstByteSeen) {
            firstByteSeen = true;
            session.service.stats.record(loop.index, Timing.FIRST_BYTE, loop.now() - session.openedNanos);
        }
    }

    /** Half closed and not silent: the wait starts again. */
    void stayAlive() {
        if (session.queue == loop.timeouts.halfClosed) {
            awaitEnd();
        }
    }

    /** Ends the session after the half-closed timeout, unless bytes pass. */
    void awaitEnd() {
        loop.timeouts.await(loop.timeouts.halfClosed, session, loop.now());
    }

    /** The sender is leaving, and its last bytes have to wait for the reader: not for ever. */
    void awaitReader() {
        if (session.queue != loop.timeouts.halfClosed) {
            awaitEnd();
        }
    }

    /** Both directions have ended. */
    void ended() {
        session.end(false);
    }

    /** There is no memory for what a reader does not take. */
    void shed() {
        session.cells.increment(Counter.SESSIONS_SHED);
        session.end(true);
    }

    /** The sender of this direction was reset or is lost; the reader gets what had arrived for it, then a reset too. */
    void fail(Direction dead) {
        if (session.isOver() || dead.state() == Direction.State.DELIVERING || dead.state() == Direction.State.CLOSED) {
            return;
        }
        countFailure(dead.from);
        dead.enter(Direction.State.DELIVERING);
        opposite(dead).enter(Direction.State.CLOSED);
        assert isLegal();
        if (dead.holds()) {
            awaitEnd();
        } else {
            resetOnceDelivered(dead.to);
        }
    }

    /** Whether the directions may be in their states together. */
    boolean isLegal() {
        return toEndpoint.state().mayStandBeside(toClient.state());
    }

    private void countFailure(Leg dead) {
        boolean ofClient = dead == client;
        if (!dead.hasLostPeer()) {
            session.cells.increment(ofClient ? Counter.SESSIONS_RESET_BY_CLIENT : Counter.SESSIONS_RESET_BY_ENDPOINT);
            return;
        }
        session.cells.increment(ofClient ? Counter.SESSIONS_CLIENT_LOST : Counter.SESSIONS_ENDPOINT_LOST);
        log.debug(
                "{}: no answer from {} to data or keep-alive probes; resetting the connection",
                session,
                ofClient ? "the client" : target);
    }

    /** A reset makes the kernel drop what it has not sent yet, so it has to wait until that has arrived. */
    void resetOnceDelivered(Leg leg) {
        if (session.isOver()) {
            return;
        }
        if (!loop.tcpInfo.read(leg.socket) || !loop.tcpInfo.hasOutput()) {
            session.end(true);
            return;
        }
        if (session.queue != loop.timeouts.halfClosed) {
            awaitEnd();
        }
        loop.timeouts.later(() -> resetOnceDelivered(leg), DELIVERY_CHECK_MILLIS);
    }

    /** Drops what is held, and lets go of the endpoint's socket. */
    void release(boolean reset) {
        toEndpoint.dropHeld();
        toClient.dropHeld();
        endpoint.release(loop, reset);
    }
}
