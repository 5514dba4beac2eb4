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

/** A listening TCP socket of one frontend on one loop: accepts, and starts a session for each connection. */
final class TcpListener implements EpollIoHandle, Listener {
    private static final Logger log = LoggerFactory.getLogger(TcpListener.class);

    /** One wake-up accepts at most this many, so that open sessions get their turn. */
    private static final int ACCEPTS_PER_EVENT = 64;

    private static final EpollIoOps ACCEPTING = EpollIoOps.EPOLLIN;
    // Errors are always reported; asking for nothing at all would remove the socket, and Netty could not put it back.
    private static final EpollIoOps PAUSED = EpollIoOps.EPOLLERR;

    private static final int DESCRIPTORS_PER_SESSION = 2;

    /** Where there is nobody by agreement: documentation. */
    private static final IpAddress NOBODY4 = Objects.requireNonNull(IpAddress.parse("192.0.2.254"));

    private static final IpAddress NOBODY6 = Objects.requireNonNull(IpAddress.parse("2001:db8:ffff::fffe"));

    private static final int SOL_SOCKET = 1;
    private static final int SO_OOBINLINE = 10;

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

    /** Binds and listens; connections wait in the kernel until {@link #start}. Control side. */
    static TcpListener bind(Loop loop, FrontendRoutes frontend) throws IOException {
        FrontendAddress address = frontend.address;
        int port = loop.transparency == null ? address.port() : loop.transparency.listeningPort(address);
        InetSocket socket = bound(address.address(), port, loop.transparency != null, true);
        try {
            // Inherited by every accepted socket, which saves five system calls a connection.
            socket.setTcpNoDelay(true);
            loop.keepAlive.enable(socket);
            // An urgent byte stays in the stream, so that it is passed on like any other.
            socket.setIntOpt(SOL_SOCKET, SO_OOBINLINE, 1);
            socket.listen(NetUtil.SOMAXCONN);
            return new TcpListener(loop, frontend, socket);
        } catch (IOException | RuntimeException | Error e) {
            socket.closeQuietly();
            throw e;
        }
    }

    /**
     * A socket that listens already, of a predecessor; one like it where that listens on another port than we would. It
     * is closed where this fails.
     */
    static TcpListener adopt(Loop loop, FrontendRoutes frontend, ForwarderHandover.OpenSocket inherited)
            throws IOException {
        InetSocket socket = InetSocket.adopt(inherited.descriptor());
        try {
            // The process that opened it may have had other settings.
            loop.keepAlive.enable(socket);
        } catch (IOException | RuntimeException | Error e) {
            socket.closeQuietly();
            throw e;
        }
        InetSocketAddress bound = socket.localAddress();
        if (loop.transparency == null
                || (bound != null && bound.getPort() == loop.transparency.listeningPort(frontend.address))) {
            return new TcpListener(loop, frontend, socket);
        }
        socket.closeQuietly();
        return bind(loop, frontend);
    }

    /**
     * Finds out whether somebody else serves the address: with SO_REUSEPORT alone the kernel would let us share it, and
     * each of us would get some of the connections. Where we listen on another port, whoever has this one on all addresses
     * has its own on the others.
     */
    static void probe(FrontendAddress frontend, @Nullable TransparentSockets transparency) throws IOException {
        IpAddress address = frontend.address();
        try {
            bound(address, frontend.port(), transparency != null, false).closeQuietly();
        } catch (IOException e) {
            if (transparency == null
                    || transparency.listeningPort(frontend) == frontend.port()
                    || !isTakenEverywhere(address.family(), frontend.port())) {
                throw e;
            }
        }
    }

    private static boolean isTakenEverywhere(Family family, int port) throws IOException {
        try {
            bound(family == Family.IPV6 ? NOBODY6 : NOBODY4, port, true, false).closeQuietly();
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
        if (loop.shortage.isAcute() || loop.held.isExhausted()) {
            pause();
            return;
        }
        FrontendRouting routing = frontend.routing;
        for (int i = 0; i < ACCEPTS_PER_EVENT && !closed; i++) {
            if (!Descriptors.roomFor(DESCRIPTORS_PER_SESSION)) {
                loop.shortage.note(ResourceExhaustion.Kind.DESCRIPTORS);
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
            IpAddress client = IpAddress.of(address, 1, address[0] == 8 ? 4 : 16);
            TcpSession.open(loop, frontend, routing, accepted, client);
        } catch (RuntimeException | Error fault) {
            // Thrown on, it would cost the other sessions the events of this round, which never come again.
            accepted.closeQuietly();
            log.error("internal error; closing a connection to {}", frontend.address, fault);
        }
    }

    private void acceptFailed(IOException e) {
        int errno = Errno.of(e);
        if (errno == Errno.EINVAL || errno == Errno.EBADF || errno == Errno.ENOTSOCK) {
            // It does not listen any more, and would say so without end.
            close();
            frontend.broke(this, e);
            return;
        }
        ResourceExhaustion.Kind lacking = ResourceExhaustion.Kind.errno(errno);
        if (lacking == null) {
            // ECONNABORTED and network errors belong to the one connection that was in the queue: accept(2).
            log.trace("{}: {}", frontend.address, e.getMessage());
            return;
        }
        loop.shortage.note(lacking);
        pause();
    }

    /** Leaves connections in the kernel's queue for a moment. */
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

    /** Sessions have sockets of their own. */
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

    /** Connections the kernel still holds for us are reset by it. */
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
