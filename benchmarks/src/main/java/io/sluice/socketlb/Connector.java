package io.sluice.socketlb;

import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.StandardSocketOptions;
import java.nio.ByteBuffer;
import java.nio.channels.AsynchronousCloseException;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Supplier;

/** A server at all loopback addresses that closes each connection, and its client. */
final class Connector implements AutoCloseable {
    private static final int BACKLOG = 4096;
    /** Connections between two switches from the client to the server. */
    private static final int BURST = 32;

    private final ServerSocketChannel server = ServerSocketChannel.open();
    private final Thread thread = new Thread(this::accept, "server");

    Connector() throws IOException {
        server.bind(new InetSocketAddress(0), BACKLOG);
        thread.setDaemon(true);
        thread.start();
    }

    int port() {
        return server.socket().getLocalPort();
    }

    private void accept() {
        try {
            while (true) {
                server.accept().close();
            }
        } catch (AsynchronousCloseException e) {
            // The benchmark has ended.
        } catch (IOException e) {
            throw new IllegalStateException(e);
        }
    }

    /** Opens and closes connections for a time, and returns how many. */
    long connect(Supplier<InetSocketAddress> to, long nanos) throws IOException {
        long end = System.nanoTime() + nanos;
        long count = 0;
        List<SocketChannel> open = new ArrayList<>();
        ByteBuffer buffer = ByteBuffer.allocate(1);
        while (System.nanoTime() - end < 0) {
            while (open.size() < BURST) {
                SocketChannel channel = SocketChannel.open();
                open.add(channel);
                // Resets the connection, so that its port can be used again at once.
                channel.setOption(StandardSocketOptions.SO_LINGER, 0);
                channel.connect(to.get());
            }
            for (SocketChannel channel : open) {
                if (channel.read(buffer) >= 0) {
                    throw new IOException("unexpected data");
                }
                channel.close();
                count++;
            }
            open.clear();
        }
        return count;
    }

    @Override
    public void close() throws IOException {
        server.close();
    }
}
