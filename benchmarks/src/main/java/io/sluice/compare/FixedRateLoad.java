package io.sluice.compare;

import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.StandardSocketOptions;
import java.nio.ByteBuffer;
import java.nio.channels.SelectionKey;
import java.nio.channels.Selector;
import java.nio.channels.SocketChannel;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.locks.LockSupport;
import org.HdrHistogram.Histogram;

/**
 * Sends requests at a fixed rate, whether or not earlier ones were answered. Latency counts from when a request was
 * due, not from when it was sent, so a stall also counts for the requests that it delayed (no coordinated omission).
 */
final class FixedRateLoad {
    private static final long SLEEP_NANOS = 20_000;
    private static final long TIMEOUT_NANOS = 5_000_000_000L;

    private final InetSocketAddress to;
    private final byte[] request;
    private final int answerBytes;
    private final int connections;
    private final Histogram histogram = new Histogram(3);
    /**
     * How late requests were sent although a connection was free: the part of the latency caused by the load generator.
     */
    private final Histogram lateness = new Histogram(3);

    private static final class Connection {
        final SocketChannel channel;
        long dueNanos;
        int missing;

        Connection(SocketChannel channel) {
            this.channel = channel;
        }
    }

    FixedRateLoad(InetSocketAddress to, byte[] request, int answerBytes, int connections) {
        this.to = to;
        this.request = request;
        this.answerBytes = answerBytes;
        this.connections = connections;
    }

    /**
     * Returns "ok", the number of requests, microseconds at the percentiles, and the p99 of the load generator's
     * lateness.
     */
    String run(double perSecond, double warmUpSeconds, double seconds) throws IOException {
        List<Connection> all = new ArrayList<>();
        ArrayDeque<Connection> free = new ArrayDeque<>();
        try (Selector selector = Selector.open()) {
            for (int i = 0; i < connections; i++) {
                SocketChannel channel = SocketChannel.open(to);
                channel.configureBlocking(false);
                channel.setOption(StandardSocketOptions.TCP_NODELAY, true);
                Connection connection = new Connection(channel);
                channel.register(selector, SelectionKey.OP_READ, connection);
                all.add(connection);
                free.add(connection);
            }
            send(selector, free, perSecond, (long) (warmUpSeconds * perSecond));
            histogram.reset();
            lateness.reset();
            send(selector, free, perSecond, (long) (seconds * perSecond));
        } finally {
            for (Connection connection : all) {
                connection.channel.close();
            }
        }
        StringBuilder answer = new StringBuilder("ok " + histogram.getTotalCount());
        for (double percentile : new double[] {50, 90, 99, 99.9, 99.99, 100}) {
            answer.append(' ').append(histogram.getValueAtPercentile(percentile) / 1e3);
        }
        return answer.append(' ')
                .append(lateness.getValueAtPercentile(99) / 1e3)
                .toString();
    }

    private void send(Selector selector, ArrayDeque<Connection> free, double perSecond, long requests)
            throws IOException {
        ByteBuffer out = ByteBuffer.allocateDirect(request.length).put(request).flip();
        ByteBuffer in = ByteBuffer.allocateDirect(answerBytes + 1);
        long start = System.nanoTime();
        long deadline = start + (long) (requests / perSecond * 1e9) + TIMEOUT_NANOS;
        boolean wasFull = false;
        for (long sent = 0, answered = 0; answered < requests; ) {
            long now = System.nanoTime();
            if (now > deadline) {
                throw new IOException(requests - answered + " of " + requests + " requests not answered");
            }
            boolean waiting = true;
            while (sent < requests && !free.isEmpty()) {
                long due = start + (long) (sent * 1e9 / perSecond);
                if (due > now) {
                    break;
                }
                Connection connection = free.remove();
                connection.dueNanos = due;
                if (!wasFull) {
                    lateness.recordValue(now - due);
                }
                connection.missing = answerBytes;
                if (connection.channel.write(out.rewind()) != request.length) {
                    throw new IOException("request does not fit into the send buffer");
                }
                sent++;
                waiting = false;
            }
            wasFull = free.isEmpty();
            selector.selectNow();
            for (SelectionKey key : selector.selectedKeys()) {
                Connection connection = (Connection) key.attachment();
                int n = connection.channel.read(in.clear());
                connection.missing -= n;
                if (n < 0 || connection.missing < 0) {
                    throw new IOException(n < 0 ? "connection closed" : "response too long");
                }
                if (connection.missing == 0) {
                    histogram.recordValue(System.nanoTime() - connection.dueNanos);
                    answered++;
                    free.add(connection);
                }
                waiting = false;
            }
            selector.selectedKeys().clear();
            if (waiting) {
                LockSupport.parkNanos(SLEEP_NANOS);
            }
        }
    }
}
