package io.sluice.forward;

import io.sluice.balance.EndpointTarget;
import io.sluice.balance.ServiceState;
import io.sluice.forward.MovedConnection.Forwarding;
import io.sluice.forward.MovedConnection.Stream;
import io.sluice.socket.InetSocket;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;

/**
 * Converts a {@link TcpSession} to a {@link MovedConnection}, which another process continues, and back. Used only by
 * the loop's thread.
 */
final class SessionState {
    private SessionState() {}

    /**
     * Whether the connection consists of nothing but state and sockets: it forwards, or it waits for an endpoint.
     * Otherwise, it is being established or is about to be reset, which ends within a timeout.
     */
    static boolean isMovable(TcpSession session) {
        Relay relay = session.relay;
        if (relay == null) {
            return session.connector != null && session.connector.isHolding();
        }
        return relay.connectionState() != ConnectionStatus.State.CLOSING;
    }

    /**
     * Ends the session without closing its sockets. Must not be called while an event is handled, because events for
     * the sockets may follow.
     */
    static MovedConnection release(TcpSession session) {
        SessionPolicy policy = session.policy;
        Relay relay = session.relay;
        // Everything that can fail comes first, while the session can still be reset.
        Stream toEndpoint = relay == null ? null : relay.toEndpoint.release();
        Stream toClient = relay == null ? null : relay.toClient.release();
        MovedConnection moved = new MovedConnection(
                session.client.socket.intValue(),
                session.frontend.address,
                session.service.stats.name(),
                session.peerAddress(),
                session.clientAddress,
                session.clientPort,
                session.loop.now() - session.openedNanos,
                session.tries,
                ByteBuffer.wrap(policy == null ? HeaderWait.NOTHING : policy.takePayload()),
                relay == null || toEndpoint == null || toClient == null
                        ? null
                        : new Forwarding(
                                relay.endpoint.socket.intValue(),
                                relay.target.endpoint,
                                session.connectNanos,
                                policy == null ? -1 : policy.timers.drainNanos(session.loop.now()),
                                toEndpoint,
                                toClient));
        session.leave();
        if (session.connector != null) {
            session.connector.release();
        }
        session.client.release();
        if (relay != null) {
            relay.endpointCells.closed();
            relay.endpoint.release();
        }
        return moved;
    }

    /**
     * Continues a released connection.
     *
     * @param target the endpoint; null if the client waits for one
     * @param serviceRemoved whether the service port exists only for this connection
     * @throws IOException if a descriptor is not a socket; both are closed then
     */
    static TcpSession resume(
            Loop loop,
            FrontendRoutes frontend,
            ServiceState service,
            @Nullable EndpointTarget target,
            MovedConnection moved,
            boolean serviceRemoved)
            throws IOException {
        Forwarding forwarding = moved.forwarding();
        InetSocket client;
        try {
            client = InetSocket.adopt(moved.descriptor());
        } catch (IOException e) {
            if (forwarding != null) {
                InetSocket.close(forwarding.descriptor());
            }
            throw e;
        }
        TcpSession session = new TcpSession(
                loop, frontend, service, client, moved.peer(), moved.clientPort(), loop.now() - moved.ageNanos());
        session.tries = moved.tries();
        if (forwarding == null || !moved.peer().equals(moved.client())) {
            // Keeps the address of the peer.
            SessionPolicy created = session.policyOrNew();
            assert created.peer.equals(moved.peer());
        }
        session.clientAddress = moved.client();
        if (forwarding == null || target == null) {
            resumeWait(session, moved);
            return session;
        }
        InetSocket endpoint;
        try {
            endpoint = InetSocket.adopt(forwarding.descriptor());
        } catch (IOException e) {
            client.closeQuietly();
            throw e;
        }
        session.count();
        resume(session, new Relay(session, session.client, new Leg(session, endpoint, false), target), forwarding);
        resumeDrain(session, forwarding.drainNanos(), serviceRemoved);
        return session;
    }

    private static void resumeWait(TcpSession session, MovedConnection moved) {
        session.count();
        try {
            byte[] unsent = new byte[moved.unsent().remaining()];
            moved.unsent().get(moved.unsent().position(), unsent);
            session.policyOrNew().resumeWait(unsent, session.service.policy());
            session.admit(session.frontend.routing);
        } catch (RuntimeException | Error fault) {
            session.failInternally(fault);
        }
    }

    private static void resume(TcpSession session, Relay relay, Forwarding from) {
        session.connectNanos = from.connectNanos();
        session.relay = relay;
        relay.endpointCells.received();
        relay.firstByteSeen = from.toClient().bytes() > 0;
        try {
            relay.client.resume(relay.loop.keepAlive);
            relay.endpoint.resume(relay.loop.keepAlive);
            relay.toEndpoint.resume(from.toEndpoint());
            if (!session.isOver()) {
                relay.toClient.resume(from.toClient());
            }
            if (session.isOver()) {
                // There is no memory for the buffered bytes.
                return;
            }
            if (relay.connectionState() == ConnectionStatus.State.HALF_CLOSED) {
                relay.startHalfClosedTimeout();
            } else {
                relay.startStallCheck(relay.loop.now());
            }
            // The sockets are new to epoll, so registering them reports what has arrived meanwhile.
            relay.client.register(relay.loop, relay.toClient.hasPending());
            relay.endpoint.register(relay.loop, relay.toEndpoint.hasPending());
        } catch (IOException e) {
            session.registrationFailed(e);
        } catch (RuntimeException | Error fault) {
            session.failInternally(fault);
        }
    }

    /** Applies the current traffic policy. A connection to a removed endpoint is given no more time than before. */
    private static void resumeDrain(TcpSession session, long drainNanos, boolean serviceRemoved) {
        SessionPolicy.apply(session);
        boolean drains = drainNanos >= 0 && serviceRemoved;
        if (session.isOver() || (session.policy == null && !drains)) {
            return;
        }
        SessionPolicy policy = session.policyOrNew();
        policy.active();
        if (drains || (drainNanos >= 0 && policy.timers.isDraining())) {
            // Whole seconds, so that few queues are needed.
            long nanos = TimeUnit.SECONDS.toNanos(TimeUnit.NANOSECONDS.toSeconds(drainNanos) + 1);
            policy.timers.startDrain(nanos, session.loop.now());
        }
    }
}
