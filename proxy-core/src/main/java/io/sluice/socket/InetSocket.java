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
 * A non-blocking socket of one address family. Netty's own factory methods pick the family by a global preference, and
 * an IPv6 socket cannot be bound to or keep the source of an IPv4 address.
 */
public final class InetSocket extends Socket {
    /** The largest datagram of IPv4 and IPv6 fits, so none is ever cut. */
    public static final int DATAGRAM_BYTES = 64 << 10;

    /** Wanted for UDP sockets, so that a burst of large datagrams fits; the kernel grants up to its rmem_max. */
    private static final int UDP_BUFFER_BYTES = 4 << 20;

    /** Where the kernel grants no more than it gives anyway, two system calls are saved. */
    private static final boolean LARGER_BUFFERS_GRANTED = sysctl("rmem_max") > sysctl("rmem_default");

    private static final int SO_RST = 0;

    private static final int SOL_UDP = 17;
    private static final int UDP_SEGMENT = 103;

    private static final int IPPROTO_IPV6 = 41;
    private static final int IPV6_V6ONLY = 26;

    private static final int IPPROTO_TCP = 6;
    private static final int TCP_CORK = 3;
    private static final int TCP_QUICKACK = 12;

    /** Into how large datagrams the kernel cuts what is sent; 0 for not at all. */
    private int segmentBytes;
    /** Datagrams of this size, and larger ones, it does not cut. */
    private int unsegmentedBytes = Integer.MAX_VALUE;

    /** Takes over an open descriptor. */
    public InetSocket(int fd) {
        super(fd);
        Descriptors.opened();
    }

    /** Takes over a descriptor of another process; closes it if it is not a socket. */
    public static InetSocket adopt(int descriptor) throws IOException {
        try {
            return new InetSocket(descriptor);
        } catch (ChannelException e) {
            close(descriptor);
            throw e.getCause() instanceof IOException cause ? cause : new IOException(e);
        }
    }

    /** Closes a descriptor that was not taken over. */
    public static void close(int descriptor) {
        try {
            new FileDescriptor(descriptor).close();
        } catch (IOException e) {
            assert Errno.of(e) != Errno.EBADF : "closed twice: " + e;
        }
    }

    public static InetSocket stream(Family family) throws IOException {
        return open(Protocol.TCP, family);
    }

    public static InetSocket datagram(Family family) throws IOException {
        return open(Protocol.UDP, family);
    }

    /** Binds to an address, or to all of its family if it is the unspecified one. */
    public void bind(IpAddress address, int port) throws IOException {
        if (address.family() == Family.IPV6 && address.isUnspecified()) {
            // Otherwise it would also have the port of all IPv4 addresses.
            setIntOpt(IPPROTO_IPV6, IPV6_V6ONLY, 1);
        }
        bind(address.toSocketAddress(port));
    }

    /** Asks for buffers that take a burst of large datagrams; without them it goes on with those it has. */
    public void widen() {
        if (!LARGER_BUFFERS_GRANTED) {
            return;
        }
        try {
            setReceiveBufferSize(UDP_BUFFER_BYTES);
            setSendBufferSize(UDP_BUFFER_BYTES);
        } catch (IOException e) {
            // The kernel grants less rather than refuse: only a closed socket fails.
            assert !isOpen() || Errno.of(e) != 0 : e;
        }
    }

    private static long sysctl(String name) {
        try {
            return Long.parseLong(Sysctl.read("net/core/" + name));
        } catch (IOException | NumberFormatException e) {
            // A network namespace that is not the first one does not show it; asking costs little.
            return name.endsWith("_max") ? Long.MAX_VALUE : 0;
        }
    }

    private static InetSocket open(Protocol protocol, Family family) throws IOException {
        if (!Descriptors.roomFor(1)) {
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

    /** Every error is an {@link IOException}; Netty throws an unchecked exception, unless the socket is closed. */
    @Override
    public void setIntOpt(int level, int option, int value) throws IOException {
        try {
            super.setIntOpt(level, option, value);
        } catch (ChannelException e) {
            throw new IOException(e.getMessage(), e);
        }
    }

    /** Errors as for {@link #setIntOpt}. */
    @Override
    public void getRawOpt(int level, int option, ByteBuffer out) throws IOException {
        try {
            super.getRawOpt(level, option, out);
        } catch (ChannelException e) {
            throw new IOException(e.getMessage(), e);
        }
    }

    /**
     * What {@link #recvAddress} does, with every error an {@link IOException}: Netty answers ENOTCONN, which a reset
     * that came in the meantime causes, with an unchecked exception that would tear through the event loop.
     *
     * @return the number of bytes, 0 if there are none yet, -1 at the end of the stream
     */
    public int read(long address, int length) throws IOException {
        try {
            return recvAddress(address, 0, length);
        } catch (NotYetConnectedException e) {
            throw notConnected("recv", e);
        }
    }

    /** The number of bytes between the two positions that the kernel took; errors as for {@link #read}. */
    public int write(long address, int start, int end) throws IOException {
        try {
            return sendAddress(address, start, end);
        } catch (NotYetConnectedException e) {
            throw notConnected("send", e);
        }
    }

    /**
     * Sends a batch: with one call and through one pass of the kernel's network stack, where it can do that (UDP_SEGMENT,
     * since Linux 4.18).
     *
     * @param to null for the peer of a connected socket
     * @return how many datagrams the kernel took
     */
    public int sendAll(long address, Batch batch, @Nullable InetSocketAddress to) throws IOException {
        if (batch.datagrams > 1 && segmentInto(batch.datagramBytes)) {
            try {
                return sendOne(address, batch.start, batch.end, to) ? batch.datagrams : 0;
            } catch (IOException e) {
                // Larger than the path takes in one piece, or a device that leaves checksums to others.
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
                // An older kernel does not know the option; it says so at the first use, when there is nothing to undo.
                unsegmentedBytes = 1;
                return false;
            }
            segmentBytes = bytes;
        }
        return true;
    }

    /**
     * Before connecting: the last packet of the handshake is to be the first one with data, which spares a packet. Whoever
     * has nothing to send then must say so with {@link #acknowledgeNow}, or the peer would wait for it.
     */
    public void acknowledgeWithData() throws IOException {
        setIntOpt(IPPROTO_TCP, TCP_QUICKACK, 0);
    }

    public void acknowledgeNow() {
        setTcpOption(TCP_QUICKACK, 1);
    }

    /** Whether to keep back a packet that is not full; what is written with it and FIN then make one. */
    public void setCork(boolean keepBack) {
        setTcpOption(TCP_CORK, keepBack ? 1 : 0);
    }

    private void setTcpOption(int option, int value) {
        try {
            setIntOpt(IPPROTO_TCP, option, value);
        } catch (IOException e) {
            // The connection is gone, which its next read or write tells.
            assert Errno.of(e) != 0 : e;
        }
    }

    /** Sends FIN; errors as for {@link #read}. */
    public void shutdownOutput() throws IOException {
        try {
            shutdown(false, true);
        } catch (NotYetConnectedException e) {
            throw notConnected("shutdown", e);
        }
    }

    private static IOException notConnected(String call, NotYetConnectedException cause) {
        return new IOException(call + ": the connection is gone", cause);
    }

    /** Makes the coming close send a RST and drop what is unsent. */
    public void resetOnClose() {
        try {
            setSoLinger(SO_RST);
        } catch (IOException e) {
            // The connection is gone already: there is nobody left to tell.
            assert !isOpen() || Errno.of(e) != 0 : e;
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

    /** Closes; an error from close(2) leaves the descriptor closed all the same. */
    public void closeQuietly() {
        try {
            close();
        } catch (IOException e) {
            assert Errno.of(e) != Errno.EBADF : "closed twice: " + e;
        }
    }
}
