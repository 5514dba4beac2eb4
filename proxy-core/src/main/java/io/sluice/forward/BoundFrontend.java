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
 * A frontend address with its listeners and state. Any thread may read {@link #status}, and the loops read {@link
 * #routes}. Everything else is accessed only under the forwarder's lock.
 */
final class BoundFrontend {
    private static final long FIRST_RETRY_NANOS = 500_000_000L;
    private static final long LONGEST_RETRY_NANOS = 30_000_000_000L;

    final FrontendAddress address;
    final FrontendRoutes routes;

    volatile FrontendStatus status;
    private List<Listener> listeners = List.of();
    /** Pending registrations of the listeners on their loops. */
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
     * Whether the frontend needs open sockets, because it forwards or is draining. Otherwise the port stays closed, so
     * that the kernel rejects clients (TCP RST, ICMP port unreachable).
     */
    boolean wantsOpen() {
        return routing().frontend().isListening() || isDraining();
    }

    /**
     * Whether the frontend accepts no new flows, and its UDP sockets are open only for existing flows whose endpoint is
     * still serving.
     */
    boolean isDraining() {
        if (routing().frontend().isListening()
                || routing().servicePort().servingEndpoints().isEmpty()) {
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

    /**
     * Sets the sockets that {@link #open} adopts instead of opening new ones: those of the old process or, after a
     * failed handover, those that this process released.
     */
    void inherit(ForwarderHandover.@Nullable Sockets sockets) {
        inherited = sockets;
    }

    /** Number of listener sockets, not including the sockets of flows. */
    int sockets() {
        return listeners.size();
    }

    /**
     * Releases the sockets without closing them. Each future completes once the loop no longer reads from its socket.
     */
    List<Future<ForwarderHandover.OpenSocket>> detach() {
        List<Future<ForwarderHandover.OpenSocket>> detaching = new ArrayList<>(listeners.size());
        for (Listener listener : listeners) {
            detaching.add(listener.detach());
        }
        clearListeners();
        return detaching;
    }

    /** Explains to operators why the port is closed; empty if the port should be open. */
    String closedReason() {
        if (wantsOpen()) {
            return "";
        }
        return routing().frontend().passesAny()
                ? "not proxied: the process on this node that is its endpoint serves the address itself"
                : "no endpoint to forward to; the port is closed";
    }

    /**
     * Opens a socket on each of {@code loops}, or adopts the inherited sockets. If this method throws, no socket is
     * open. Afterwards, {@link #startFailure} reports whether the loops could register the sockets.
     *
     * @param sharesPort whether frontends of this process use the port both on all addresses and on a single one; if
     *     so, the check for other processes on this port is skipped, because Sluice's own socket would make it fail
     */
    void open(List<Loop> loops, boolean sharesPort) throws IOException {
        ForwarderHandover.Sockets ready = inherited;
        if (ready != null) {
            inherited = null;
            adopt(ready.sockets(), loops);
            return;
        }
        if (!Descriptors.hasRoomForListeners(loops.size())) {
            throw Errors.newIOException("listen", -Errno.EMFILE);
        }
        List<Listener> opened = new ArrayList<>(loops.size());
        boolean tcp = address.protocol() == Protocol.TCP;
        try {
            TransparentSockets transparentSockets = loops.get(0).transparentSockets;
            // Even without this check, bind fails if another process uses the port, unless that process set
            // SO_REUSEPORT and runs as the same user.
            if (!sharesPort) {
                probe(transparentSockets);
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

    /**
     * Waits until the loops have registered the listeners. Returns the first failure, or null if all were registered.
     */
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

    private void probe(@Nullable TransparentSockets transparentSockets) throws IOException {
        if (address.protocol() == Protocol.TCP) {
            TcpListener.probe(address, transparentSockets);
        } else {
            UdpListener.probe(address, transparentSockets != null);
        }
    }

    /** Adopts every socket, even if there are more sockets than loops, because clients may be queued on any of them. */
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
            // The listener that failed has closed its own socket, but not the sockets of its flows.
            ForwarderHandover.close(sockets.get(opened.size()).flows());
            ForwarderHandover.close(
                    new ForwarderHandover.Sockets(address, sockets.subList(opened.size() + 1, sockets.size())));
            opened.forEach(listener -> listener.stop().awaitUninterruptibly());
            throw e;
        }
        start(opened);
    }

    /** Closes the sockets. When all futures have completed, the address can be bound again. */
    List<Future<?>> close() {
        if (inherited != null) {
            ForwarderHandover.close(inherited);
            inherited = null;
        }
        List<Future<?>> closing = new ArrayList<>(listeners.size());
        for (Listener listener : listeners) {
            closing.add(listener.stop());
        }
        clearListeners();
        return closing;
    }

    private void clearListeners() {
        Descriptors.removeListeners(listeners.size());
        listeners = List.of();
    }

    /** Closes TCP listening sockets. UDP sockets stay open, because replies to existing flows are sent through them. */
    List<Future<?>> stopAccepting() {
        return address.protocol() == Protocol.TCP ? close() : List.of();
    }

    /** Updates the status and returns true, or returns false if nothing would change. */
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

    void scheduleRetry(long nowNanos) {
        retryDelayNanos = Math.min(LONGEST_RETRY_NANOS, Math.max(FIRST_RETRY_NANOS, retryDelayNanos * 2));
        retryAtNanos = nowNanos + retryDelayNanos;
    }

    boolean isRetryDue(long nowNanos) {
        return status.state() == State.FAILED && nowNanos - retryAtNanos >= 0;
    }
}
