package io.sluice.forward;

import io.netty.channel.IoEvent;
import io.netty.channel.IoRegistration;
import io.netty.channel.epoll.EpollIoEvent;
import io.netty.channel.epoll.EpollIoHandle;
import io.netty.channel.epoll.EpollIoOps;
import io.sluice.socket.Errno;
import io.sluice.socket.InetSocket;
import io.sluice.socket.KeepAlive;
import io.sluice.socket.TcpInfo;
import java.io.IOException;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;

/**
 * One of the two sockets of a {@link TcpSession}: its registration, its options, and what its events said. Belongs to the
 * session's loop.
 *
 * <p>Edge-triggered: an event says that something changed, the flags here say what may still be there.
 */
final class Leg implements EpollIoHandle {
    static final int EPOLLIN = 0x1;
    static final int EPOLLPRI = 0x2;
    static final int EPOLLOUT = 0x4;
    static final int EPOLLERR = 0x8;
    static final int EPOLLHUP = 0x10;
    static final int EPOLLRDHUP = 0x2000;

    // Netty makes two objects for every event that is not exactly one flag, and an edge-triggered EPOLLIN comes with
    // EPOLLOUT whenever that was asked for and the socket has room. So EPOLLOUT is asked for only while it is needed.
    private static final EpollIoOps READING =
            EpollIoOps.valueOf(EPOLLIN | EPOLLPRI | EPOLLRDHUP).with(EpollIoOps.EPOLLET);
    private static final EpollIoOps READING_AND_WRITING = READING.with(EpollIoOps.EPOLLOUT);

    /** A session that sends more than so many events is worth the system call that drops EPOLLOUT. */
    private static final int EVENTS_BEFORE_LEAN = 4;

    final TcpSession session;
    final InetSocket socket;

    /** The kernel may have bytes, an end or an error for us. */
    boolean readable;
    /** The peer has closed or failed; what it sent before may still be there to read. */
    boolean leaving;
    /** The peer has closed, failed or sent urgent data: a short read does not mean that nothing follows. */
    boolean hungUp;

    private @Nullable IoRegistration registration;
    /** Whether its socket has TCP_NODELAY; accepted ones inherit it. */
    private boolean noDelay;
    /** Something was written that the peer's kernel may not have acknowledged. */
    private boolean unacknowledged;
    /** At the last check, the kernel had output for the peer, as at all checks since {@link #stuckSinceNanos}. */
    private boolean stuck;

    private long stuckSinceNanos;

    private boolean failed;
    /** The error number of the first failed call, which the kernel does not repeat; 0 if it is not known. */
    private int error;

    private boolean written;
    private boolean corked;
    private boolean asksToWrite;
    private boolean sticky;
    private int events;

    Leg(TcpSession session, InetSocket socket, boolean noDelay) {
        this.session = session;
        this.socket = socket;
        this.noDelay = noDelay;
    }

    /** Starts to receive events; with {@code connecting}, also the one that says the connection stands. */
    void register(Loop loop, boolean connecting) throws IOException {
        asksToWrite = connecting;
        registration = loop.register(this, connecting ? READING_AND_WRITING : READING);
    }

    boolean isRegistered() {
        return registration != null;
    }

    /** Asks for the event that says this socket takes bytes again. */
    void awaitWritable() {
        sticky = true;
        if (!asksToWrite && registration != null) {
            asksToWrite = true;
            registration.submit(READING_AND_WRITING);
        }
    }

    /** {@link InetSocket#write}. The first is never kept back by the kernel; from the second on, none may be. */
    int write(long address, int start, int end) throws IOException {
        if (written) {
            disableDelay();
        }
        written = true;
        unacknowledged = true;
        return socket.write(address, start, end);
    }

    /** The other side has sent its last: what is written from now on may go with the FIN. */
    void cork() {
        if (!corked) {
            corked = true;
            socket.setCork(true);
        }
    }

    /** There is no FIN yet after all. */
    void uncork() {
        if (corked) {
            corked = false;
            socket.setCork(false);
        }
    }

    /** Sends FIN, and what was kept back with it; errors as for {@link InetSocket#read}. */
    void shutdownOutput() throws IOException {
        corked = false;
        socket.shutdownOutput();
    }

    /** The connection stands: its peer is to know, if nothing that was written told it. */
    void completeHandshake() {
        if (!written) {
            socket.acknowledgeNow();
        }
    }

    /** A connection of one short exchange does without it: a system call fewer. */
    private void disableDelay() {
        if (noDelay) {
            return;
        }
        noDelay = true;
        try {
            socket.setTcpNoDelay(true);
        } catch (IOException e) {
            // The connection is gone, which its next read tells.
            assert Errno.of(e) != 0 : e;
        }
    }

    /** Sets the options that a connection of less than two seconds does without. */
    void makeLasting(KeepAlive keepAlive) {
        disableDelay();
        try {
            keepAlive.enable(socket);
        } catch (IOException e) {
            // As above.
            assert Errno.of(e) != 0 : e;
        }
    }

    /** Notes a failed system call on its socket. */
    void failed(IOException e) {
        failed(Errno.of(e));
    }

    /** The same, by its error number; 0 if that is not known. */
    void failed(int errno) {
        failed = true;
        error = error == 0 ? errno : error;
    }

    /** The kernel's error of its socket, 0 for none; reading it clears it. */
    int takeError() {
        try {
            return socket.getSoError();
        } catch (IOException e) {
            return Errno.of(e);
        }
    }

    /** Whether a call on its socket has failed: what its peer sent before may still be read, nothing can be written. */
    boolean hasFailed() {
        return failed;
    }

    /** Whether the peer no longer answered; the error is that of an ICMP message if the kernel received one meanwhile. */
    boolean hasLostPeer() {
        return error == Errno.ETIMEDOUT || error == Errno.EHOSTUNREACH || error == Errno.ENETUNREACH;
    }

    /** Whether something may lie in its socket that the peer has not acknowledged; costs no system call. */
    boolean mayHaveOutput() {
        return unacknowledged;
    }

    /**
     * Checks whether the peer has acknowledged all that was written; one system call, none if nothing was written since it
     * had.
     *
     * @param more whether there is more to write
     * @return true if it had not at any check within the timeout, and the kernel received nothing from it for as long
     */
    boolean isStalled(TcpInfo info, boolean more, long timeoutNanos, long nowNanos) {
        if (!unacknowledged) {
            return false;
        }
        if (!info.read(socket) || !info.hasOutput()) {
            unacknowledged = more;
            stuck = false;
            return false;
        }
        if (!stuck) {
            stuck = true;
            stuckSinceNanos = nowNanos;
        }
        // Both times: a peer may have been idle for long before something was written that it is about to acknowledge.
        return nowNanos - stuckSinceNanos >= timeoutNanos
                && TimeUnit.MILLISECONDS.toNanos(info.silentMillis()) >= timeoutNanos
                && info.isUnanswered();
    }

    @Override
    public void handle(IoRegistration registration, IoEvent ioEvent) {
        int ops = ((EpollIoEvent) ioEvent).ops().value();
        try {
            if (asksToWrite && !sticky && ++events > EVENTS_BEFORE_LEAN) {
                asksToWrite = false;
                registration.submit(READING);
            }
            session.onEvent(this, ops);
        } catch (RuntimeException | Error fault) {
            // Thrown on, it would cost the other sessions the events of this round, which never come again.
            session.broke(fault);
        }
    }

    /** Called by Netty when the loop ends; sessions that are still open then are cut. */
    @Override
    public void close() {
        session.cut();
    }

    /** Lets go of the socket. */
    void release(Loop loop, boolean reset) {
        if (reset) {
            socket.resetOnClose();
        }
        loop.closeLater(socket, registration);
    }

    @Override
    public InetSocket fd() {
        return socket;
    }
}
