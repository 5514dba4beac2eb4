package io.sluice.daemon;

import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * The end of an API server's tunnel to pods, as Konnectivity has it. Connects each request, for any address, to the same
 * port of 127.0.0.1.
 */
final class PodTunnel implements AutoCloseable {
    private static final Pattern CONNECT = Pattern.compile("CONNECT [^ ]*:(\\d+) HTTP/1\\.1\r\n(?s:.*)\r\n\r\n");

    private final ServerSocketChannel listener;
    private final AtomicInteger connections = new AtomicInteger();

    PodTunnel(Path socket) throws IOException {
        listener = ServerSocketChannel.open(StandardProtocolFamily.UNIX).bind(UnixDomainSocketAddress.of(socket));
        start(this::accept);
    }

    private interface Task {
        void run() throws IOException;
    }

    /** Runs the task in a thread of its own, until it ends or a channel is closed. */
    private static void start(Task task) {
        Thread thread = new Thread(() -> {
            try {
                task.run();
            } catch (IOException e) {
                // The other side closed its connection, or the test is over.
            }
        });
        thread.setDaemon(true);
        thread.start();
    }

    private void accept() throws IOException {
        while (true) {
            SocketChannel server = listener.accept();
            connections.incrementAndGet();
            start(() -> serve(server));
        }
    }

    private static void serve(SocketChannel server) throws IOException {
        ByteBuffer buffer = ByteBuffer.allocate(8192);
        Matcher request = CONNECT.matcher("");
        while (!request.matches()) {
            if (server.read(buffer) < 0) {
                server.close();
                return;
            }
            request.reset(new String(buffer.array(), 0, buffer.position(), StandardCharsets.US_ASCII));
        }
        int port = Integer.parseInt(request.group(1));
        SocketChannel pod = SocketChannel.open(new InetSocketAddress(InetAddress.getLoopbackAddress(), port));
        server.write(ByteBuffer.wrap("HTTP/1.1 200 OK\r\n\r\n".getBytes(StandardCharsets.US_ASCII)));
        start(() -> copy(server, pod));
        copy(pod, server);
    }

    private static void copy(SocketChannel from, SocketChannel to) throws IOException {
        try (from;
                to) {
            ByteBuffer buffer = ByteBuffer.allocate(8192);
            while (from.read(buffer) >= 0) {
                buffer.flip();
                while (buffer.hasRemaining()) {
                    to.write(buffer);
                }
                buffer.clear();
            }
        }
    }

    /** The number of connections so far. */
    int connections() {
        return connections.get();
    }

    @Override
    public void close() throws IOException {
        listener.close();
    }
}
