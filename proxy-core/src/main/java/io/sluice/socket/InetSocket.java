package io.sluice.socket;

import io.netty.channel.ChannelException;
import io.netty.channel.unix.Errors;
import io.netty.channel.unix.FileDescriptor;
import io.netty.channel.unix.Socket;
import io.sluice.model.Family;
import io.sluice.model.IpAddress;
import io.sluice.model.Protocol;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.NotYetConnectedException;
import org.jspecify.annotations.Nullable;

/**
 * A non-blocking TCP or UDP socket of one address family. Netty's factory methods choose the family by a global
 * setting, but an IPv6 socket can neither bind to an IPv4 address nor use a client's IPv4 address as its source.
 */
public final class InetSocket extends Socket {
    /** The buffer size for one datagram. The largest IPv4 and IPv6 datagrams fit, so none is truncated. */
    public static final int DATAGRAM_BYTES = 64 << 10;

    private static final int SO_RST = 0;
    private static final int SOL_SOCKET = 1;
    private static final int SO_OOBINLINE = 10;
    private static final int SOL_UDP = 17;
    private static final int UDP_SEGMENT = 103;
    private static final int IPPROTO_IPV6 = 41;
    private static final int IPV6_V6ONLY = 26;

    private static final int IPPROTO_TCP = 6;
    private static final int TCP_CORK = 3;
    private static final int TCP_QUICKACK = 12;

    /** The current UDP_SEGMENT value: the size of the datagrams into which the kernel splits each send; 0 if off. */
    private int segmentBytes;
    /** The smallest datagram size for which the kernel rejected UDP_SEGMENT; used only for smaller datagrams. */
    private int unsegmentedBytes = Integer.MAX_VALUE;

    /** Creates a socket from an open descriptor and takes ownership of the descriptor. */
    public InetSocket(int fd) {
        super(fd);
        Descriptors.opened();
    }

    /** Creates a socket from a received descriptor. Closes the descriptor if it does not refer to a socket. */
    public static InetSocket adopt(int descriptor) throws IOException {
        try {
            return new InetSocket(descriptor);
        } catch (ChannelException e) {
            close(descriptor);
            throw e.getCause() instanceof IOException cause ? cause : new IOException(e);
        }
    }

    /** Closes a descriptor that no {@code InetSocket} owns. */
    public static void close(int descriptor) {
        try {
            new FileDescriptor(descriptor).close();
        } catch (IOException e) {
            assert Errno.of(e) != Errno.EBADF : "closed twice: " + e;
        }
    }

    /** Opens and returns a TCP socket. */
    public static InetSocket stream(Family family) throws IOException {
        return open(Protocol.TCP, family);
    }

    /** Opens and returns a UDP socket. */
    public static InetSocket datagram(Family family) throws IOException {
        return open(Protocol.UDP, family);
    }

    /** Binds to an address. The unspecified address stands for all addresses of its family, not of the other. */
    public void bind(IpAddress address, int port) throws IOException {
        if (address.family() == Family.IPV6 && address.isUnspecified()) {
            // Without this option, the socket would also be bound to the port on all IPv4 addresses.
            setIntOpt(IPPROTO_IPV6, IPV6_V6ONLY, 1);
        }
        bind(address.toSocketAddress(port));
    }

    private static InetSocket open(Protocol protocol, Family family) throws IOException {
        if (!Descriptors.hasRoomFor(1)) {
            throw Errors.newIOException("socket", -Errno.EMFILE);
        }
        try {
            return new InetSocket(
                    protocol == Protocol.TCP
                            ? newSocketStream0(family == Family.IPV6)
                            : newSocketDgram0(family == Family.IPV6));
        } catch (ChannelException e) {
            throw e.getCause() instanceof IOException cause ? cause : new IOException(e);
        }
    }

    /** Sets a socket option. Throws an {@link IOException} for every error; Netty's exception is unchecked. */
    @Override
    public void setIntOpt(int level, int option, int value) throws IOException {
        try {
            super.setIntOpt(level, option, value);
        } catch (ChannelException e) {
            throw new IOException(e.getMessage(), e);
        }
    }

    /** Reads a socket option. Throws the same exceptions as {@link #setIntOpt}. */
    @Override
    public void getRawOpt(int level, int option, ByteBuffer out) throws IOException {
        try {
            super.getRawOpt(level, option, out);
        } catch (ChannelException e) {
            throw new IOException(e.getMessage(), e);
        }
    }

    /**
     * Reads from a connection, like {@link #recvAddress}, but also throws an {@link IOException} if the kernel returns
     * ENOTCONN after an RST. Netty's exception is unchecked and would reach the event loop.
     *
     * @return the number of bytes; 0 if none are available, -1 at the end of the stream
     * @throws IOException on any error
     */
    public int read(long address, int length) throws IOException {
        try {
            return recvAddress(address, 0, length);
        } catch (NotYetConnectedException e) {
            throw notConnected("recv", e);
        }
    }

    /** Writes bytes and returns the number accepted by the kernel. Throws the same exceptions as {@link #read}. */
    public int write(long address, int start, int end) throws IOException {
        try {
            return sendAddress(address, start, end);
        } catch (NotYetConnectedException e) {
            throw notConnected("send", e);
        }
    }

    /**
     * Sends a batch of datagrams: with one system call if UDP_SEGMENT works (Linux 4.18), otherwise one by one.
     *
     * @param to the destination; null for the peer of a connected socket
     * @return the number of datagrams that the kernel accepted
     */
    public int sendAll(long address, DatagramBatch batch, @Nullable InetSocketAddress to) throws IOException {
        if (batch.datagrams > 1 && segmentInto(batch.datagramBytes)) {
            try {
                return sendOne(address, batch.start, batch.end, to) ? batch.datagrams : 0;
            } catch (IOException e) {
                // The datagrams exceed the path MTU, or the device has no checksum offload.
                int errno = Errno.of(e);
                if (errno != Errno.EINVAL && errno != Errno.EMSGSIZE && errno != Errno.EIO) {
                    throw e;
                }
                segmentInto(0);
                unsegmentedBytes = errno == Errno.EIO ? 1 : batch.datagramBytes;
            }
        } else if (segmentBytes != 0 && batch.datagramBytes > segmentBytes) {
            segmentInto(0);
        }
        int sent = 0;
        int at = batch.start;
        for (int i = 0; i < batch.datagrams; i++) {
            int next = Math.min(at + batch.datagramBytes, batch.end);
            sent += sendOne(address, at, next, to) ? 1 : 0;
            at = next;
        }
        return sent;
    }

    private boolean sendOne(long address, int start, int end, @Nullable InetSocketAddress to) throws IOException {
        int sent = to == null
                ? write(address, start, end)
                : sendToAddress(address, start, end, to.getAddress(), to.getPort());
        return sent == end - start;
    }

    private boolean segmentInto(int bytes) {
        if (bytes >= unsegmentedBytes) {
            return false;
        }
        if (bytes != segmentBytes) {
            try {
                setIntOpt(SOL_UDP, UDP_SEGMENT, bytes);
            } catch (IOException e) {
                // Older kernels do not support the option. They fail at its first use, so there is nothing to undo.
                unsegmentedBytes = 1;
                return false;
            }
            segmentBytes = bytes;
        }
        return true;
    }

    /**
     * Delays the last ACK of the handshake until there is data to send, which saves a packet. Call this before
     * connecting. If there is no data once connected, call {@link #acknowledgeNow}: the peer waits for the ACK.
     */
    public void acknowledgeWithData() throws IOException {
        setIntOpt(IPPROTO_TCP, TCP_QUICKACK, 0);
    }

    /** Sends a delayed ACK. */
    public void acknowledgeNow() {
        setOption(IPPROTO_TCP, TCP_QUICKACK, 1);
    }

    /** Keeps urgent bytes in the stream, so that they are forwarded like any others. */
    public void keepUrgentData() {
        setOption(SOL_SOCKET, SO_OOBINLINE, 1);
    }

    /** Sets whether the kernel delays partial packets (TCP_CORK), to send the last data and the FIN in one packet. */
    public void setCork(boolean delay) {
        setOption(IPPROTO_TCP, TCP_CORK, delay ? 1 : 0);
    }

    private void setOption(int level, int option, int value) {
        try {
            setIntOpt(level, option, value);
        } catch (IOException e) {
            // The connection is closed; the next read or write reports this.
            assert Errno.of(e) != 0 : e;
        }
    }

    /** Sends a FIN. Throws the same exceptions as {@link #read}. */
    public void shutdownOutput() throws IOException {
        try {
            shutdown(false, true);
        } catch (NotYetConnectedException e) {
            throw notConnected("shutdown", e);
        }
    }

    private static IOException notConnected(String call, NotYetConnectedException cause) {
        return new IOException(call + ": connection is closed", cause);
    }

    /** Makes {@link #close} discard unsent data and send an RST. */
    public void resetOnClose() {
        try {
            setSoLinger(SO_RST);
        } catch (IOException e) {
            // The connection is already closed, so there is no peer to send an RST to.
            assert !isOpen() || Errno.of(e) != 0 : e;
        }
    }

    /**
     * Ends the connection even if another process has a copy of this socket: discards unsent data and sends an RST, or
     * sends a FIN.
     */
    public void endForAll(boolean reset) {
        try {
            if (reset) {
                disconnect();
            } else {
                shutdown(true, true);
            }
        } catch (IOException | NotYetConnectedException e) {
            // The connection is already closed.
            assert !isOpen() || reset || Errno.of(e) != Errno.EBADF : e;
        }
    }

    @Override
    public void close() throws IOException {
        boolean wasOpen = isOpen();
        super.close();
        if (wasOpen) {
            Descriptors.closed();
        }
    }

    /** Closes the socket and ignores errors: close(2) closes the descriptor even if it returns an error. */
    public void closeQuietly() {
        try {
            close();
        } catch (IOException e) {
            assert Errno.of(e) != Errno.EBADF : "closed twice: " + e;
        }
    }
}
