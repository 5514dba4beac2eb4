package io.sluice.forward;

import io.sluice.forward.EndedConnection.End;
import io.sluice.forward.TimeoutQueue.Kind;
import io.sluice.model.TrafficPolicy.Lifetime;
import io.sluice.proxyprotocol.ProxiedAddresses;
import io.sluice.proxyprotocol.ProxyHeaderReader;
import io.sluice.stats.Counter;
import java.io.IOException;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;

/**
 * A connection that waits before it is connected to an endpoint: for the PROXY protocol header of a trusted peer, or for
 * an endpoint if the Service has none. Used only by the loop's thread.
 */
final class EarlyState {
    private static final long HEADER_TIMEOUT_NANOS = TimeUnit.SECONDS.toNanos(5);

    /** A read may contain the start of the client's data, which is kept until the connection is established. */
    private static final int READ_BYTES = ProxyHeaderReader.MAX_BYTES;

    private static final byte[] NOTHING = {};

    private final TcpSession session;
    private final Loop loop;
    private final Leg client;
    /** Null once the header has been read, or if none is expected. */
    private @Nullable ProxyHeaderReader reader;
    /** The client's data that arrived with the header. */
    private byte[] payload = NOTHING;
    /** Whether this connection counts as one that waits for a header. */
    private boolean countedAsAwaitingHeader;
    /** Whether this connection counts as one that waits for an endpoint. */
    private boolean holding;

    private long endedNanos;

    EarlyState(TcpSession session, Leg client) {
        this.session = session;
        this.loop = session.loop;
        this.client = client;
    }

    /** Reads what has already arrived, usually the whole header, and otherwise waits for more. */
    void awaitHeader() {
        ProxyHeaderReader created = new ProxyHeaderReader();
        reader = created;
        read(created);
        if (session.isOver() || reader == null) {
            return;
        }
        if (!loop.clients.tryWaitForHeader(session.clientAddress)) {
            session.close(Counter.SESSIONS_OVER_CLIENT_LIMIT, End.LIMIT, true);
            return;
        }
        countedAsAwaitingHeader = true;
        loop.timeouts.await(loop.timeouts.queue(Kind.HEADER, HEADER_TIMEOUT_NANOS), session, loop.now());
        registerClient();
    }

    /** Reads until the header is complete or no more bytes are available. */
    private void read(ProxyHeaderReader incomplete) {
        int length;
        ProxyHeaderReader.Result result = ProxyHeaderReader.Result.NEED_MORE;
        do {
            try {
                length = client.socket.read(loop.bufferAddress, READ_BYTES);
            } catch (IOException e) {
                session.close(Counter.SESSIONS_RESET_BY_CLIENT, End.CLIENT_RESET, true);
                return;
            }
            if (length < 0) {
                result = ProxyHeaderReader.Result.MALFORMED;
            } else if (length > 0) {
                result = incomplete.feed(loop.buffer, 0, length);
            }
        } while (length > 0 && result == ProxyHeaderReader.Result.NEED_MORE);
        if (result == ProxyHeaderReader.Result.MALFORMED) {
            session.close(Counter.SESSIONS_WITHOUT_HEADER, End.REFUSED, true);
        } else if (result == ProxyHeaderReader.Result.COMPLETE) {
            keepPayload(incomplete.consumed(), length);
            reader = null;
            release();
            headerReceived(incomplete.addresses());
        }
    }

    /** Continues with the client that the header names; null if it names none. */
    private void headerReceived(@Nullable ProxiedAddresses addresses) {
        session.leaveQueue();
        if (addresses != null) {
            loop.clients.sessionClosed(session.clientAddress);
            session.clientAddress = addresses.source();
            session.clientPort = addresses.sourcePort();
            boolean allowed = loop.clients.allowsSession(session.clientAddress);
            loop.clients.sessionOpened(session.clientAddress);
            if (!allowed) {
                loop.exhaustion.noteClientLimit(session.clientAddress, loop.clients.percent());
                session.close(Counter.SESSIONS_OVER_CLIENT_SHARE, End.LIMIT, true);
                return;
            }
        }
        session.admit(session.frontend.routing);
    }

    private void keepPayload(int from, int to) {
        if (from < to) {
            payload = new byte[to - from];
            loop.buffer.get(from, payload);
        }
    }

    /** Waits for an endpoint, within the limits of the Service. */
    void hold(Lifetime lifetime) {
        if (!session.service.limits().tryHold(lifetime.holdLimit())) {
            session.close(Counter.SESSIONS_OVER_HOLD_LIMIT, End.LIMIT, true);
            return;
        }
        holding = true;
        session.cells.add(Counter.SESSIONS_HOLDING, 1);
        loop.timeouts.await(loop.timeouts.queue(Kind.HOLD, lifetime.holdNanos()), session, loop.now());
        registerClient();
    }

    private void registerClient() {
        if (!client.isRegistered()) {
            try {
                client.register(loop, false);
            } catch (IOException e) {
                session.registrationFailed(e);
            }
        }
    }

    boolean isHolding() {
        return holding;
    }

    /** Connects to an endpoint, if a connection waits for one and need not wait any longer. */
    static void retry(TcpSession session) {
        EarlyState early = session.early;
        if (!session.isOver()
                && early != null
                && early.holding
                && !session.frontend.routing.holds(session.peerAddress(), session.clientAddress)) {
            session.leaveQueue();
            early.release();
            session.connect(session.frontend.routing);
        }
    }

    ConnectionStatus.State state() {
        return holding ? ConnectionStatus.State.HOLDING : ConnectionStatus.State.AWAITING_HEADER;
    }

    /** The client's data that arrived with the header; empty if there was none. */
    byte[] payload() {
        return payload;
    }

    /** Handles an event on the client's socket before the connection is established. */
    void onEvent(int ops) {
        if ((ops & (Leg.EPOLLRDHUP | Leg.EPOLLPRI)) != 0) {
            // The event is reported only once, before the relay exists. A FIN is not an abort: the client may wait for
            // the reply to what it has sent.
            client.peerClosed |= (ops & Leg.EPOLLRDHUP) != 0;
            client.readUntilEmpty = true;
        }
        ProxyHeaderReader incomplete = reader;
        if (incomplete != null) {
            read(incomplete);
        } else if ((ops & (Leg.EPOLLERR | Leg.EPOLLHUP)) != 0) {
            session.close(Counter.SESSIONS_RESET_BY_CLIENT, End.CLIENT_RESET, true);
        }
    }

    /** When the last wait ended. */
    long endedNanos() {
        return endedNanos;
    }

    /** Ends the wait. Idempotent. */
    void release() {
        endedNanos = loop.now();
        if (countedAsAwaitingHeader) {
            countedAsAwaitingHeader = false;
            loop.clients.endWaitForHeader(session.peerAddress());
        }
        if (holding) {
            holding = false;
            session.cells.add(Counter.SESSIONS_HOLDING, -1);
            session.service.limits().releaseHold();
        }
    }
}
