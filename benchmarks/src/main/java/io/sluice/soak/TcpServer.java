package io.sluice.soak;

import io.sluice.soak.Exchange.How;
import io.sluice.soak.Feed.Endpoint;
import io.sluice.soak.Tally.Fault;
import java.io.IOException;
import java.net.StandardSocketOptions;
import java.nio.ByteBuffer;
import java.nio.channels.SelectionKey;
import java.nio.channels.SocketChannel;
import org.jspecify.annotations.Nullable;

/** The server's end of a connection: reads a key, then plays its part of that {@link Exchange} and checks all it gets. */
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
    private int received;
    private int sent;
    private boolean stalled;
    private boolean sawEnd;
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
    public void ready(SelectionKey key) {
        lastNanos = System.nanoTime();
        try {
            read();
            write();
            if (!closed) {
                key.interestOps((stalled || sawEnd ? 0 : SelectionKey.OP_READ)
                        | (sent < mostToSend() ? SelectionKey.OP_WRITE : 0));
            }
        } catch (IOException e) {
            failed(e);
        }
    }

    private void read() throws IOException {
        for (int round = 0; round < load.rounds() && !closed && !stalled && !sawEnd; round++) {
            Exchange now = exchange;
            if (now == null ? !readKey() : !readQuestion(now)) {
                return;
            }
        }
    }

    /** False if there is nothing more to read for the moment. */
    private boolean readKey() throws IOException {
        int length = channel.read(header);
        if (length < 0) {
            // A silent client, or one between two turns that the client's end will tell of.
            close();
        }
        if (header.hasRemaining()) {
            return length > 0;
        }
        header.flip();
        int magic = header.getInt();
        int number = header.getInt();
        header.clear();
        TcpClient found = magic == Exchange.MAGIC ? load.arrived(endpoint, number, first) : null;
        if (found == null) {
            load.tally.fault(Fault.BYTES, "wrong first bytes at " + endpoint.address);
            close();
            return false;
        }
        first = false;
        received = 0;
        sent = 0;
        client = found;
        exchange = found.exchange();
        found.seenByServer();
        if (exchange.serverStallMillis() > 0) {
            stalled = true;
            load.after(exchange.serverStallMillis(), () -> {
                stalled = false;
                if (!closed) {
                    ready(key);
                }
            });
        }
        return true;
    }

    private boolean readQuestion(Exchange now) throws IOException {
        ByteBuffer buffer = load.buffer;
        int most = now.ask() - received;
        if (most == 0 && (now.how() == How.GO_ON || now.how() == How.SERVER_RESETS)) {
            return false;
        }
        buffer.clear().limit(Math.min(buffer.capacity(), most + 1));
        int length = channel.read(buffer);
        if (length < 0) {
            end(now);
            return false;
        }
        if (length > most || !Pattern.matches(buffer.flip(), now.key(), received)) {
            load.tally.fault(Fault.BYTES, client + ": wrong question at " + endpoint.address);
            close();
            return false;
        }
        received += length;
        load.tally.add("bytes", length);
        return length > 0;
    }

    private void end(Exchange now) throws IOException {
        sawEnd = true;
        boolean right = received == now.ask()
                && switch (now.how()) {
                    case CLIENT_HALF_CLOSES -> true;
                    case CLIENT_CLOSES_FIRST, SERVER_CLOSES_FIRST, SERVER_HALF_CLOSES -> sent == now.answer();
                    default -> false;
                };
        if (!right) {
            load.tally.fault(Fault.RESET, client + ": end of stream at the server " + endpoint.address);
            close();
        }
    }

    /** How much may be sent now. */
    private int mostToSend() {
        Exchange now = exchange;
        if (now == null) {
            return 0;
        }
        boolean asked = received == now.ask();
        boolean may = now.duplex()
                || switch (now.how()) {
                    case SERVER_HALF_CLOSES -> true;
                    case CLIENT_HALF_CLOSES -> sawEnd;
                    default -> asked;
                };
        return may ? now.answer() : 0;
    }

    private void write() throws IOException {
        Exchange now = exchange;
        if (now == null || closed || resetIfDue(now)) {
            return;
        }
        while (sent < mostToSend()) {
            int length = Math.min(Pattern.MOST_AT_ONCE, mostToSend() - sent);
            int written = channel.write(Pattern.slice(~now.key(), sent, length));
            sent += written;
            if (resetIfDue(now) || written == 0) {
                return;
            }
        }
        if (mostToSend() == now.answer() && sent == now.answer()) {
            answered(now);
        }
    }

    private void answered(Exchange now) throws IOException {
        switch (now.how()) {
            case GO_ON -> {
                exchange = null;
                client = null;
            }
            case SERVER_CLOSES_FIRST, SERVER_HALF_CLOSES -> {
                if (!finSent && (now.how() == How.SERVER_HALF_CLOSES || received == now.ask())) {
                    finSent = true;
                    channel.shutdownOutput();
                }
            }
            default -> {}
        }
        if (sawEnd) {
            finish();
        }
    }

    private boolean resetIfDue(Exchange now) throws IOException {
        if (now.how() != How.SERVER_RESETS || Exchange.HEADER_BYTES + received + sent < now.resetAt()) {
            return false;
        }
        channel.setOption(StandardSocketOptions.SO_LINGER, 0);
        finish();
        return true;
    }

    private void failed(IOException e) {
        Exchange now = exchange;
        if (now != null && now.how() == How.CLIENT_RESETS) {
            finish();
            return;
        }
        if (now != null) {
            load.tally.fault(Fault.RESET, client + ": at the server " + endpoint.address + ": " + e.getMessage());
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
