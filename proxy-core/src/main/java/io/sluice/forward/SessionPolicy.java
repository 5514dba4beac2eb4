package io.sluice.forward;

import io.sluice.balance.EndpointTarget;
import io.sluice.balance.ServiceLimits.Refusal;
import io.sluice.forward.EndedConnection.End;
import io.sluice.forward.TimeoutQueue.Kind;
import io.sluice.model.Endpoint;
import io.sluice.model.IpAddress;
import io.sluice.model.TrafficPolicy;
import io.sluice.model.TrafficPolicy.Lifetime;
import io.sluice.model.TrafficPolicy.Removal;
import io.sluice.proxyprotocol.ProxiedAddresses;
import io.sluice.stats.Counter;
import java.io.IOException;
import org.jspecify.annotations.Nullable;

/**
 * Enforces the traffic policy of a Service on one connection: what it waits for before it is connected to an endpoint
 * (the PROXY protocol header of a trusted peer), its part in the limits, and when it is closed. Created only for connections of Services whose policy needs it, so that the others cost nothing. Used only
 * by the loop's thread.
 */
final class SessionPolicy {
    private final TcpSession session;
    private final Loop loop;
    private final Leg client;
    /** The address from which packets arrive; differs from the client's if a PROXY protocol header said so. */
    final IpAddress peer;

    final SessionTimers timers;
    /** Null while the connection counts toward no limit. */
    private @Nullable Permit permit;
    /** Null once the PROXY protocol header has been read, or if none is expected. */
    private @Nullable HeaderWait header;
    /** The client's data that arrived with the header; empty if there was none. */
    private byte[] payload = HeaderWait.NOTHING;
    /** Whether another process has already let the connection wait for an endpoint, within the limit. */
    boolean heldBefore;
    /** Whether this connection counts as one that waits for a header. */
    private boolean countedAsAwaitingHeader;
    /** When the first attempt to connect to an endpoint began: at the end of the last wait. */
    long connectStartNanos;

    SessionPolicy(TcpSession session, Leg client) {
        this.session = session;
        this.loop = session.loop;
        this.client = client;
        this.peer = session.clientAddress;
        this.connectStartNanos = session.openedNanos;
        this.timers = new SessionTimers(loop.timeouts, session, session.openedNanos);
    }

    /** Whether all connections of a Service need an instance. */
    static boolean isNeeded(TrafficPolicy policy) {
        return Permit.isNeeded(policy)
                || policy.timeouts().idleNanos() > 0
                || policy.lifetime().maxAgeNanos() > 0;
    }

    // ---- before the connection is established

    /** Reads what has already arrived, usually the whole header, and otherwise waits for more. */
    void awaitHeader() {
        HeaderWait created = new HeaderWait();
        header = created;
        read(created);
        if (session.isOver() || header == null) {
            return;
        }
        if (!loop.clients.tryWaitForHeader(peer)) {
            session.close(Counter.SESSIONS_OVER_CLIENT_LIMIT, End.LIMIT, true);
            return;
        }
        countedAsAwaitingHeader = true;
        loop.timeouts.await(loop.timeouts.queue(Kind.HEADER, HeaderWait.TIMEOUT_NANOS), session, loop.now());
        registerClient();
    }

    /** Registers the client's socket before the connection is established, to see a reset. */
    void registerClient() {
        if (!client.isRegistered()) {
            try {
                client.register(loop, false);
            } catch (IOException e) {
                session.registrationFailed(e);
            }
        }
    }

    private void read(HeaderWait incomplete) {
        try {
            switch (incomplete.read(client.socket, loop)) {
                case NEED_MORE -> {}
                case MALFORMED -> session.close(Counter.SESSIONS_WITHOUT_HEADER, End.REFUSED, true);
                case COMPLETE -> {
                    ProxiedAddresses addresses = incomplete.addresses();
                    if (addresses != null && addresses.source().isUnspecified()) {
                        // Not the address of any client.
                        session.close(Counter.SESSIONS_WITHOUT_HEADER, End.REFUSED, true);
                        return;
                    }
                    header = null;
                    payload = incomplete.payload();
                    session.leaveQueue();
                    releaseWait();
                    connectStartNanos = loop.now();
                    headerReceived(addresses);
                }
            }
        } catch (IOException e) {
            session.close(Counter.SESSIONS_RESET_BY_CLIENT, End.CLIENT_RESET, true);
        }
    }

    /** Continues with the client that the header names; null if it names none. */
    private void headerReceived(@Nullable ProxiedAddresses addresses) {
        boolean allowed = true;
        if (addresses != null) {
            loop.clients.sessionClosed(session.clientAddress);
            session.clientAddress = addresses.source();
            session.clientPort = addresses.sourcePort();
            allowed = loop.clients.allowsSession(session.clientAddress);
            loop.clients.sessionOpened(session.clientAddress);
        }
        if (allowed) {
            session.admit(session.frontend.routing);
        } else {
            loop.exhaustion.noteClientLimit(session.clientAddress, loop.clients.percent());
            session.close(Counter.SESSIONS_OVER_CLIENT_SHARE, End.LIMIT, true);
        }
    }

    /** Whether the connection waits for a header. */
    boolean isAwaitingHeader() {
        return header != null;
    }

    /** Handles an event on the client's socket before the connection is established. */
    void onEarlyEvent(int ops) {
        if ((ops & (EpollFlags.RDHUP | EpollFlags.PRI)) != 0) {
            // The event is reported only once, before the relay exists. A FIN is not an abort: the client may wait for
            // the reply to what it has sent.
            client.peerClosed |= (ops & EpollFlags.RDHUP) != 0;
            client.readUntilEmpty = true;
        }
        if (header != null) {
            read(header);
        }
        // If the rest of the header arrived with a reset, reading it did not report the reset.
        if (header == null && (ops & (EpollFlags.ERR | EpollFlags.HUP)) != 0) {
            session.close(Counter.SESSIONS_RESET_BY_CLIENT, End.CLIENT_RESET, true);
        }
    }

    private void releaseWait() {
        if (countedAsAwaitingHeader) {
            countedAsAwaitingHeader = false;
            loop.clients.endWaitForHeader(peer);
        }
    }

    /** Removes and returns the client's data that arrived with the header; empty if there was none. */
    byte[] takePayload() {
        byte[] taken = payload;
        payload = HeaderWait.NOTHING;
        return taken;
    }

    /** Continues to wait for an endpoint, as in the process that has released the connection. */
    void resumeWait(byte[] unsent, TrafficPolicy policy) {
        payload = unsent;
        heldBefore = true;
        connectStartNanos = loop.now();
        if (Permit.isNeeded(policy)) {
            permit = new Permit(session.service, session.clientAddress);
            permit.adopt(policy);
        }
    }

    // ---- limits

    /** Counts the connection toward the limits; returns the counter of the limit that it exceeds, or null. */
    @Nullable
    Counter admit(TrafficPolicy policy) {
        if (permit != null || !Permit.isNeeded(policy)) {
            // Admitted before it began to wait for an endpoint.
            return null;
        }
        Permit asked = new Permit(session.service, session.clientAddress);
        permit = asked;
        Refusal refusal = asked.admit(policy, loop.now());
        return refusal == null ? null : refusal.ofConnections();
    }

    /** Counts an attempt; returns false if the endpoint has reached its limit. */
    boolean tryAcquire(EndpointTarget target) {
        return permit == null || !session.service.policy().countsPerEndpoint() || permit.tryAcquire(target);
    }

    /** Ends an attempt that failed. */
    void releaseEndpoint() {
        if (permit != null) {
            permit.releaseEndpoint();
        }
    }

    // ---- after the connection is established

    /** Applies the current policy to a connection that is established; called again when the policy changes. */
    static void apply(TcpSession session) {
        Relay relay = session.relay;
        TrafficPolicy current = session.service.policy();
        boolean removes = current.lifetime().removal() != Removal.KEEP;
        if (session.isOver() || relay == null || (session.policy == null && !removes && !isNeeded(current))) {
            return;
        }
        SessionPolicy policy = session.policyOrNew();
        policy.apply(current, relay.target, session.loop.now());
        // The endpoint may have been removed while the connection was being established.
        if (removes && !policy.isEndpointServing() && !policy.timers.isDraining()) {
            policy.endpointRemoved(current.lifetime());
        }
    }

    private void apply(TrafficPolicy policy, EndpointTarget target, long nowNanos) {
        if (Permit.isNeeded(policy)) {
            if (permit == null) {
                permit = new Permit(session.service, session.clientAddress);
            }
            permit.adopt(policy, target);
        }
        timers.setIdle(policy.timeouts().idleNanos(), nowNanos);
        timers.setMaxAge(policy.lifetime().maxAgeNanos(), nowNanos);
        if (policy.lifetime().removal() != Removal.DRAIN) {
            timers.cancelDrain();
        }
    }

    /** Records that bytes were forwarded. */
    void active() {
        timers.active(loop.now());
    }

    /** Ends an established connection whose endpoint is gone or no longer serving, as the policy says. */
    void endpointRemoved(Lifetime lifetime) {
        if (lifetime.removal() == Removal.RESET) {
            session.close(Counter.SESSIONS_REMOVED, End.REMOVED, true);
        } else if (lifetime.removal() == Removal.DRAIN) {
            timers.startDrain(lifetime.drainNanos(), loop.now());
        }
    }

    /** Whether the endpoint may keep the connection, by the current routing. */
    private boolean isEndpointServing() {
        Endpoint endpoint = session.endpoint();
        return endpoint != null && session.service.isServing(endpoint);
    }

    void expired(Kind kind, long nowNanos) {
        switch (kind) {
            case HEADER -> session.close(Counter.SESSIONS_WITHOUT_HEADER, End.REFUSED, true);
            case HOLD -> session.close(Counter.SESSIONS_HOLD_TIMED_OUT, End.REFUSED, true);
            case IDLE -> closeIdle();
            case AGE -> {
                if (timers.isOldAndQuiet(nowNanos) && session.relay != null && session.relay.isQuiet()) {
                    session.close(Counter.SESSIONS_TOO_OLD, End.AGE, false);
                } else {
                    timers.checkAgeLater(nowNanos);
                }
            }
            case DRAIN -> {
                // The endpoint may serve again.
                if (!isEndpointServing()) {
                    session.close(Counter.SESSIONS_REMOVED, End.REMOVED, true);
                }
            }
            default -> throw new IllegalStateException("unexpected timeout " + kind);
        }
    }

    /** A connection that is closed in one direction has the half-closed timeout instead. */
    private void closeIdle() {
        Relay relay = session.relay;
        if (relay != null && relay.connectionState() == ConnectionStatus.State.OPEN) {
            // A FIN would make the reader believe that it has all bytes.
            session.close(Counter.SESSIONS_IDLE, End.IDLE, relay.hasPending());
        }
    }

    /** Ends the connection's waits, timeouts and part in the limits. */
    void release() {
        releaseWait();
        timers.cancel();
        if (permit != null) {
            permit.release();
        }
    }
}
