package io.sluice.soak;

import io.sluice.soak.Exchange.CloseMode;
import io.sluice.soak.Feed.Endpoint;
import io.sluice.soak.Tally.Fault;
import java.io.IOException;
import java.net.StandardSocketOptions;
import java.nio.ByteBuffer;
import java.nio.channels.SelectionKey;
import java.nio.channels.SocketChannel;
import org.jspecify.annotations.Nullable;

/**
 * The server side of a connection: reads a key, performs its part of that {@link Exchange} and checks all received
 * bytes.
 */
final class TcpServer implements Reactor.Handler {
    final Endpoint endpoint;
    long lastNanos = System.nanoTime();
    private final TcpLoad load;
    private final SocketChannel channel;
    private final SelectionKey key;
    private final ByteBuffer header = ByteBuffer.allocate(Exchange.HEADER_BYTES);
    private @Nullable TcpClient client;
    private @Nullable Exchange exchange;
    private boolean first = true;
    private int receivedBytes;
    private int sentBytes;
    private boolean stalled;
    private boolean sawFin;
    private boolean finSent;
    private boolean closed;

    TcpServer(TcpLoad load, Endpoint endpoint, SocketChannel channel) throws IOException {
        this.load = load;
        this.endpoint = endpoint;
        this.channel = channel;
        channel.setOption(StandardSocketOptions.TCP_NODELAY, true);
        this.key = load.watch(channel, SelectionKey.OP_READ, this);
    }

    @Override
    public void onReady(SelectionKey key) {
        lastNanos = System.nanoTime();
        try {
            read();
            write();
            if (!closed) {
                key.interestOps((stalled || sawFin ? 0 : SelectionKey.OP_READ)
                        | (sentBytes < sendLimit() ? SelectionKey.OP_WRITE : 0));
            }
        } catch (IOException e) {
            failed(e);
        }
    }

    private void read() throws IOException {
        for (int round = 0; round < load.rounds() && !closed && !stalled && !sawFin; round++) {
            Exchange current = exchange;
            if (current == null ? !readKey() : !readRequest(current)) {
                return;
            }
        }
    }

    /** Returns false if there is nothing more to read for now. */
    private boolean readKey() throws IOException {
        int length = channel.read(header);
        if (length < 0) {
            // A silent client, or one between two exchanges, for which the client side reports the fault.
            close();
        }
        if (header.hasRemaining()) {
            return length > 0;
        }
        header.flip();
        int magic = header.getInt();
        int number = header.getInt();
        header.clear();
        TcpClient found = magic == Exchange.MAGIC ? load.clientOf(endpoint, number, first) : null;
        if (found == null) {
            load.tally.fault(Fault.BYTES, "wrong header bytes at " + endpoint.address);
            close();
            return false;
        }
        first = false;
        receivedBytes = 0;
        sentBytes = 0;
        client = found;
        exchange = found.exchange();
        found.seenByServer();
        if (exchange.serverStallMillis() > 0) {
            stalled = true;
            load.after(exchange.serverStallMillis(), () -> {
                stalled = false;
                if (!closed) {
                    onReady(key);
                }
            });
        }
        return true;
    }

    private boolean readRequest(Exchange current) throws IOException {
        ByteBuffer buffer = load.buffer;
        int limit = current.requestBytes() - receivedBytes;
        if (limit == 0
                && (current.closeMode() == CloseMode.KEEP_OPEN || current.closeMode() == CloseMode.SERVER_RESETS)) {
            return false;
        }
        buffer.clear().limit(Math.min(buffer.capacity(), limit + 1));
        int length = channel.read(buffer);
        if (length < 0) {
            end(current);
            return false;
        }
        if (length > limit || !BytePattern.matches(buffer.flip(), current.key(), receivedBytes)) {
            load.tally.fault(Fault.BYTES, client + ": wrong request bytes at " + endpoint.address);
            close();
            return false;
        }
        receivedBytes += length;
        load.tally.add("bytes", length);
        return length > 0;
    }

    private void end(Exchange current) throws IOException {
        sawFin = true;
        boolean valid = receivedBytes == current.requestBytes()
                && switch (current.closeMode()) {
                    case CLIENT_HALF_CLOSES -> true;
                    case CLIENT_CLOSES_FIRST, SERVER_CLOSES_FIRST, SERVER_HALF_CLOSES ->
                        sentBytes == current.responseBytes();
                    default -> false;
                };
        if (!valid) {
            load.tally.fault(Fault.RESET, client + ": unexpected end of stream at server " + endpoint.address);
            close();
        }
    }

    /** The number of response bytes that may be sent now. */
    private int sendLimit() {
        Exchange current = exchange;
        if (current == null) {
            return 0;
        }
        boolean requestComplete = receivedBytes == current.requestBytes();
        boolean canSend = current.duplex()
                || switch (current.closeMode()) {
                    case SERVER_HALF_CLOSES -> true;
                    case CLIENT_HALF_CLOSES -> sawFin;
                    default -> requestComplete;
                };
        return canSend ? current.responseBytes() : 0;
    }

    private void write() throws IOException {
        Exchange current = exchange;
        if (current == null || closed || resetIfDue(current)) {
            return;
        }
        while (sentBytes < sendLimit()) {
            int length = Math.min(BytePattern.MAX_SLICE_BYTES, sendLimit() - sentBytes);
            int written = channel.write(BytePattern.slice(~current.key(), sentBytes, length));
            sentBytes += written;
            if (resetIfDue(current) || written == 0) {
                return;
            }
        }
        if (sendLimit() == current.responseBytes() && sentBytes == current.responseBytes()) {
            answered(current);
        }
    }

    private void answered(Exchange current) throws IOException {
        switch (current.closeMode()) {
            case KEEP_OPEN -> {
                exchange = null;
                client = null;
            }
            case SERVER_CLOSES_FIRST, SERVER_HALF_CLOSES -> {
                if (!finSent
                        && (current.closeMode() == CloseMode.SERVER_HALF_CLOSES
                                || receivedBytes == current.requestBytes())) {
                    finSent = true;
                    channel.shutdownOutput();
                }
            }
            default -> {}
        }
        if (sawFin) {
            finish();
        }
    }

    private boolean resetIfDue(Exchange current) throws IOException {
        if (current.closeMode() != CloseMode.SERVER_RESETS
                || Exchange.HEADER_BYTES + receivedBytes + sentBytes < current.resetAt()) {
            return false;
        }
        channel.setOption(StandardSocketOptions.SO_LINGER, 0);
        finish();
        return true;
    }

    private void failed(IOException e) {
        Exchange current = exchange;
        if (current != null && current.closeMode() == CloseMode.CLIENT_RESETS) {
            finish();
            return;
        }
        if (current != null) {
            load.tally.fault(Fault.RESET, client + ": failed at server " + endpoint.address + ": " + e.getMessage());
        }
        close();
    }

    private void finish() {
        close();
        if (client != null) {
            client.doneByServer();
        }
    }

    void abandon() {
        close();
    }

    private void close() {
        closed = true;
        load.forget(this);
        try {
            channel.close();
        } catch (IOException e) {
            load.fault(e);
        }
    }
}
