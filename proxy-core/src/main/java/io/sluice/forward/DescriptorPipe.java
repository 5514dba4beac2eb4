package io.sluice.forward;

import io.netty.channel.unix.DomainSocketAddress;
import io.netty.channel.unix.Socket;
import java.io.EOFException;
import java.io.IOException;
import java.net.SocketTimeoutException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;

/** One end of a connection between two processes of this machine on which open descriptors go from one to the other. */
public final class DescriptorPipe implements AutoCloseable {
    private static final long POLL_NANOS = TimeUnit.MICROSECONDS.toNanos(100);
    private static final int ACCEPTED_ADDRESS_BYTES = 26;

    private final Socket socket;
    private final long deadlineNanos;

    private DescriptorPipe(Socket socket, long deadlineNanos) {
        this.socket = socket;
        this.deadlineNanos = deadlineNanos;
    }

    /**
     * The end that somebody else connects to, at a path where nothing is.
     *
     * @param limit for all that is done with it
     */
    public static DescriptorPipe listen(Path path, Duration limit) throws IOException {
        DescriptorPipe pipe = open(limit);
        try {
            pipe.socket.bind(new DomainSocketAddress(path.toFile()));
            pipe.socket.listen(1);
            return pipe;
        } catch (IOException e) {
            pipe.close();
            throw e;
        }
    }

    /**
     * The other end.
     *
     * @param limit likewise
     */
    public static DescriptorPipe connect(Path path, Duration limit) throws IOException {
        DescriptorPipe pipe = open(limit);
        try {
            pipe.socket.connect(new DomainSocketAddress(path.toFile()));
            return pipe;
        } catch (IOException e) {
            pipe.close();
            throw e;
        }
    }

    private static DescriptorPipe open(Duration limit) {
        return new DescriptorPipe(Socket.newSocketDomain(), System.nanoTime() + limit.toNanos());
    }

    /** Waits until somebody connects. */
    public DescriptorPipe accept() throws IOException {
        byte[] address = new byte[ACCEPTED_ADDRESS_BYTES];
        int descriptor = socket.accept(address);
        while (descriptor < 0) {
            pause();
            descriptor = socket.accept(address);
        }
        return new DescriptorPipe(new Socket(descriptor), deadlineNanos);
    }

    /** Sends copies; the originals stay open. */
    public void send(List<Integer> descriptors) throws IOException {
        for (int descriptor : descriptors) {
            while (socket.sendFd(descriptor) < 0) {
                pause();
            }
        }
    }

    /** Receives so many, or none at all. */
    public List<Integer> receive(int count) throws IOException {
        List<Integer> received = new ArrayList<>(count);
        try {
            while (received.size() < count) {
                int descriptor = socket.recvFd();
                if (descriptor > 0) {
                    received.add(descriptor);
                } else if (descriptor < 0) {
                    throw new EOFException("closed after " + received.size() + " of " + count + " sockets");
                } else {
                    pause();
                }
            }
        } catch (IOException e) {
            received.forEach(descriptor -> new InetSocket(descriptor).closeQuietly());
            throw e;
        }
        return received;
    }

    private void pause() throws SocketTimeoutException {
        if (System.nanoTime() - deadlineNanos > 0) {
            throw new SocketTimeoutException("no answer in time");
        }
        LockSupport.parkNanos(POLL_NANOS);
    }

    @Override
    public void close() throws IOException {
        socket.close();
    }
}
