package io.sluice.forward;

import io.netty.channel.unix.Errors;
import io.netty.util.concurrent.Future;
import io.sluice.balance.FrontendRouting;
import io.sluice.forward.FrontendStatus.Failure;
import io.sluice.forward.FrontendStatus.State;
import io.sluice.model.FrontendAddress;
import io.sluice.model.Protocol;
import io.sluice.socket.Descriptors;
import io.sluice.socket.Errno;
import java.io.IOException;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * One frontend address and its sockets. The loops read {@link #routes}; all else belongs to the control side, under the
 * forwarder's lock.
 */
final class BoundFrontend {
    private static final long FIRST_RETRY_NANOS = 500_000_000L;
    private static final long LONGEST_RETRY_NANOS = 30_000_000_000L;

    final FrontendAddress address;
    final FrontendRoutes routes;

    volatile FrontendStatus status;
    private List<Listener> listeners = List.of();
    /** Registrations of the listeners. */
    private List<Future<?>> starting = List.of();

    private ForwarderHandover.@Nullable Sockets inherited;
    private long retryDelayNanos;
    private long retryAtNanos;

    BoundFrontend(FrontendRoutes routes) {
        this.address = routes.address;
        this.routes = routes;
        this.status = new FrontendStatus(
                address, routing().servicePort().name(), State.PENDING, Failure.NONE, "", Instant.now());
    }

    private FrontendRouting routing() {
        return routes.routing;
    }

    boolean isOpen() {
        return !listeners.isEmpty();
    }

    /**
     * Whether there is anybody to send clients to; if not, the closed port tells them so. But flows whose endpoint still
     * serves go on, whatever becomes of new ones, and it is their socket.
     */
    boolean wantsOpen() {
        return routing().frontend().forwardsAny() || lingers();
    }

    /** Whether it is open only for the flows that it has. */
    boolean lingers() {
        if (routing().frontend().forwardsAny()
                || routing().servicePort().flowEndpoints().isEmpty()) {
            return false;
        }
        for (Listener listener : listeners) {
            if (listener.isUsed()) {
                return true;
            }
        }
        return inherited != null
                && inherited.sockets().stream()
                        .anyMatch(socket -> !socket.flows().isEmpty());
    }

    /** Has sockets of a predecessor, or of its own from before, to open with. */
    void inherit(ForwarderHandover.@Nullable Sockets sockets) {
        inherited = sockets;
    }

    /** How many sockets it has, those of flows not counted. */
    int sockets() {
        return listeners.size();
    }

    /** Gives its sockets away, open; the futures are done when nothing is read from them any more. */
    List<Future<ForwarderHandover.OpenSocket>> detach() {
        List<Future<ForwarderHandover.OpenSocket>> detaching = new ArrayList<>(listeners.size());
        for (Listener listener : listeners) {
            detaching.add(listener.detach());
        }
        forgetListeners();
        return detaching;
    }

    /** Why its port is closed; empty if it is to be open. */
    String closedBecause() {
        if (wantsOpen()) {
            return "";
        }
        return routing().frontend().passesAny()
                ? "left to the process of this node that is its endpoint"
                : "nothing to forward to, refused";
    }

    /**
     * Opens a socket on each of {@code loops}, or none; {@link #startFailure} tells whether they have events.
     *
     * @param sharesPort whether another frontend here has the port, too, so that whether the port is free says nothing
     */
    void open(List<Loop> loops, boolean sharesPort) throws IOException {
        ForwarderHandover.Sockets ready = inherited;
        if (ready != null) {
            inherited = null;
            adopt(ready.sockets(), loops);
            return;
        }
        if (!Descriptors.roomForListeners(loops.size())) {
            throw Errors.newIOException("listen", -Errno.EMFILE);
        }
        List<Listener> opened = new ArrayList<>(loops.size());
        boolean tcp = address.protocol() == Protocol.TCP;
        try {
            TransparentSockets transparency = loops.get(0).transparency;
            // Without it, another process's socket still keeps ours out, unless it has SO_REUSEPORT and our user.
            if (!sharesPort) {
                probe(transparency);
            }
            for (Loop loop : loops) {
                opened.add(tcp ? TcpListener.bind(loop, routes) : UdpListener.bind(loop, routes));
            }
        } catch (IOException | RuntimeException | Error e) {
            opened.forEach(listener -> listener.stop().awaitUninterruptibly());
            throw e;
        }
        start(opened);
    }

    private void start(List<Listener> opened) {
        listeners = opened;
        Descriptors.addListeners(opened.size());
        starting = opened.stream().<Future<?>>map(Listener::start).toList();
    }

    /** Waits for the loops to register the listeners; null if all are registered. */
    @Nullable
    Throwable startFailure() {
        Throwable failure = null;
        for (Future<?> start : starting) {
            Throwable cause = start.awaitUninterruptibly().cause();
            failure = failure == null ? cause : failure;
        }
        starting = List.of();
        return failure;
    }

    boolean has(Listener listener) {
        return listeners.contains(listener);
    }

    private void probe(@Nullable TransparentSockets transparency) throws IOException {
        if (address.protocol() == Protocol.TCP) {
            TcpListener.probe(address, transparency);
        } else {
            UdpListener.probe(address, transparency != null);
        }
    }

    /** Each of them is kept, since clients may wait on any: however many loops there are. */
    private void adopt(List<ForwarderHandover.OpenSocket> sockets, List<Loop> loops) throws IOException {
        List<Listener> opened = new ArrayList<>(sockets.size());
        try {
            for (ForwarderHandover.OpenSocket socket : sockets) {
                Loop loop = loops.get(opened.size() % loops.size());
                opened.add(
                        address.protocol() == Protocol.TCP
                                ? TcpListener.adopt(loop, routes, socket)
                                : UdpListener.adopt(loop, routes, socket));
            }
        } catch (IOException | RuntimeException | Error e) {
            // The socket of the one that failed is closed.
            ForwarderHandover.close(sockets.get(opened.size()).flows());
            ForwarderHandover.close(
                    new ForwarderHandover.Sockets(address, sockets.subList(opened.size() + 1, sockets.size())));
            opened.forEach(listener -> listener.stop().awaitUninterruptibly());
            throw e;
        }
        start(opened);
    }

    /** Closes the sockets; the futures are done when the address is free. */
    List<Future<?>> close() {
        if (inherited != null) {
            ForwarderHandover.close(inherited);
            inherited = null;
        }
        List<Future<?>> closing = new ArrayList<>(listeners.size());
        for (Listener listener : listeners) {
            closing.add(listener.stop());
        }
        forgetListeners();
        return closing;
    }

    private void forgetListeners() {
        Descriptors.removeListeners(listeners.size());
        listeners = List.of();
    }

    /** Closes the listening sockets; a UDP socket stays, since the answers of its flows leave through it. */
    List<Future<?>> stopAccepting() {
        return address.protocol() == Protocol.TCP ? close() : List.of();
    }

    /** The state it is in from now on; the same as before keeps its time. */
    boolean enter(State state, Failure failure, String reason) {
        FrontendStatus before = status;
        boolean same = before.state() == state
                && before.failure() == failure
                && before.reason().equals(reason)
                && before.service().equals(routing().servicePort().name());
        if (!same) {
            status = new FrontendStatus(address, routing().servicePort().name(), state, failure, reason, Instant.now());
        }
        if (state != State.FAILED) {
            retryDelayNanos = 0;
        }
        return !same;
    }

    void retryLater(long nowNanos) {
        retryDelayNanos = Math.min(LONGEST_RETRY_NANOS, Math.max(FIRST_RETRY_NANOS, retryDelayNanos * 2));
        retryAtNanos = nowNanos + retryDelayNanos;
    }

    boolean isRetryDue(long nowNanos) {
        return status.state() == State.FAILED && nowNanos - retryAtNanos >= 0;
    }
}
