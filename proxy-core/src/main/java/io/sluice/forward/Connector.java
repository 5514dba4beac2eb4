package io.sluice.forward;

import io.sluice.balance.EndpointTarget;
import io.sluice.balance.FrontendRouting;
import io.sluice.forward.EndedConnection.End;
import io.sluice.forward.TimeoutQueue.Kind;
import io.sluice.model.IpAddress;
import io.sluice.model.TrafficPolicy.Lifetime;
import io.sluice.socket.Errno;
import io.sluice.socket.InetSocket;
import io.sluice.stats.Counter;
import java.io.IOException;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/**
 * Connects a {@link TcpSession} to an endpoint, one attempt at a time. If an endpoint refuses the connection or does
 * not answer within the connect timeout, the connector tries another endpoint. The last or only endpoint gets whatever
 * remains of the connect deadline, during which the kernel retransmits the SYN several times. Used only by the loop's
 * thread; discarded once the connection is established.
 */
final class Connector {
    private final TcpSession session;
    private final Loop loop;
    private final EndpointAttempts attempts;

    /** Start time of the current attempt. */
    private long attemptNanos;

    private @Nullable EndpointTarget target;
    /** Whether the last attempt failed because this node was out of a resource. */
    private boolean exhausted;
    /** Whether the connection waits for an endpoint. */
    private boolean holding;

    private @Nullable Leg leg;

    Connector(TcpSession session, EndpointAttempts attempts) {
        this.session = session;
        this.loop = session.loop;
        this.attempts = attempts;
    }

    void start(FrontendRouting routing) {
        EndpointTarget first = attempts.first(routing, session.connectStartNanos());
        if (first == null && routing.holds(session.peerAddress(), session.clientAddress)) {
            hold(routing.policy().lifetime());
        } else {
            connect(first);
        }
    }

    /** Waits for an endpoint, because the Service has none, within its limits. */
    private void hold(Lifetime lifetime) {
        boolean heldBefore = session.policy != null && session.policy.heldBefore;
        if (!session.service.limits().tryHold(heldBefore ? Integer.MAX_VALUE : lifetime.holdLimit())) {
            session.close(Counter.SESSIONS_OVER_HOLD_LIMIT, End.LIMIT, true);
            return;
        }
        holding = true;
        session.cells.add(Counter.SESSIONS_HOLDING, 1);
        loop.timeouts.await(loop.timeouts.queue(Kind.HOLD, lifetime.holdNanos()), session, loop.now());
        session.policyOrNew().registerClient();
        // An endpoint may have appeared since the routing was read, before the control thread could see this wait.
        retryHold();
    }

    boolean isHolding() {
        return holding;
    }

    /** Connects to an endpoint, if the connection waits for one and need not wait any longer. */
    void retryHold() {
        FrontendRouting routing = attempts.routing();
        if (holding && !routing.holds(session.peerAddress(), session.clientAddress)) {
            session.leaveQueue();
            releaseHold();
            session.policyOrNew().connectStartNanos = loop.now();
            session.admit(routing);
        }
    }

    /** Resets the connection, if it waits for an endpoint. */
    void endHold() {
        if (holding) {
            session.close(Counter.SESSIONS_REFUSED, End.REFUSED, true);
        }
    }

    private void releaseHold() {
        if (holding) {
            holding = false;
            session.cells.add(Counter.SESSIONS_HOLDING, -1);
            session.service.limits().releaseHold();
        }
    }

    private void connect(@Nullable EndpointTarget first) {
        EndpointTarget next = first;
        while (next != null) {
            if (session.policy != null && !session.policy.tryAcquire(next)) {
                next = attempts.otherThan(next, loop.now());
                continue;
            }
            try {
                start(next);
                return;
            } catch (IOException e) {
                int errno = Errno.of(e);
                attemptFailed(errno);
                // Without a free descriptor or epoll watch, an attempt with another endpoint would fail in the same
                // way.
                next = errno == Errno.EMFILE || errno == Errno.ENFILE || errno == Errno.ENOSPC ? null : nextEndpoint();
            }
        }
        if (attempts.anyFailed()) {
            session.close(Counter.SESSIONS_FAILED, exhausted ? End.OVERLOAD : End.CONNECT_FAILED, true);
        } else if (attempts.allFull()) {
            session.close(Counter.SESSIONS_OVER_ENDPOINT_LIMIT, End.LIMIT, true);
        } else {
            session.close(Counter.SESSIONS_REFUSED, End.REFUSED, true);
        }
    }

    private long connectTimeoutNanos() {
        long ofService = session.service.policy().timeouts().connectNanos();
        return ofService == 0 ? loop.connectTimeoutNanos : ofService;
    }

    private long connectDeadlineNanos() {
        long ofService = session.service.policy().timeouts().connectDeadlineNanos();
        return ofService == 0 ? loop.connectDeadlineNanos : ofService;
    }

    private @Nullable EndpointTarget nextEndpoint() {
        EndpointTarget next = attempts.nextUntried(loop.connectAttempts, loop.now());
        if (next != null) {
            session.cells.increment(Counter.CONNECT_RETRIED);
        }
        return next;
    }

    private void start(EndpointTarget next) throws IOException {
        target = next;
        session.tries++;
        attemptNanos = loop.now();
        InetSocket socket = InetSocket.stream(next.endpoint.address().family());
        Leg attempt = new Leg(session, socket, false);
        leg = attempt;
        IpAddress source =
                loop.sourceAddressFor(session.peerAddress(), next.endpoint, attempts.routing(), session.cells);
        if (source != null) {
            TransparentSockets.bindToClient(socket, source);
        }
        if (loop.transparentSockets != null) {
            loop.transparentSockets.prioritize(socket, next.endpoint);
        }
        socket.acknowledgeWithData();
        socket.connect(next.socketAddress());
        attempt.register(loop, true);
        loop.timeouts.await(loop.timeouts.connecting, session, attemptNanos);
    }

    /** Called every 100 ms while connecting: continues to wait, tries another endpoint, or gives up. */
    void checkTimeout(long nowNanos) {
        EndpointTarget next = null;
        if (nowNanos - session.connectStartNanos() < connectDeadlineNanos()) {
            if (nowNanos - attemptNanos >= connectTimeoutNanos()) {
                next = attempts.alternativeTo(Objects.requireNonNull(target), loop.connectAttempts, nowNanos);
            }
            if (next == null) {
                loop.timeouts.await(loop.timeouts.connecting, session, nowNanos);
                return;
            }
            session.cells.increment(Counter.CONNECT_RETRIED);
        }
        attemptFailed(Errno.ETIMEDOUT);
        connect(next);
    }

    private void attemptFailed(int errno) {
        release();
        if (session.policy != null) {
            session.policy.releaseEndpoint();
        }
        session.leaveQueue();
        ResourceExhaustion.Kind resource = ResourceExhaustion.Kind.errno(errno);
        exhausted = resource != null;
        if (target != null) {
            long now = loop.now();
            long timeouts = errno == Errno.ETIMEDOUT ? (now - attemptNanos) / connectTimeoutNanos() : 0;
            attempts.failed(target, timeouts > 0);
            if (resource == null) {
                // Otherwise this node is at fault, not the endpoint.
                target.cells(loop.index).failed();
                if (errno == Errno.ETIMEDOUT) {
                    target.timedOut(timeouts, Errno.text(errno), now);
                } else {
                    target.refused(Errno.text(errno), now);
                }
            }
        }
        session.cells.increment(reason(errno));
        if (resource != null) {
            loop.exhaustion.note(resource);
        }
    }

    /** The endpoint of the last attempt; null if there was none. */
    @Nullable
    EndpointTarget target() {
        return target;
    }

    /** Ends the current attempt or wait, and closes the socket to the endpoint. */
    void release() {
        releaseHold();
        Leg attempt = leg;
        if (attempt != null) {
            leg = null;
            attempt.release(loop, false);
        }
    }

    private static Counter reason(int errno) {
        return switch (errno) {
            case Errno.ECONNREFUSED -> Counter.CONNECT_REFUSED;
            case Errno.EHOSTUNREACH, Errno.ENETUNREACH -> Counter.CONNECT_UNREACHABLE;
            case Errno.ETIMEDOUT -> Counter.CONNECT_TIMEOUT;
            default ->
                ResourceExhaustion.Kind.errno(errno) != null ? Counter.CONNECT_NO_RESOURCES : Counter.CONNECT_ERROR;
        };
    }

    /** Handles an event on the endpoint's socket; events from earlier attempts are ignored. */
    void onEvent(Leg source, int ops) {
        if (source != leg) {
            return;
        }
        if ((ops & (EpollFlags.ERR | EpollFlags.HUP)) != 0) {
            int errno = source.takeError();
            attemptFailed(errno == 0 ? Errno.ECONNREFUSED : errno);
            connect(nextEndpoint());
        } else if ((ops & EpollFlags.OUT) != 0) {
            long now = loop.now();
            EndpointTarget answered = Objects.requireNonNull(target);
            attempts.succeeded(answered, now);
            answered.cells(loop.index).connected(now - attemptNanos);
            // The session takes ownership of the leg and discards this connector.
            session.connected(source, answered, now);
        }
    }
}
