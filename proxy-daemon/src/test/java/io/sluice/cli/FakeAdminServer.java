package io.sluice.cli;

import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.SocketAddress;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.Channels;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CopyOnWriteArrayList;

/**
 * Serves canned responses of the admin API on loopback or on a Unix socket, one connection at a time. Responses are
 * given for a method and a path, with or without the query. Several responses for one request are sent in order; the
 * last one is repeated.
 */
final class FakeAdminServer implements AutoCloseable {
    private final ServerSocketChannel listener;
    private final Map<String, Deque<byte[]>> responses = new ConcurrentHashMap<>();
    private final List<String> requests = new CopyOnWriteArrayList<>();

    private FakeAdminServer(ServerSocketChannel listener) {
        this.listener = listener;
        Thread thread = new Thread(this::serve, "fake-admin-server");
        thread.setDaemon(true);
        thread.start();
    }

    static FakeAdminServer onLoopback() throws IOException {
        return new FakeAdminServer(
                ServerSocketChannel.open().bind(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0)));
    }

    static FakeAdminServer onUnixSocket(Path path) throws IOException {
        return new FakeAdminServer(
                ServerSocketChannel.open(StandardProtocolFamily.UNIX).bind(UnixDomainSocketAddress.of(path)));
    }

    /** Sets the responses with status 200 for a request such as {@code GET /api/v1/status}. */
    FakeAdminServer on(String request, String... bodies) {
        Deque<byte[]> queue = new ArrayDeque<>();
        for (String body : bodies) {
            queue.add(response(200, body));
        }
        responses.put(request, queue);
        return this;
    }

    /** Adds a response with this status to those of a request. */
    FakeAdminServer then(String request, int status, String body) {
        responses.computeIfAbsent(request, each -> new ArrayDeque<>()).add(response(status, body));
        return this;
    }

    /** Sets bytes that are sent as they are, before the connection is closed. */
    FakeAdminServer raw(String request, String bytes) {
        responses.put(request, new ArrayDeque<>(List.of(bytes.getBytes(StandardCharsets.UTF_8))));
        return this;
    }

    private static byte[] response(int status, String body) {
        int length = body.getBytes(StandardCharsets.UTF_8).length;
        return ("HTTP/1.1 " + status + " X\r\nContent-Type: application/json\r\nContent-Length: " + length
                        + "\r\nConnection: close\r\n\r\n" + body)
                .getBytes(StandardCharsets.UTF_8);
    }

    String url() throws IOException {
        SocketAddress address = listener.getLocalAddress();
        return "http://127.0.0.1:" + ((InetSocketAddress) address).getPort();
    }

    /** The requests so far: method, path and query. */
    List<String> requests() {
        return requests;
    }

    private void serve() {
        while (listener.isOpen()) {
            try (SocketChannel channel = listener.accept()) {
                String head = head(Channels.newInputStream(channel));
                String request = head.substring(0, head.indexOf(" HTTP/1.1"));
                requests.add(request);
                try (OutputStream out = Channels.newOutputStream(channel)) {
                    out.write(next(request));
                }
            } catch (IOException e) {
                // The client gave up, or the listener was closed, which ends the loop.
                assert !listener.isOpen() || e.getMessage() != null : e;
            }
        }
    }

    private byte[] next(String request) {
        Deque<byte[]> queue = responses.get(request);
        queue = queue == null ? responses.get(request.replaceAll("\\?.*", "")) : queue;
        if (queue == null) {
            return response(404, "{\"error\": \"no response is set for " + request + "\"}");
        }
        synchronized (queue) {
            return queue.size() > 1 ? queue.remove() : queue.element();
        }
    }

    private static String head(InputStream in) throws IOException {
        ByteBuffer head = ByteBuffer.allocate(16_384);
        for (int next = in.read(); next >= 0; next = in.read()) {
            head.put((byte) next);
            String text = new String(head.array(), 0, head.position(), StandardCharsets.UTF_8);
            if (text.endsWith("\r\n\r\n")) {
                return text;
            }
        }
        throw new IOException("the client closed the connection");
    }

    @Override
    public void close() throws IOException {
        listener.close();
    }
}
