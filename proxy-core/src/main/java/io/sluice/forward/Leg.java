package io.sluice.forward;

import io.netty.channel.IoEvent;
import io.netty.channel.IoRegistration;
import io.netty.channel.epoll.EpollIoEvent;
import io.netty.channel.epoll.EpollIoHandle;
import io.netty.channel.epoll.EpollIoOps;
import io.sluice.socket.Descriptors;
import io.sluice.socket.Errno;
import io.sluice.socket.InetSocket;
import io.sluice.socket.KeepAlive;
import io.sluice.socket.TcpInfo;
import java.io.IOException;
import java.util.Objects;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;

/**
 * One of the two sockets of a {@link TcpSession}, with its epoll registration, socket options and readiness flags. Used
 * only by the loop's thread.
 *
 * <p>The registration is edge-triggered: each event reports only a change, so the flags of this class record whether
 * there may be more to read.
 */
final class Leg implements EpollIoHandle, Runnable {
    // Netty allocates two objects for every event that does not consist of exactly one flag, and an edge-triggered
    // EPOLLIN event also reports EPOLLOUT if that is registered and the socket is writable. So EPOLLOUT is registered
    // only while it is needed.
    private static final EpollIoOps READING = EpollIoOps.valueOf(EpollFlags.IN | EpollFlags.PRI | EpollFlags.RDHUP)
            .with(EpollIoOps.EPOLLET);
    private static final EpollIoOps READING_AND_WRITING = READING.with(EpollIoOps.EPOLLOUT);

    /** Number of events after which it is worth a system call to remove EPOLLOUT. */
    private static final int EVENTS_BEFORE_DROPPING_EPOLLOUT = 4;

    final TcpSession session;
    final InetSocket socket;

    /** Whether a read may return bytes, the end of the stream or an error. */
    boolean readable;
    /** Whether the peer has closed the connection or failed; bytes that it sent earlier may still be readable. */
    boolean peerClosed;
    /**
     * Whether the peer has closed the connection, failed or sent urgent data. If so, a short read does not mean that
     * there is nothing more to read.
     */
    boolean readUntilEmpty;

    private @Nullable IoRegistration registration;
    /** Whether TCP_NODELAY is set; accepted sockets inherit this option from the listener. */
    private boolean noDelay;
    /** Whether bytes were written that the peer's kernel might not have acknowledged yet. */
    private boolean unacknowledged;
    /** Whether every check since {@link #outputPendingSinceNanos} found unacknowledged output. */
    private boolean outputPending;

    private long outputPendingSinceNanos;

    private boolean failed;
    /** The error number of the first failed call, because the kernel reports it only once; 0 if unknown. */
    private int error;

    private boolean written;
    private boolean corked;
    private boolean epollOutEnabled;
    private boolean keepEpollOut;
    /** Whether another process may have a copy of the socket, so that closing it might have no effect. */
    private boolean copied;

    private int events;

    Leg(TcpSession session, InetSocket socket, boolean noDelay) {
        this.session = session;
        this.socket = socket;
        this.noDelay = noDelay;
    }

    /** Registers the socket for events; with {@code writable}, also for EPOLLOUT: the connection is established. */
    void register(Loop loop, boolean writable) throws IOException {
        epollOutEnabled = writable;
        registration = loop.register(this, writable ? READING_AND_WRITING : READING);
    }

    boolean isRegistered() {
        return registration != null;
    }

    /** Registers for EPOLLOUT, which reports that the socket is writable again. */
    void awaitWritable() {
        keepEpollOut = true;
        if (!epollOutEnabled && registration != null) {
            epollOutEnabled = true;
            registration.submit(READING_AND_WRITING);
        }
    }

    /** {@link InetSocket#write}. Sets TCP_NODELAY before the second write; the kernel never delays the first write. */
    int write(long address, int start, int end) throws IOException {
        if (written) {
            disableDelay();
        }
        written = true;
        unacknowledged = true;
        return socket.write(address, start, end);
    }

    /** Sets TCP_CORK, so that the last bytes and the FIN of a peer that has closed are sent in one packet. */
    void cork() {
        if (!corked) {
            corked = true;
            socket.setCork(true);
        }
    }

    /** Clears TCP_CORK, if set, because no FIN follows yet. */
    void uncork() {
        if (corked) {
            corked = false;
            socket.setCork(false);
        }
    }

    /** Sends FIN, with any corked bytes; throws as {@link InetSocket#read}. */
    void shutdownOutput() throws IOException {
        corked = false;
        socket.shutdownOutput();
    }

    /** Sends the ACK that completes the handshake, unless written data carried it. */
    void completeHandshake() {
        if (!written) {
            socket.acknowledgeNow();
        }
    }

    /**
     * Sets TCP_NODELAY. Not called when connecting, because a connection with a single write does not need this system
     * call.
     */
    private void disableDelay() {
        if (noDelay) {
            return;
        }
        noDelay = true;
        try {
            socket.setTcpNoDelay(true);
        } catch (IOException e) {
            // The connection is closed; the next read reports it.
            assert Errno.of(e) != 0 : e;
        }
    }

    /** Sets TCP_NODELAY and keep-alive, which connections shorter than two seconds do not need. */
    void setLongLivedOptions(KeepAlive keepAlive) {
        disableDelay();
        try {
            keepAlive.enable(socket);
        } catch (IOException e) {
            // The connection is closed; the next read reports it.
            assert Errno.of(e) != 0 : e;
        }
    }

    /** Records a failed system call on the socket. */
    void failed(IOException e) {
        failed(Errno.of(e));
    }

    /** Records the error number of a failed system call; 0 if unknown. */
    void failed(int errno) {
        failed = true;
        error = error == 0 ? errno : error;
    }

    /** Reads and clears the pending error of the socket (SO_ERROR); 0 if there is none. */
    int takeError() {
        try {
            return socket.getSoError();
        } catch (IOException e) {
            return Errno.of(e);
        }
    }

    /** Whether a system call on the socket has failed. Earlier bytes may still be readable; nothing can be written. */
    boolean hasFailed() {
        return failed;
    }

    /**
     * Whether the peer stopped responding: the error is ETIMEDOUT or, if the kernel received an ICMP error while it
     * retransmitted, an unreachable error.
     */
    boolean hasLostPeer() {
        return error == Errno.ETIMEDOUT || error == Errno.EHOSTUNREACH || error == Errno.ENETUNREACH;
    }

    /** Whether the socket may have unacknowledged output; needs no system call. */
    boolean mayHaveOutput() {
        return unacknowledged;
    }

    /** Whether the peer has acknowledged all output. Needs one system call. */
    boolean isAcknowledged(TcpInfo info) {
        return info.read(socket) && !info.hasOutput();
    }

    /**
     * Checks whether the peer has acknowledged all output. Needs one system call, or none if nothing was written since
     * the last check that found everything acknowledged.
     *
     * @param moreToWrite whether bytes that the socket did not accept are pending
     * @return true if all checks within the timeout found unacknowledged output and the kernel received nothing from
     *     the peer during that time
     */
    boolean isStalled(TcpInfo info, boolean moreToWrite, long timeoutNanos, long nowNanos) {
        if (!unacknowledged) {
            return false;
        }
        if (!info.read(socket) || !info.hasOutput()) {
            unacknowledged = moreToWrite;
            outputPending = false;
            return false;
        }
        if (!outputPending) {
            outputPending = true;
            outputPendingSinceNanos = nowNanos;
        }
        // Both times are checked, because a peer may have been idle for a long time before the write that it is about
        // to acknowledge.
        return nowNanos - outputPendingSinceNanos >= timeoutNanos
                && TimeUnit.MILLISECONDS.toNanos(info.silentMillis()) >= timeoutNanos
                && info.isUnanswered();
    }

    @Override
    public void handle(IoRegistration registration, IoEvent ioEvent) {
        int ops = ((EpollIoEvent) ioEvent).ops().value();
        try {
            if (epollOutEnabled && !keepEpollOut && ++events > EVENTS_BEFORE_DROPPING_EPOLLOUT) {
                epollOutEnabled = false;
                registration.submit(READING);
            }
            session.onEvent(this, ops);
        } catch (RuntimeException | Error fault) {
            // If this were rethrown, other connections would lose the remaining events of this round, which epoll does
            // not repeat.
            session.failInternally(fault);
        }
    }

    /** Called by Netty when the loop ends: resets a connection that is still open. */
    @Override
    public void close() {
        session.cut();
    }

    /** Continues with the socket of another process, which may have set other options. */
    void resume(KeepAlive keepAlive) {
        written = true;
        unacknowledged = true;
        copied = true;
        setLongLivedOptions(keepAlive);
    }

    /** Gives up the socket without closing it. */
    void release() {
        Objects.requireNonNull(registration).cancel();
        Descriptors.closed();
    }

    /** Closes the socket after the current round of events; with {@code reset}, sends RST. */
    void release(Loop loop, boolean reset) {
        if (copied) {
            socket.endForAll(reset);
        } else if (reset) {
            socket.resetOnClose();
        }
        loop.closeLater(this);
    }

    /** Closes the socket; called by {@link Loop#closeLater}. The leg itself is the task, which saves an allocation. */
    @Override
    public void run() {
        if (copied && registration != null) {
            // epoll forgets a socket only when all copies are closed.
            registration.cancel();
        }
        socket.closeQuietly();
        if (!copied && registration != null) {
            registration.cancel();
        }
    }

    @Override
    public InetSocket fd() {
        return socket;
    }
}
