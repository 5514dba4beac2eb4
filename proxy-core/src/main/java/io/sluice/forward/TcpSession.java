package io.sluice.forward;

import io.netty.buffer.ByteBuf;
import io.sluice.balance.Routing;
import io.sluice.balance.ServiceState;
import io.sluice.balance.Target;
import io.sluice.model.IpAddress;
import io.sluice.socket.Errno;
import io.sluice.socket.InetSocket;
import io.sluice.stats.Cells;
import io.sluice.stats.Counter;
import io.sluice.stats.Timing;
import java.io.IOException;
import java.util.Objects;
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
 * <tr><td>RST, or no answer to keep-alive probes, or none to data for the stalled timeout</td>
 * <td>everything that had arrived here before, then RST</td></tr>
 * <tr><td>every endpoint refuses, or none answers before the deadline</td><td>RST at the client</td></tr>
 * </table>
 */
final class TcpSession extends Timed implements Runnable {
    private static final Logger log = LoggerFactory.getLogger(TcpSession.class);

    /** So much of one direction at a time, then the other sessions of the loop have their turn. */
    private static final int READS_PER_TURN = 8;

    private static final int END_OF_STREAM = -1;
    private static final int FAILED = -2;

    /** How often to look whether the last bytes before a reset have arrived. */
    private static final long DELIVERY_CHECK_MILLIS = 20;

    private final Loop loop;
    private final ServiceState service;
    private final Cells cells;
    private final IpAddress clientAddress;
    private final Leg client;
    private final long openedNanos;
    /** When the attempt in progress began. */
    private long attemptNanos;

    private final Attempts attempts;

    private @Nullable Leg endpoint;
    private @Nullable Target target;
    private boolean connected;
    private boolean firstByteSeen;
    private boolean turnScheduled;
    private boolean over;
    /** The leg that still gets what arrived for it before the other one failed; then it is reset too. */
    private @Nullable Leg survivor;

    private TcpSession(Loop loop, BoundFrontend frontend, Routing routing, InetSocket socket, IpAddress clientAddress) {
        this.loop = loop;
        this.service = routing.service();
        this.cells = service.stats.cells(loop.index);
        this.clientAddress = clientAddress;
        this.client = new Leg(this, socket, true);
        this.openedNanos = loop.now();
        this.attempts = new Attempts(frontend, service, clientAddress, loop.connectAttempts);
    }

    /** Owns the socket once it returns, whatever became of the session; an exception leaves it to the caller. */
    static void open(Loop loop, BoundFrontend frontend, Routing routing, InetSocket socket, IpAddress clientAddress) {
        Cells cells = routing.service().stats.cells(loop.index);
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

    private void begin(Routing routing) {
        cells.increment(Counter.SESSIONS_ACTIVE);
        loop.sessionOpened();
        loop.clients.sessionOpened(clientAddress);
        try {
            connect(attempts.first(routing, openedNanos));
        } catch (RuntimeException | Error fault) {
            broke(fault);
        }
    }

    // ---- connecting

    private void connect(@Nullable Target first) {
        Target next = first;
        while (next != null) {
            try {
                startConnecting(next);
                return;
            } catch (IOException e) {
                int errno = Errno.of(e);
                attemptFailed(errno);
                // Without a descriptor or an epoll watch, no other endpoint can be tried either.
                next = errno == Errno.EMFILE || errno == Errno.ENFILE || errno == Errno.ENOSPC ? null : anotherTarget();
            }
        }
        cells.increment(attempts.anyFailed() ? Counter.SESSIONS_FAILED : Counter.SESSIONS_REFUSED);
        end(true);
    }

    private @Nullable Target anotherTarget() {
        Target next = attempts.another(loop.now());
        if (next != null) {
            cells.increment(Counter.CONNECT_RETRIED);
        }
        return next;
    }

    private void startConnecting(Target next) throws IOException {
        target = next;
        attemptNanos = loop.now();
        InetSocket socket = InetSocket.stream(next.endpoint.address().family());
        Leg leg = new Leg(this, socket, false);
        endpoint = leg;
        IpAddress source = loop.sourceOf(clientAddress, next.endpoint, attempts.routing(), cells);
        if (source != null) {
            Transparency.assume(socket, source);
        }
        if (loop.transparency != null) {
            loop.transparency.prioritize(socket, next.endpoint);
        }
        socket.acknowledgeWithData();
        socket.connect(next.socketAddress());
        leg.register(loop, true);
        loop.await(loop.connecting, this, attemptNanos);
    }

    /**
     * The endpoint has not answered yet. After the connect timeout the next one is tried; if there is none, this attempt
     * gets the rest of the deadline, in which the kernel sends its SYN several times more.
     */
    private void keepWaiting(Target tried, long nowNanos) {
        Target next = null;
        if (nowNanos - openedNanos < loop.connectDeadlineNanos) {
            if (nowNanos - attemptNanos >= loop.connectTimeoutNanos) {
                next = attempts.insteadOf(tried, nowNanos);
            }
            if (next == null) {
                loop.await(loop.connecting, this, nowNanos);
                return;
            }
            cells.increment(Counter.CONNECT_RETRIED);
        }
        attemptFailed(Errno.ETIMEDOUT);
        connect(next);
    }

    private void attemptFailed(int errno) {
        Leg leg = endpoint;
        if (leg != null) {
            endpoint = null;
            leg.release(loop, false);
        }
        leaveQueue();
        if (target != null) {
            long now = loop.now();
            long timeouts = errno == Errno.ETIMEDOUT ? (now - attemptNanos) / loop.connectTimeoutNanos : 0;
            attempts.failed(target, timeouts, now);
        }
        cells.increment(reason(errno));
        Shortage.Of lacking = Shortage.Of.errno(errno);
        if (lacking != null) {
            loop.shortage.note(lacking);
        }
    }

    private static Counter reason(int errno) {
        return switch (errno) {
            case Errno.ECONNREFUSED -> Counter.CONNECT_REFUSED;
            case Errno.EHOSTUNREACH, Errno.ENETUNREACH -> Counter.CONNECT_UNREACHABLE;
            case Errno.ETIMEDOUT -> Counter.CONNECT_TIMEOUT;
            default -> Shortage.Of.errno(errno) != null ? Counter.CONNECT_NO_RESOURCES : Counter.CONNECT_ERROR;
        };
    }

    private void retry(int errno) {
        attemptFailed(errno);
        connect(anotherTarget());
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
        connected = true;
        long now = loop.now();
        loop.await(loop.young, this, now);
        service.stats.record(loop.index, Timing.CONNECT, now - openedNanos);
        if (target != null) {
            attempts.succeeded(target, now);
        }
        // What the client sent meanwhile goes first and its socket is watched after: that spares a wake-up.
        client.readable = true;
        relay(client, leg);
        if (!over) {
            leg.completeHandshake();
        }
        if (!over && !client.isRegistered()) {
            try {
                client.register(loop, client.held != null);
            } catch (IOException e) {
                Shortage.Of lacking = Shortage.Of.errno(Errno.of(e));
                if (lacking == null) {
                    broke(e);
                    return;
                }
                loop.shortage.note(lacking);
                cells.increment(Counter.CONNECT_NO_RESOURCES);
                end(true);
            }
        }
    }

    @Override
    void expire(TimeoutQueue waitedIn, long nowNanos) {
        if (waitedIn == loop.connecting) {
            keepWaiting(Objects.requireNonNull(target), nowNanos);
        } else if (waitedIn == loop.young) {
            if (endpoint != null) {
                endpoint.makeLasting(loop.keepAlive);
            }
            watch(nowNanos);
        } else if (waitedIn == loop.watched) {
            checkStalled(Objects.requireNonNull(endpoint), nowNanos);
        } else {
            cells.increment(Counter.SESSIONS_TIMED_OUT);
            end(true);
        }
    }

    /** Has the session checked while a leg may have output that its peer has not acknowledged. */
    private void watch(long nowNanos) {
        if (queue == null && (client.mayHaveOutput() || (endpoint != null && endpoint.mayHaveOutput()))) {
            loop.await(loop.watched, this, nowNanos);
        }
    }

    private void checkStalled(Leg leg, long nowNanos) {
        if (client.isStalled(loop.tcpInfo, loop.stalledTimeoutNanos, nowNanos)) {
            client.error = Errno.ETIMEDOUT;
            fail(client, leg);
        } else if (leg.isStalled(loop.tcpInfo, loop.stalledTimeoutNanos, nowNanos)) {
            leg.error = Errno.ETIMEDOUT;
            fail(leg, client);
        } else {
            watch(nowNanos);
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
            leg.error = errorOf(leg);
            fail(leg, other);
            return;
        }
        if ((ops & (Leg.EPOLLRDHUP | Leg.EPOLLHUP | Leg.EPOLLERR | Leg.EPOLLPRI)) != 0) {
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
        try {
            if (!over && leg != null) {
                relay(client, leg);
                relay(leg, client);
            }
        } catch (RuntimeException | Error fault) {
            broke(fault);
        }
    }

    /** Passes on what {@code from} has, while {@code to} takes it. */
    private void relay(Leg from, Leg to) {
        int reads = 0;
        while (!over && from.readable && to.held == null && !from.ended) {
            if (reads++ == READS_PER_TURN) {
                takeTurnLater();
                break;
            }
            int most = loop.held.readBytes(to.pace);
            int length = read(from, to, most);
            if (length > 0) {
                from.readable = length == most || from.hungUp;
                if (from.hungUp && length < most) {
                    to.cork();
                }
                passOn(from, to, length);
            } else {
                from.readable = false;
                if (length == END_OF_STREAM) {
                    endOfStream(from, to);
                }
            }
        }
        if (!over) {
            to.uncork();
        }
    }

    private void takeTurnLater() {
        if (!turnScheduled) {
            turnScheduled = true;
            loop.executor.execute(this);
        }
    }

    /** How much now is in the loop's buffer; 0 for nothing yet, or one of the two below that. */
    private int read(Leg from, Leg to, int most) {
        try {
            return from.socket.read(loop.bufferAddress, most);
        } catch (IOException e) {
            from.failed(e);
            fail(from, to);
            return FAILED;
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
        if (queue == null) {
            watch(loop.now());
        }
        count(from, length);
        to.pace(sent, length);
        if (sent < length) {
            hold(to, sent, length);
        }
    }

    private void hold(Leg to, int start, int end) {
        ByteBuf rest = loop.held.hold(loop, start, end);
        if (rest == null || loop.held.isExhausted()) {
            loop.shortage.note(Shortage.Of.HELD_BYTES);
        }
        if (rest == null) {
            cells.increment(Counter.SESSIONS_SHED);
            end(true);
            return;
        }
        to.held = rest;
        to.awaitWritable();
    }

    /** Half closed and not silent: the wait starts again. */
    private void stayAlive() {
        if (queue == loop.halfClosed) {
            loop.await(loop.halfClosed, this, loop.now());
        }
    }

    private void count(Leg from, int length) {
        stayAlive();
        if (from == client) {
            cells.add(Counter.BYTES_TO_ENDPOINT, length);
            return;
        }
        cells.add(Counter.BYTES_TO_CLIENT, length);
        if (!firstByteSeen) {
            firstByteSeen = true;
            service.stats.record(loop.index, Timing.FIRST_BYTE, loop.now() - openedNanos);
        }
    }

    /** How much {@code to} took; -1 if it is broken, and then the session may be over. */
    private int send(Leg to, Leg from, long address, int start, int end) {
        try {
            return to.write(address, start, end);
        } catch (IOException e) {
            to.failed(e);
            // What it sent before it failed may still lie in our receive buffer: an early answer, then a reset.
            if (to.ended) {
                fail(to, from);
                return -1;
            }
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
            stayAlive();
        }
        if (rest != null) {
            loop.held.release(rest);
            to.held = null;
        }
        if (to == survivor) {
            resetOnceDelivered(to);
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
            to.shutdownOutput();
        } catch (IOException e) {
            to.failed(e);
            fail(to, from);
            return;
        }
        loop.await(loop.halfClosed, this, loop.now());
    }

    /** {@code dead} was reset or its peer is lost; the other leg gets what had arrived for it, then a reset too. */
    private void fail(Leg dead, Leg other) {
        if (over || survivor != null) {
            return;
        }
        countFailure(dead);
        survivor = other;
        dead.ended = true;
        other.ended = true;
        if (other.held == null) {
            resetOnceDelivered(other);
        } else {
            loop.await(loop.halfClosed, this, loop.now());
        }
    }

    private void countFailure(Leg dead) {
        if (dead.hasLostPeer()) {
            cells.increment(dead == client ? Counter.SESSIONS_CLIENT_LOST : Counter.SESSIONS_ENDPOINT_LOST);
            log.debug(
                    "{}: no answer from {} to data or keep-alive probes; resetting the connection of {}",
                    service.stats.name(),
                    dead == client ? "the client" : target,
                    clientAddress);
        } else {
            cells.increment(dead == client ? Counter.SESSIONS_RESET_BY_CLIENT : Counter.SESSIONS_RESET_BY_ENDPOINT);
        }
    }

    /** A reset makes the kernel drop what it has not sent yet, so it has to wait until that has arrived. */
    private void resetOnceDelivered(Leg leg) {
        if (over) {
            return;
        }
        if (!loop.tcpInfo.read(leg.socket) || !loop.tcpInfo.hasOutput()) {
            end(true);
            return;
        }
        if (queue != loop.halfClosed) {
            loop.await(loop.halfClosed, this, loop.now());
        }
        loop.later(() -> resetOnceDelivered(leg), DELIVERY_CHECK_MILLIS);
    }

    // ---- ending

    @Override
    void broke(Throwable fault) {
        try {
            log.error("internal error; closing session of {} from {}", service.stats.name(), clientAddress, fault);
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

    private void end(boolean reset) {
        if (over) {
            return;
        }
        over = true;
        leaveQueue();
        cells.add(Counter.SESSIONS_ACTIVE, -1);
        loop.sessionClosed();
        loop.clients.sessionClosed(clientAddress);
        try {
            client.release(loop, reset);
        } finally {
            if (endpoint != null) {
                endpoint.release(loop, reset && connected);
            }
        }
        if (connected) {
            service.stats.record(loop.index, Timing.SESSION, loop.now() - openedNanos);
        }
    }
}
