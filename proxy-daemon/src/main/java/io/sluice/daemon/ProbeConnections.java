package io.sluice.daemon;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.SelectionKey;
import java.nio.channels.Selector;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;
import java.time.Instant;
import java.util.ArrayDeque;
import java.util.Iterator;
import java.util.LinkedHashSet;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import java.util.function.Supplier;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * HTTP for those who ask one question and want one answer: whatever the method and the path, the end of the request's
 * head is answered and the connection then ended. Confined to one thread, which it never blocks.
 */
final class ProbeConnections {
    private static final Logger log = LoggerFactory.getLogger(ProbeConnections.class);

    /** What a connection may last, whatever its client does. */
    private static final long LIFETIME_NANOS = TimeUnit.SECONDS.toNanos(10);

    /** More than any probe sends. */
    private static final int MAX_REQUEST_BYTES = 64 * 1024;

    private static final byte[] HEAD = "HEAD ".getBytes(StandardCharsets.US_ASCII);

    private final int max;
    private final ByteBuffer buffer = ByteBuffer.allocate(8 * 1024);

    /** The oldest first, and since all may last equally long that is also the order of their deadlines. */
    private final Set<Connection> connections = new LinkedHashSet<>();

    /** @param max how many there may be at once; the oldest makes room */
    ProbeConnections(int max) {
        this.max = max;
    }

    private static final class Connection {
        final SocketChannel channel;
        final Supplier<HealthCheckAnswer> answer;
        final long deadlineNanos = System.nanoTime() + LIFETIME_NANOS;
        int received;
        boolean emptyLine;
        boolean isHead = true;
        boolean answered;

        Connection(SocketChannel channel, Supplier<HealthCheckAnswer> answer) {
            this.channel = channel;
            this.answer = answer;
        }

        /** Whether the head of the request is complete with this byte. */
        boolean take(byte next) {
            if (received < HEAD.length) {
                isHead &= next == HEAD[received];
            }
            received++;
            if (next == '\n') {
                boolean end = emptyLine;
                emptyLine = true;
                return end;
            }
            emptyLine &= next == '\r';
            return false;
        }
    }

    /**
     * Takes the clients that are there.
     *
     * @param answer asked once a request is read
     * @throws IOException if one cannot be taken
     */
    void accept(ServerSocketChannel from, Selector selector, Supplier<HealthCheckAnswer> answer) throws IOException {
        // Not all at once: the other ports have their turn too.
        for (int i = 0; i < 64; i++) {
            SocketChannel channel = from.accept();
            if (channel == null) {
                return;
            }
            if (connections.size() >= max) {
                close(connections.iterator().next());
            }
            Connection connection = new Connection(channel, answer);
            connections.add(connection);
            channel.configureBlocking(false);
            channel.register(selector, SelectionKey.OP_READ, connection);
        }
    }

    /** A client sent something, or went away. */
    void read(SelectionKey key) {
        Connection connection = (Connection) key.attachment();
        try {
            buffer.clear();
            if (connection.channel.read(buffer) < 0) {
                close(connection);
                return;
            }
            buffer.flip();
            while (buffer.hasRemaining()) {
                if (connection.take(buffer.get()) && !connection.answered) {
                    answer(connection);
                }
            }
            if (connection.received > MAX_REQUEST_BYTES) {
                close(connection);
            }
        } catch (IOException e) {
            log.debug("a client of a health check went away", e);
            close(connection);
        } catch (RuntimeException e) {
            log.error("a health check could not be answered", e);
            close(connection);
        }
    }

    private static void answer(Connection connection) throws IOException {
        connection.answered = true;
        byte[] bytes = connection.answer.get().http(!connection.isHead, Instant.now());
        // It fits any send buffer, and this is the first that is sent.
        connection.channel.write(ByteBuffer.wrap(bytes));
        // Closing it here would reset it, answer included, if some of the request is not read yet.
        connection.channel.shutdownOutput();
    }

    private void close(Connection connection) {
        connections.remove(connection);
        try {
            connection.channel.close();
        } catch (IOException e) {
            log.debug("a client of a health check was not closed cleanly", e);
        }
    }

    void closeOverdue() {
        long now = System.nanoTime();
        while (!connections.isEmpty()) {
            Connection oldest = connections.iterator().next();
            if (oldest.deadlineNanos - now > 0) {
                return;
            }
            close(oldest);
        }
    }

    /** {@code Long.MAX_VALUE} if nobody is connected. */
    long nanosToNextDeadline() {
        Iterator<Connection> all = connections.iterator();
        return all.hasNext() ? all.next().deadlineNanos - System.nanoTime() : Long.MAX_VALUE;
    }

    void closeAll() {
        new ArrayDeque<>(connections).forEach(this::close);
    }
}
