package io.sluice.forward;

import io.sluice.balance.EndpointTarget;
import io.sluice.balance.FrontendRouting;
import io.sluice.model.IpAddress;
import io.sluice.socket.Errno;
import io.sluice.socket.InetSocket;
import io.sluice.stats.Counter;
import java.io.IOException;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/**
 * Connects a {@link TcpSession} to an endpoint, one attempt at a time: another endpoint when one refuses or does not
 * answer within the connect timeout; the last or only one gets the rest of the connect deadline, in which the kernel
 * sends its SYN several times more. Belongs to the session's loop, and is dropped once the connection is established.
 */
final class Connector {
    private final TcpSession session;
    private final Loop loop;
    private final EndpointAttempts attempts;

    /** When the attempt in progress began. */
    private long attemptNanos;

    private @Nullable EndpointTarget target;
    private @Nullable Leg leg;

    Connector(TcpSession session, EndpointAttempts attempts) {
        this.session = session;
        this.loop = session.loop;
        this.attempts = attempts;
    }

    void begin(FrontendRouting routing) {
        connect(attempts.first(routing, session.openedNanos));
    }

    private void connect(@Nullable EndpointTarget first) {
        EndpointTarget next = first;
        while (next != null) {
            try {
                start(next);
                return;
            } catch (IOException e) {
                int errno = Errno.of(e);
                attemptFailed(errno);
                // Without a descriptor or an epoll watch, no other endpoint can be tried either.
                next = errno == Errno.EMFILE || errno == Errno.ENFILE || errno == Errno.ENOSPC ? null : another();
            }
        }
        session.cells.increment(attempts.anyFailed() ? Counter.SESSIONS_FAILED : Counter.SESSIONS_REFUSED);
        session.end(true);
    }

    private @Nullable EndpointTarget another() {
        EndpointTarget next = attempts.another(loop.now());
        if (next != null) {
            session.cells.increment(Counter.CONNECT_RETRIED);
        }
        return next;
    }

    private void start(EndpointTarget next) throws IOException {
        target = next;
        attemptNanos = loop.now();
        InetSocket socket = InetSocket.stream(next.endpoint.address().family());
        Leg attempt = new Leg(session, socket, false);
        leg = attempt;
        IpAddress source = loop.sourceOf(session.clientAddress, next.endpoint, attempts.routing(), session.cells);
        if (source != null) {
            TransparentSockets.assume(socket, source);
        }
        if (loop.transparency != null) {
            loop.transparency.prioritize(socket, next.endpoint);
        }
        socket.acknowledgeWithData();
        socket.connect(next.socketAddress());
        attempt.register(loop, true);
        loop.timeouts.await(loop.timeouts.connecting, session, attemptNanos);
    }

    /** The endpoint has not answered yet. */
    void keepWaiting(long nowNanos) {
        EndpointTarget next = null;
        if (nowNanos - session.openedNanos < loop.connectDeadlineNanos) {
            if (nowNanos - attemptNanos >= loop.connectTimeoutNanos) {
                next = attempts.insteadOf(Objects.requireNonNull(target), nowNanos);
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
        session.leaveQueue();
        if (target != null) {
            long now = loop.now();
            long timeouts = errno == Errno.ETIMEDOUT ? (now - attemptNanos) / loop.connectTimeoutNanos : 0;
            attempts.failed(target, timeouts, now);
        }
        session.cells.increment(reason(errno));
        ResourceExhaustion.Kind lacking = ResourceExhaustion.Kind.errno(errno);
        if (lacking != null) {
            loop.shortage.note(lacking);
        }
    }

    /** Ends the attempt in progress. */
    void release() {
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

    /** An event of the endpoint's socket; one of an earlier attempt means nothing any more. */
    void onEvent(Leg of, int ops) {
        if (of != leg) {
            return;
        }
        if ((ops & (Leg.EPOLLERR | Leg.EPOLLHUP)) != 0) {
            int errno = of.takeError();
            attemptFailed(errno == 0 ? Errno.ECONNREFUSED : errno);
            connect(another());
        } else if ((ops & Leg.EPOLLOUT) != 0) {
            long now = loop.now();
            EndpointTarget answered = Objects.requireNonNull(target);
            attempts.succeeded(answered, now);
            // Drops this connector as soon as the session has the leg.
            session.connected(of, answered, now);
        }
    }
}
