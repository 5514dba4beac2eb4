package io.sluice.forward;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.StandardSocketOptions;
import java.nio.ByteBuffer;
import java.nio.channels.ClosedSelectorException;
import java.nio.channels.SelectionKey;
import java.nio.channels.Selector;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;

/**
 * The endpoint of a benchmark: sends back what it receives and closes when its client does. One thread serves all
 * connections, so that a thousand connections cost about as much as one.
 */
final class TcpEcho implements AutoCloseable {
    private static final int BACKLOG = 1_024;

    private final Selector selector = Selector.open();
    private final ServerSocketChannel server = ServerSocketChannel.open();
    private final int bufferBytes;
    final InetSocketAddress address;

    TcpEcho(int bufferBytes) throws IOException {
        this.bufferBytes = bufferBytes;
        server.bind(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), BACKLOG);
        address = (InetSocketAddress) server.getLocalAddress();
        server.configureBlocking(false);
        server.register(selector, SelectionKey.OP_ACCEPT);
        Thread thread = new Thread(this::serve, "echo");
        thread.setDaemon(true);
        thread.start();
    }

    private void serve() {
        try {
            while (selector.isOpen()) {
                selector.select(this::ready);
            }
        } catch (IOException | UncheckedIOException e) {
            throw new IllegalStateException("the echo endpoint failed; clients would wait forever", e);
        } catch (ClosedSelectorException e) {
            // Closed by the tear-down.
        }
    }

    private void ready(SelectionKey key) {
        try {
            if (key.channel() == server) {
                accept();
            } else {
                sendBack(key, (SocketChannel) key.channel(), (ByteBuffer) key.attachment());
            }
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private void accept() throws IOException {
        for (SocketChannel client = server.accept(); client != null; client = server.accept()) {
            client.setOption(StandardSocketOptions.TCP_NODELAY, true).configureBlocking(false);
            client.register(selector, SelectionKey.OP_READ, ByteBuffer.allocateDirect(bufferBytes));
        }
    }

    private static void sendBack(SelectionKey key, SocketChannel client, ByteBuffer buffer) throws IOException {
        try {
            if (key.interestOps() == SelectionKey.OP_READ) {
                if (client.read(buffer.clear()) < 0) {
                    client.close();
                    return;
                }
                buffer.flip();
            }
            client.write(buffer);
            key.interestOps(buffer.hasRemaining() ? SelectionKey.OP_WRITE : SelectionKey.OP_READ);
        } catch (IOException e) {
            // During a tear-down, clients close with a response in flight. Any other client sees its connection end.
            client.close();
        }
    }

    @Override
    public void close() throws IOException {
        for (SelectionKey key : selector.keys()) {
            key.channel().close();
        }
        selector.close();
    }
}
