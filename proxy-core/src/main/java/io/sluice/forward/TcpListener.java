package io.sluice.forward;

import io.netty.channel.IoEvent;
import io.netty.channel.IoRegistration;
import io.netty.channel.epoll.EpollIoHandle;
import io.netty.channel.epoll.EpollIoOps;
import io.netty.channel.unix.FileDescriptor;
import io.netty.util.NetUtil;
import io.netty.util.concurrent.Future;
import io.sluice.balance.FrontendRouting;
import io.sluice.model.Family;
import io.sluice.model.FrontendAddress;
import io.sluice.model.IpAddress;
import io.sluice.socket.Descriptors;
import io.sluice.socket.Errno;
import io.sluice.socket.InetSocket;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.util.List;
import java.util.Objects;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Accepts connections on one listening socket of a frontend, and starts a {@link TcpSession} for each. */
final class TcpListener implements EpollIoHandle, Listener {
    private static final Logger log = LoggerFactory.getLogger(TcpListener.class);

    /** Maximum number of connections to accept per event; the limit lets the loop serve open connections in between. */
    private static final int ACCEPTS_PER_EVENT = 64;

    private static final EpollIoOps ACCEPTING = EpollIoOps.EPOLLIN;
    // epoll reports errors even without this flag, but without any flag Netty would remove the socket and could not add
    // it again.
    private static final EpollIoOps PAUSED = EpollIoOps.EPOLLERR;

    private static final int DESCRIPTORS_PER_SESSION = 2;

    /** Addresses that are reserved for documentation, so no other socket is bound to them. */
    private static final IpAddress UNUSED_IPV4 = Objects.requireNonNull(IpAddress.parse("192.0.2.254"));

    private static final IpAddress UNUSED_IPV6 = Objects.requireNonNull(IpAddress.parse("2001:db8:ffff::fffe"));

    private final Loop loop;
    private final FrontendRoutes frontend;
    private final InetSocket socket;
    private @Nullable IoRegistration registration;
    private boolean closed;

    private TcpListener(Loop loop, FrontendRoutes frontend, InetSocket socket) {
        this.loop = loop;
        this.frontend = frontend;
        this.socket = socket;
    }

    /** Creates a listener with a new socket. Connections wait in the accept queue until {@link #start} is called. */
    static TcpListener bind(Loop loop, FrontendRoutes frontend) throws IOException {
        FrontendAddress address = frontend.address;
        int port = loop.transparentSockets == null ? address.port() : loop.transparentSockets.listeningPort(address);
        InetSocket socket = bound(address.address(), port, loop.transparentSockets != null, true);
        try {
            // Accepted sockets inherit these options, which saves five system calls for each connection.
            socket.setTcpNoDelay(true);
            loop.keepAlive.enable(socket);
            socket.keepUrgentData();
            socket.listen(NetUtil.SOMAXCONN);
            return new TcpListener(loop, frontend, socket);
        } catch (IOException | RuntimeException | Error e) {
            socket.closeQuietly();
            throw e;
        }
    }

    /**
     * Creates a listener with a socket of the old process. If that socket listens on a different port than this process
     * would use, this method closes it and binds a new one. On failure, it closes the socket and throws.
     */
    static TcpListener adopt(Loop loop, FrontendRoutes frontend, ForwarderHandover.OpenSocket inherited)
            throws IOException {
        InetSocket socket = InetSocket.adopt(inherited.descriptor());
        try {
            // The old process may have used different keep-alive settings.
            loop.keepAlive.enable(socket);
        } catch (IOException | RuntimeException | Error e) {
            socket.closeQuietly();
            throw e;
        }
        InetSocketAddress bound = socket.localAddress();
        if (loop.transparentSockets == null
                || (bound != null && bound.getPort() == loop.transparentSockets.listeningPort(frontend.address))) {
            return new TcpListener(loop, frontend, socket);
        }
        socket.closeQuietly();
        return bind(loop, frontend);
    }

    /**
     * Throws if another process serves the address. To check this, binds a socket without SO_REUSEPORT; with that
     * option, the kernel would let both processes share the address, and each would receive some of the connections. If
     * Sluice listens on a different port than the frontend's, a process that listens on the frontend's port on all
     * addresses is not a conflict: that process continues to receive the connections to all other addresses.
     */
    static void probe(FrontendAddress frontend, @Nullable TransparentSockets transparentSockets) throws IOException {
        IpAddress address = frontend.address();
        try {
            bound(address, frontend.port(), transparentSockets != null, false).closeQuietly();
        } catch (IOException e) {
            if (transparentSockets == null
                    || transparentSockets.listeningPort(frontend) == frontend.port()
                    || !isTakenOnAllAddresses(address.family(), frontend.port())) {
                throw e;
            }
        }
    }

    private static boolean isTakenOnAllAddresses(Family family, int port) throws IOException {
        try {
            bound(family == Family.IPV6 ? UNUSED_IPV6 : UNUSED_IPV4, port, true, false)
                    .closeQuietly();
            return false;
        } catch (IOException e) {
            if (Errno.of(e) != Errno.EADDRINUSE) {
                throw e;
            }
            return true;
        }
    }

    private static InetSocket bound(IpAddress address, int port, boolean transparent, boolean reusePort)
            throws IOException {
        InetSocket socket = InetSocket.stream(address.family());
        try {
            socket.setReuseAddress(true);
            socket.setReusePort(reusePort);
            if (transparent) {
                TransparentSockets.allow(socket, address.family());
            }
            socket.bind(address, port);
            return socket;
        } catch (IOException | RuntimeException | Error e) {
            socket.closeQuietly();
            throw e;
        }
    }

    @Override
    public Future<?> start() {
        return loop.executor.submit(() -> {
            registration = loop.register(this, ACCEPTING);
            return registration;
        });
    }

    @Override
    public void handle(IoRegistration registration, IoEvent ioEvent) {
        if (loop.exhaustion.shouldPauseAccepting() || loop.bufferBudget.isExhausted()) {
            pause();
            return;
        }
        FrontendRouting routing = frontend.routing;
        for (int i = 0; i < ACCEPTS_PER_EVENT && !closed; i++) {
            if (!Descriptors.hasRoomFor(DESCRIPTORS_PER_SESSION)) {
                loop.exhaustion.note(ResourceExhaustion.Kind.DESCRIPTORS);
                pause();
                return;
            }
            int fd;
            try {
                fd = socket.accept(loop.acceptedAddress);
            } catch (IOException e) {
                acceptFailed(e);
                return;
            }
            if (fd < 0) {
                return;
            }
            open(routing, new InetSocket(fd));
        }
    }

    private void open(FrontendRouting routing, InetSocket accepted) {
        try {
            byte[] address = loop.acceptedAddress;
            int length = address[0];
            IpAddress client = IpAddress.of(address, 1, length == 8 ? 4 : 16);
            int port = (address[length - 1] & 0xff) << Byte.SIZE | (address[length] & 0xff);
            SessionOpener.open(loop, frontend, routing, accepted, client, port);
        } catch (RuntimeException | Error fault) {
            // If this were rethrown, other connections would lose the remaining events of this round, which epoll does
            // not repeat.
            accepted.closeQuietly();
            log.error("internal error; closing a new connection to {}", frontend.address, fault);
        }
    }

    private void acceptFailed(IOException e) {
        int errno = Errno.of(e);
        if (errno == Errno.EINVAL || errno == Errno.EBADF || errno == Errno.ENOTSOCK) {
            // The socket no longer listens; every accept would fail.
            close();
            frontend.listenerFailed(this, e);
            return;
        }
        ResourceExhaustion.Kind exhausted = ResourceExhaustion.Kind.errno(errno);
        if (exhausted == null) {
            // ECONNABORTED and network errors affect only the connection that was in the queue; see accept(2).
            log.trace("{}: accept failed: {}", frontend.address, e.getMessage());
            return;
        }
        loop.exhaustion.note(exhausted);
        pause();
    }

    /** Stops accepting for 100 ms; new connections then wait in the accept queue. */
    private void pause() {
        if (registration != null) {
            registration.submit(PAUSED);
            loop.timeouts.later(this::resume, ResourceExhaustion.PAUSE_MILLIS);
        }
    }

    private void resume() {
        if (!closed && registration != null) {
            registration.submit(ACCEPTING);
        }
    }

    /** Always false, because each connection has its own socket. */
    @Override
    public boolean isUsed() {
        return false;
    }

    @Override
    public Future<?> stop() {
        return loop.executor.submit(this::close);
    }

    @Override
    public Future<ForwarderHandover.OpenSocket> detach() {
        return loop.executor.submit(() -> {
            closed = true;
            if (registration != null) {
                registration.cancel();
            }
            Descriptors.closed();
            return new ForwarderHandover.OpenSocket(socket.intValue(), List.of());
        });
    }

    /** Closes the socket; the kernel resets connections in its accept queue. */
    @Override
    public void close() {
        if (closed) {
            return;
        }
        closed = true;
        if (registration != null) {
            registration.cancel();
        }
        socket.closeQuietly();
    }

    @Override
    public FileDescriptor fd() {
        return socket;
    }
}
