package io.sluice.socket;

import io.netty.channel.ChannelException;
import io.netty.channel.epoll.Epoll;
import io.netty.channel.unix.DomainSocketAddress;
import io.netty.channel.unix.FileDescriptor;
import io.netty.channel.unix.Socket;
import java.io.ByteArrayOutputStream;
import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.io.InterruptedIOException;
import java.io.OutputStream;
import java.net.SocketTimeoutException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * A connection over a Unix stream socket to another process on this machine. It transfers lines, byte streams and open
 * descriptors.
 *
 * <p>The length of a line is limited. Methods that wait for the peer throw a {@link SocketTimeoutException} once the
 * deadline set by {@link #limit} has passed. Must be used by only one thread at a time.
 */
public final class UnixSocket implements AutoCloseable {
    private static final Logger log = LoggerFactory.getLogger(UnixSocket.class);

    private static final int SOL_SOCKET = 1;
    private static final int SO_PEERCRED = 17;
    /** {@code struct ucred}: pid, uid and gid. */
    private static final int UCRED_BYTES = 12;

    private static final int UCRED_PID = 0;
    private static final int UCRED_UID = 4;
    private static final int ROOT = 0;

    private static final int MAX_LINE_BYTES = 4096;
    private static final int BUFFER_BYTES = 64 << 10;
    private static final int DELETE = 0x7f;
    private static final long POLL_NANOS = TimeUnit.MICROSECONDS.toNanos(100);

    private final Socket socket;
    private final ByteBuffer one = ByteBuffer.allocateDirect(1);
    private final ByteArrayOutputStream line = new ByteArrayOutputStream();
    private @Nullable ByteBuffer buffer;
    private long deadlineNanos;

    UnixSocket(Socket socket, Duration timeout) {
        this.socket = socket;
        limit(timeout);
    }

    static Socket open() throws IOException {
        // Loads the native library.
        Epoll.ensureAvailability();
        try {
            return Socket.newSocketDomain();
        } catch (ChannelException e) {
            throw e.getCause() instanceof IOException cause ? cause : new IOException(e);
        }
    }

    /**
     * Connects to a listening socket and returns the connection.
     *
     * @param timeout the time limit for connecting, which is also the connection's first deadline
     * @throws IOException if no process listens at {@code path}, or its backlog stays full
     */
    public static UnixSocket connect(Path path, Duration timeout) throws IOException {
        UnixSocket connecting = new UnixSocket(open(), timeout);
        try {
            while (!connecting.isConnected(path)) {
                connecting.pause();
            }
            return connecting;
        } catch (IOException | RuntimeException e) {
            connecting.close();
            throw e;
        }
    }

    private boolean isConnected(Path path) throws IOException {
        try {
            return socket.connect(new DomainSocketAddress(path.toString()));
        } catch (IOException e) {
            // The backlog of the listening socket is full.
            if (Errno.of(e) == Errno.EAGAIN) {
                return false;
            }
            throw e;
        }
    }

    /** Sets a new deadline for all following calls, relative to now. */
    public void limit(Duration fromNow) {
        deadlineNanos = System.nanoTime() + fromNow.toNanos();
    }

    /** Whether the deadline has passed. */
    public boolean isPastDeadline() {
        return System.nanoTime() - deadlineNanos > 0;
    }

    /**
     * The numeric user ID of the peer at the time it connected or, for the connecting side, at the time the peer
     * started to listen.
     */
    public int peerUid() throws IOException {
        return peerCredentials().getInt(UCRED_UID);
    }

    /**
     * The process ID of the peer, for messages only: another process may have it by now. It is 0 if the peer is in
     * another PID namespace.
     */
    public int peerPid() throws IOException {
        return peerCredentials().getInt(UCRED_PID);
    }

    private ByteBuffer peerCredentials() throws IOException {
        ByteBuffer credentials = ByteBuffer.allocate(UCRED_BYTES).order(ByteOrder.nativeOrder());
        socket.getRawOpt(SOL_SOCKET, SO_PEERCRED, credentials);
        return credentials;
    }

    /** Whether a user may exchange sockets with this process: root, or the user of this process. */
    public static boolean isTrusted(int uid) throws IOException {
        return uid == ROOT || uid == ownUid();
    }

    /** The effective user ID of this process. */
    static int ownUid() throws IOException {
        for (String status : Files.readAllLines(Path.of("/proc/self/status"))) {
            if (status.startsWith("Uid:")) {
                return Integer.parseUnsignedInt(status.split("\\s+")[2]);
            }
        }
        throw new IOException("/proc/self/status has no line 'Uid:'");
    }

    /**
     * Returns the next line if it has arrived completely. Otherwise returns null and keeps the part that has arrived.
     * Never reads beyond the line, because descriptors may follow.
     *
     * @throws EOFException if the peer has closed the connection
     * @throws IOException if the line is too long or contains control characters
     */
    public @Nullable String pollLine() throws IOException {
        while (true) {
            int read = socket.read(one, 0, 1);
            if (read == 0) {
                return null;
            }
            if (read < 0) {
                throw new EOFException("the peer closed the connection");
            }
            byte next = one.get(0);
            if (next == '\n') {
                String complete = line.toString(StandardCharsets.UTF_8);
                line.reset();
                return complete;
            }
            if ((next >= 0 && next < ' ') || next == DELETE) {
                throw new IOException("the peer sent a control character");
            }
            if (line.size() == MAX_LINE_BYTES) {
                throw new IOException("the peer sent a line longer than " + MAX_LINE_BYTES + " bytes");
            }
            line.write(next);
        }
    }

    /**
     * Waits for the next line. A line that has already arrived is returned even after the deadline.
     *
     * @throws IOException as for {@link #pollLine}
     */
    public String readLine() throws IOException {
        while (true) {
            boolean late = isPastDeadline();
            String next = pollLine();
            if (next != null) {
                return next;
            }
            if (late) {
                throw timeout();
            }
            pause();
        }
    }

    /**
     * Stops receiving, so that whatever the peer writes from now on fails, and returns the line that arrived before.
     * After that, both sides know whether the peer has sent the line.
     *
     * @return the line, or null if it has not arrived completely
     * @throws IOException as for {@link #pollLine}, except that a closed connection is not an error
     */
    public @Nullable String readLastLine() throws IOException {
        socket.shutdown(true, false);
        try {
            return pollLine();
        } catch (EOFException e) {
            // This is how the end of the received data is reported, too.
            return null;
        }
    }

    /** Sends a line. */
    public void writeLine(String text) throws IOException {
        output().write((text + "\n").getBytes(StandardCharsets.UTF_8));
    }

    /** Returns a stream of the bytes that the peer sends. Closing the stream does not close the connection. */
    public InputStream input() {
        ByteBuffer buffer = buffer();
        return new InputStream() {
            @Override
            public int read() throws IOException {
                byte[] single = new byte[1];
                return read(single, 0, 1) < 0 ? -1 : single[0] & 0xff;
            }

            @Override
            public int read(byte[] into, int offset, int length) throws IOException {
                if (length == 0) {
                    return 0;
                }
                int read = socket.read(buffer, 0, Math.min(length, BUFFER_BYTES));
                while (read == 0) {
                    pause();
                    read = socket.read(buffer, 0, Math.min(length, BUFFER_BYTES));
                }
                if (read > 0) {
                    buffer.get(0, into, offset, read);
                }
                return read;
            }
        };
    }

    /** Returns an unbuffered stream to the peer. Closing the stream does not close the connection. */
    public OutputStream output() {
        ByteBuffer buffer = buffer();
        return new OutputStream() {
            @Override
            public void write(int value) throws IOException {
                write(new byte[] {(byte) value}, 0, 1);
            }

            @Override
            public void write(byte[] from, int offset, int length) throws IOException {
                for (int done = 0; done < length; ) {
                    int chunk = Math.min(length - done, BUFFER_BYTES);
                    buffer.put(0, from, offset + done, chunk);
                    for (int sent = 0; sent < chunk; ) {
                        int written = socket.write(buffer, sent, chunk);
                        if (written == 0) {
                            pause();
                        }
                        sent += written;
                    }
                    done += chunk;
                }
            }
        };
    }

    /** The buffer of all streams, allocated once, because direct memory is freed late. */
    private ByteBuffer buffer() {
        ByteBuffer created = buffer == null ? ByteBuffer.allocateDirect(BUFFER_BYTES) : buffer;
        buffer = created;
        return created;
    }

    /** Sends copies of descriptors; the originals stay open. */
    public void send(List<Integer> descriptors) throws IOException {
        for (int descriptor : descriptors) {
            while (!isSent(descriptor)) {
                pause();
            }
        }
    }

    private boolean isSent(int descriptor) throws IOException {
        try {
            return socket.sendFd(descriptor) >= 0;
        } catch (IOException e) {
            // Too many descriptors are in flight, so wait until the peer has received some.
            if (Errno.of(e) == Errno.ETOOMANYREFS) {
                return false;
            }
            throw e;
        }
    }

    /** Receives this many descriptors. On any error, closes the descriptors received so far. */
    public List<Integer> receive(int count) throws IOException {
        List<Integer> received = new ArrayList<>();
        try {
            while (received.size() < count) {
                int descriptor = socket.recvFd();
                if (descriptor > 0) {
                    received.add(descriptor);
                } else if (descriptor < 0) {
                    throw new EOFException("the peer closed the connection after " + received.size() + " of " + count
                            + " descriptors");
                } else {
                    pause();
                }
            }
            return received;
        } catch (IOException | RuntimeException | Error e) {
            closeAll(received);
            throw e;
        }
    }

    /** Closes descriptors of any kind, ignoring errors. */
    public static void closeAll(List<Integer> descriptors) {
        for (int descriptor : descriptors) {
            try {
                new FileDescriptor(descriptor).close();
            } catch (IOException e) {
                log.debug("error when closing descriptor {}", descriptor, e);
            }
        }
    }

    /**
     * The number of descriptors that forwarding may still open in this process, within the limits set by RLIMIT_NOFILE.
     */
    public static int descriptorRoom() {
        return Descriptors.room();
    }

    private void pause() throws IOException {
        if (isPastDeadline()) {
            throw timeout();
        }
        if (Thread.interrupted()) {
            throw new InterruptedIOException("interrupted");
        }
        LockSupport.parkNanos(POLL_NANOS);
    }

    private static SocketTimeoutException timeout() {
        return new SocketTimeoutException("the peer took too long");
    }

    /** Closes the connection; closing again does nothing. */
    @Override
    public void close() {
        try {
            socket.close();
        } catch (IOException e) {
            assert !socket.isOpen() : e;
        }
    }
}
