package io.sluice.forward;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.PooledByteBufAllocator;
import io.sluice.model.Endpoint;
import io.sluice.model.IpAddress;
import io.sluice.stats.Cells;
import io.sluice.stats.Counter;
import io.sluice.stats.Timing;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * One client connection and the endpoint connection made for it. Belongs to the loop that accepted it.
 *
 * <p>It connects first, trying other endpoints when one does not answer; only then is the client read, so that nothing
 * is lost by trying again. Then two directions run, each on its own: a direction reads from one {@link Leg} while the
 * other leg takes, keeps at most one buffer's worth that it did not take, and ends when the end of the stream was read
 * and passed on. The session ends when both have ended, or when a leg fails:
 *
 * <table>
 * <caption>What one end does, and what the other end sees</caption>
 * <tr><td>FIN</td><td>everything sent before, then FIN; the other direction goes on</td></tr>
 * <tr><td>FIN, then nothing from the other end for the half-closed timeout</td><td>RST on both</td></tr>
 * <tr><td>RST</td><td>everything that had arrived here before, then RST</td></tr>
 * <tr><td>every endpoint refuses or is silent</td><td>RST at the client</td></tr>
 * </table>
 */
final class TcpSession extends Timed implements Runnable {
    private static final Logger log = LoggerFactory.getLogger(TcpSession.class);

    /** So much of one direction at a time, then the other sessions of the loop have their turn. */
    private static final int READS_PER_TURN = 8;

    /** Endpoints that refuse cost nothing, but a list of a thousand that all do must not be walked for every client. */
    private static final int MOST_ATTEMPTS = 16;

    private final Loop loop;
    private final BoundFrontend frontend;
    private final ServiceState service;
    private final Cells cells;
    private final IpAddress clientAddress;
    private final Leg client;
    private final long openedNanos;

    private @Nullable Leg endpoint;
    private @Nullable Target target;
    /** Those that failed; empty for nearly every session. */
    private List<Endpoint> failed = List.of();

    private int silentAttempts;
    private boolean connected;
    private boolean firstByteSeen;
    private boolean turnScheduled;
    private boolean over;
    /** What to do once the held bytes of the leg that is left are written: a failure ends the session in order. */
    private @Nullable Leg lastToFlush;

    private TcpSession(Loop loop, BoundFrontend frontend, Routing routing, InetSocket socket, IpAddress clientAddress) {
        this.loop = loop;
        this.frontend = frontend;
        this.service = routing.service();
        this.cells = service.stats.cells(loop.index);
        this.clientAddress = clientAddress;
        this.client = new Leg(this, socket);
        this.openedNanos = loop.now();
    }

    static void open(Loop loop, BoundFrontend frontend, Routing routing, InetSocket socket, IpAddress clientAddress) {
        TcpSession session = new TcpSession(loop, frontend, routing, socket, clientAddress);
        session.cells.increment(Counter.SESSIONS_OPENED);
        session.cells.increment(Counter.SESSIONS_ACTIVE);
        loop.sessionOpened();
        session.connect(session.firstTarget(routing));
    }

    // ---- connecting

    private @Nullable Target firstTarget(Routing routing) {
        Rotation rotation = routing.rotationFor(clientAddress);
        return rotation == null ? null : routing.pick(clientAddress, rotation, openedNanos);
    }

    /** The next endpoint in turn that has not failed this session yet, by the routes in force now. */
    private @Nullable Target anotherTarget() {
        Routing routing = frontend.routing;
        Rotation rotation = routing.service() == service ? routing.rotationFor(clientAddress) : null;
        if (rotation == null || failed.size() >= MOST_ATTEMPTS || silentAttempts >= loop.connectAttempts) {
            return null;
        }
        for (int turn = 0; turn < rotation.size(); turn++) {
            Target next = rotation.next();
            if (!failed.contains(next.endpoint)) {
                return next;
            }
        }
        return null;
    }

    private void connect(@Nullable Target first) {
        Target next = first;
        while (next != null) {
            target = next;
            try {
                startConnecting(next);
                return;
            } catch (IOException e) {
                int errno = Errno.of(e);
                attemptFailed(errno, e);
                if (errno == Errno.EMFILE || errno == Errno.ENFILE) {
                    break;
                }
            }
            next = anotherTarget();
            if (next != null) {
                cells.increment(Counter.CONNECT_RETRIED);
            }
        }
        cells.increment(failed.isEmpty() ? Counter.SESSIONS_REFUSED : Counter.SESSIONS_FAILED);
        end(true);
    }

    private void startConnecting(Target next) throws IOException {
        InetSocket socket = InetSocket.stream(next.endpoint.address());
        Leg leg = new Leg(this, socket);
        endpoint = leg;
        socket.setTcpNoDelay(true);
        socket.setKeepAlive(true);
        socket.connect(next.socketAddress());
        leg.register(loop, true);
        loop.await(loop.connecting, this, loop.now());
    }

    private void attemptFailed(int errno, @Nullable IOException cause) {
        Leg leg = endpoint;
        if (leg != null) {
            endpoint = null;
            leg.release(loop, false);
        }
        leaveQueue();
        Target tried = target;
        if (tried != null) {
            if (failed.isEmpty()) {
                failed = new ArrayList<>(2);
            }
            failed.add(tried.endpoint);
        }
        cells.increment(reason(errno));
        if (Errno.isExhaustion(errno) && cause != null) {
            loop.shortage.begin(cause);
        }
    }

    private static Counter reason(int errno) {
        return switch (errno) {
            case Errno.ECONNREFUSED -> Counter.CONNECT_REFUSED;
            case Errno.EHOSTUNREACH, Errno.ENETUNREACH -> Counter.CONNECT_UNREACHABLE;
            case Errno.ETIMEDOUT -> Counter.CONNECT_TIMEOUT;
            default -> Errno.isExhaustion(errno) ? Counter.CONNECT_NO_RESOURCES : Counter.CONNECT_ERROR;
        };
    }

    private void retry(int errno) {
        attemptFailed(errno, null);
        Target next = anotherTarget();
        if (next != null) {
            cells.increment(Counter.CONNECT_RETRIED);
        }
        connect(next);
    }

    private void onConnectEvent(Leg leg, int ops) {
        if ((ops & (Leg.EPOLLERR | Leg.EPOLLHUP)) != 0) {
            int errno = errorOf(leg);
            retry(errno == 0 ? Errno.ECONNREFUSED : errno);
        } else if ((ops & Leg.EPOLLOUT) != 0) {
            connected(leg);
        }
    }

    private static int errorOf(Leg leg) {
        try {
            return leg.socket.getSoError();
        } catch (IOException e) {
            return Errno.of(e);
        }
    }

    private void connected(Leg leg) {
        leaveQueue();
        connected = true;
        long now = loop.now();
        service.stats.record(Timing.CONNECT, now - openedNanos, now);
        if (!failed.isEmpty() && target != null && frontend.routing.keepsClients()) {
            service.affinityTable.hold(service, clientAddress, target.endpoint, now);
        }
        failed = List.of();
        // What the client sent meanwhile goes first and its socket is watched after: that spares a wake-up.
        client.readable = true;
        relay(client, leg);
        if (!over && !client.isRegistered()) {
            try {
                client.register(loop, client.held != null);
            } catch (IOException e) {
                loop.shortage.begin(e);
                end(true);
            }
        }
    }

    /** The connect timeout, or the half-closed one. */
    @Override
    void expire(long nowNanos) {
        if (!connected) {
            silentAttempts++;
            retry(Errno.ETIMEDOUT);
        } else {
            cells.increment(Counter.SESSIONS_TIMED_OUT);
            end(true);
        }
    }

    // ---- relaying

    void onEvent(Leg leg, int ops) {
        Leg other = leg == client ? endpoint : client;
        if (over || other == null || (leg != client && leg != endpoint)) {
            return;
        }
        if (!connected) {
            onConnectEvent(leg, ops);
            if (!connected || over) {
                return;
            }
            // An endpoint that speaks first, or closes at once, says so in this same event.
        }
        if ((ops & Leg.EPOLLERR) != 0 && leg.ended) {
            // Its end was read before, so no read will tell what happened since.
            fail(leg, other);
            return;
        }
        if ((ops & (Leg.EPOLLRDHUP | Leg.EPOLLHUP | Leg.EPOLLERR)) != 0) {
            leg.hungUp = true;
            leg.readable = true;
        }
        if ((ops & Leg.EPOLLIN) != 0) {
            leg.readable = true;
        }
        if ((ops & Leg.EPOLLOUT) != 0 && leg.held != null) {
            flush(leg, other);
        }
        relay(leg, other);
    }

    /** Goes on with what its turn was too short for. */
    @Override
    public void run() {
        turnScheduled = false;
        Leg leg = endpoint;
        if (!over && leg != null) {
            relay(client, leg);
            relay(leg, client);
        }
    }

    /** Passes on what {@code from} has, while {@code to} takes it. */
    private void relay(Leg from, Leg to) {
        int reads = 0;
        while (!over && from.readable && to.held == null && !from.ended) {
            if (reads++ == READS_PER_TURN) {
                takeTurnLater();
                return;
            }
            int length = read(from, to);
            if (length > 0) {
                boolean drained = length < Loop.BUFFER_BYTES && !from.hungUp;
                from.readable = !drained;
                passOn(from, to, length);
            } else {
                from.readable = false;
                if (length < 0 && !over) {
                    endOfStream(from, to);
                }
            }
        }
    }

    private void takeTurnLater() {
        if (!turnScheduled) {
            turnScheduled = true;
            loop.executor.execute(this);
        }
    }

    /** The bytes now in the loop's buffer; 0 for nothing yet, -1 for the end of the stream or of the session. */
    private int read(Leg from, Leg to) {
        try {
            return from.socket.read(loop.bufferAddress, Loop.BUFFER_BYTES);
        } catch (IOException e) {
            fail(from, to);
            return -1;
        }
    }

    private void passOn(Leg from, Leg to, int length) {
        if (to.broken) {
            return;
        }
        int sent = send(to, from, loop.bufferAddress, 0, length);
        if (sent < 0) {
            return;
        }
        count(from, length);
        if (sent < length) {
            ByteBuf rest = PooledByteBufAllocator.DEFAULT.directBuffer(length - sent);
            loop.buffer.limit(length).position(sent);
            rest.writeBytes(loop.buffer);
            loop.buffer.clear();
            to.held = rest;
            to.awaitWritable();
        }
    }

    private void count(Leg from, int length) {
        if (queue != null) {
            // Half closed, and alive: the wait starts again.
            loop.await(loop.halfClosed, this, loop.now());
        }
        if (from == client) {
            cells.add(Counter.BYTES_TO_ENDPOINT, length);
            return;
        }
        cells.add(Counter.BYTES_TO_CLIENT, length);
        if (!firstByteSeen) {
            firstByteSeen = true;
            long now = loop.now();
            service.stats.record(Timing.FIRST_BYTE, now - openedNanos, now);
        }
    }

    /** How much {@code to} took; -1 if it is broken, and then the session may be over. */
    private int send(Leg to, Leg from, long address, int start, int end) {
        try {
            return to.socket.write(address, start, end);
        } catch (IOException e) {
            // What it sent before it failed may still lie in our receive buffer: an early answer, then a reset.
            to.broken = true;
            to.readable = true;
            to.hungUp = true;
            loop.await(loop.halfClosed, this, loop.now());
            relay(to, from);
            return -1;
        }
    }

    private void flush(Leg to, Leg from) {
        ByteBuf rest = to.held;
        while (rest != null && rest.isReadable()) {
            int sent = send(to, from, rest.memoryAddress(), rest.readerIndex(), rest.writerIndex());
            if (sent <= 0) {
                return;
            }
            rest.skipBytes(sent);
        }
        if (rest != null) {
            rest.release();
            to.held = null;
        }
        if (to == lastToFlush) {
            end(true);
            return;
        }
        relay(from, to);
    }

    /** {@code from} has sent its last byte, and {@code to} has taken it. */
    private void endOfStream(Leg from, Leg to) {
        if (from.broken) {
            fail(from, to);
            return;
        }
        from.ended = true;
        if (to.ended) {
            end(false);
            return;
        }
        try {
            to.socket.shutdownOutput();
        } catch (IOException e) {
            fail(to, from);
            return;
        }
        loop.await(loop.halfClosed, this, loop.now());
    }

    /** {@code dead} was reset; the other leg gets what is held for it, then a reset too. */
    private void fail(Leg dead, Leg other) {
        if (over || lastToFlush != null) {
            return;
        }
        cells.increment(dead == client ? Counter.SESSIONS_RESET_BY_CLIENT : Counter.SESSIONS_RESET_BY_ENDPOINT);
        if (other.held == null) {
            end(true);
            return;
        }
        lastToFlush = other;
        dead.ended = true;
        loop.await(loop.halfClosed, this, loop.now());
    }

    // ---- ending

    /** An event of this session failed in a way that has no place in the code: a fault of ours, and no other session's. */
    void broke(Throwable fault) {
        log.error("session of {} with {} ended by a fault", service.stats.name(), clientAddress, fault);
        end(true);
    }

    /** The loop ends. */
    void cut() {
        if (!over) {
            cells.increment(Counter.SESSIONS_CUT);
            end(true);
        }
    }

    private void end(boolean reset) {
        if (over) {
            return;
        }
        over = true;
        leaveQueue();
        client.release(loop, reset);
        if (endpoint != null) {
            endpoint.release(loop, reset && connected);
        }
        cells.add(Counter.SESSIONS_ACTIVE, -1);
        loop.sessionClosed();
        if (connected) {
            long now = loop.now();
            service.stats.record(Timing.SESSION, now - openedNanos, now);
        }
    }
}
