package io.sluice.socketlb;

import io.sluice.model.Endpoint;
import io.sluice.model.Family;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.ClosedSelectorException;
import java.nio.channels.SelectionKey;
import java.nio.channels.Selector;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.util.ArrayList;
import java.util.List;

/** Endpoints with one thread. Each sends its index to its clients in one byte and closes the connection. */
final class TestEndpoints implements AutoCloseable {
    private static final int BACKLOG = 4096;

    private final Selector selector = Selector.open();
    private final List<ServerSocketChannel> listeners = new ArrayList<>();
    private final Thread thread = new Thread(this::accept, "test-endpoints");

    TestEndpoints(int count) throws IOException {
        for (int i = 0; i < count; i++) {
            ServerSocketChannel listener = ServerSocketChannel.open();
            listeners.add(listener);
            listener.bind(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), BACKLOG);
            listener.configureBlocking(false).register(selector, SelectionKey.OP_ACCEPT, i);
        }
        thread.start();
    }

    Endpoint get(int index) {
        return new Endpoint(
                BpfLab.loopback(Family.IPV4), listeners.get(index).socket().getLocalPort());
    }

    private void accept() {
        try {
            while (selector.isOpen()) {
                selector.select(TestEndpoints::accept);
            }
        } catch (ClosedSelectorException e) {
            // The test has ended.
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private static void accept(SelectionKey key) {
        ServerSocketChannel listener = (ServerSocketChannel) key.channel();
        byte index = ((Integer) key.attachment()).byteValue();
        try {
            for (SocketChannel client = listener.accept(); client != null; client = listener.accept()) {
                client.write(ByteBuffer.wrap(new byte[] {index}));
                client.close();
            }
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    @Override
    public void close() throws IOException {
        selector.close();
        for (ServerSocketChannel listener : listeners) {
            listener.close();
        }
        try {
            thread.join();
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }
}
