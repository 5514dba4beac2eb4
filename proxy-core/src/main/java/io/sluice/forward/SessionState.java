package io.sluice.forward;

import io.sluice.balance.EndpointTarget;
import io.sluice.balance.ServiceState;
import io.sluice.forward.MovedConnection.Forwarding;
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
        long drainNanos = policy == null ? -1 : policy.timers.drainNanos(session.loop.now());
        byte[] unsent = policy == null ? HeaderWait.NOTHING : policy.takePayload();
        Connector connecting = session.connector;
        Relay relay = session.relay;
        session.leave();
        if (connecting != null) {
            connecting.release();
        }
        return new MovedConnection(
                session.client.release(),
                session.frontend.address,
                session.service.stats.name(),
                session.peerAddress(),
                session.clientAddress,
                session.clientPort,
                session.loop.now() - session.openedNanos,
                session.tries,
                ByteBuffer.wrap(unsent),
                relay == null ? null : release(relay, session.connectNanos, drainNanos));
    }

    private static Forwarding release(Relay relay, long connectNanos, long drainNanos) {
        relay.endpointCells.closed();
        return new Forwarding(
                relay.endpoint.release(),
                relay.target.endpoint,
                connectNanos,
                drainNanos,
                relay.toEndpoint.release(),
                relay.toClient.release());
    }

    /**
     * Continues a released connection.
     *
     * @param target the endpoint; null if the client waits for one
     * @param serviceRemoved whether the service port exists only for this connection
     * @throws IOException if a descriptor is not a socket; both are closed then
     */
    static void resume(
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
            return;
        }
        InetSocket endpoint;
        try {
            endpoint = InetSocket.adopt(forwarding.descriptor());
        } catch (IOException e) {
            client.closeQuietly();
            throw e;
        }
        session.count();
        resume(session, new Relay(session, session.client, new Leg(session, endpoint, true), target), forwarding);
        resumeDrain(session, forwarding.drainNanos(), serviceRemoved);
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
            relay.toClient.resume(from.toClient());
            if (session.isOver()) {
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
