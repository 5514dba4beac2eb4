package io.sluice.soak;

import io.sluice.soak.Exchange.How;
import io.sluice.soak.Feed.Service;
import io.sluice.soak.Tally.Fault;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.StandardSocketOptions;
import java.nio.ByteBuffer;
import java.nio.channels.SelectionKey;
import java.nio.channels.SocketChannel;
import java.util.concurrent.TimeUnit;

/** The client's end of a connection: plays its part of an {@link Exchange} and checks all it gets. */
final class TcpClient implements Reactor.Handler {
    /** Beyond the time it stalls on purpose: three connect timeouts, a pause of a flaky server, a slow machine. */
    private static final long PATIENCE_NANOS = TimeUnit.SECONDS.toNanos(20);

    final Service service;
    final long openedNanos = System.nanoTime();
    long deadlineNanos;
    private final TcpLoad load;
    private final String name;
    private final SocketChannel channel;
    private final InetAddress address;
    private final SelectionKey key;
    private Exchange exchange;
    private int sent;
    private int received;
    private boolean stalled;
    private boolean sawEnd;
    private boolean finSent;
    private boolean done;
    /** How far the server is with this exchange. */
    private boolean seenByServer;

    private boolean doneByServer;
    /** An endpoint answered on this connection, so nothing may cut it any more. */
    private boolean everAnswered;

    private boolean finished;

    TcpClient(TcpLoad load, String name, Service service, SocketChannel channel, Exchange exchange) throws IOException {
        this.load = load;
        this.name = name;
        this.service = service;
        this.channel = channel;
        this.address = ((InetSocketAddress) channel.getLocalAddress()).getAddress();
        this.exchange = exchange;
        this.key = load.watch(channel, SelectionKey.OP_CONNECT, this);
    }

    void connect() {
        begin();
        try {
            if (channel.connect(service.frontend())) {
                ready(key);
            }
        } catch (IOException e) {
            failed(e);
        }
    }

    /** The next exchange on the same connection. */
    void go(Exchange next) {
        exchange = next;
        sent = 0;
        received = 0;
        seenByServer = false;
        doneByServer = false;
        begin();
        ready(key);
    }

    private void begin() {
        long stall = TimeUnit.MILLISECONDS.toNanos(exchange.clientStallMillis() + exchange.serverStallMillis());
        deadlineNanos = System.nanoTime() + stall + PATIENCE_NANOS;
        if (exchange.clientStallMillis() > 0) {
            stalled = true;
            load.after(exchange.clientStallMillis(), () -> {
                stalled = false;
                if (isOpen()) {
                    ready(key);
                }
            });
        }
    }

    @Override
    public void ready(SelectionKey key) {
        try {
            if (channel.isConnectionPending() && !channel.finishConnect()) {
                return;
            }
            write();
            read();
            if (!done) {
                key.interestOps((stalled || sawEnd ? 0 : SelectionKey.OP_READ)
                        | (sent < mostToSend() ? SelectionKey.OP_WRITE : 0));
            }
        } catch (IOException e) {
            failed(e);
        }
    }

    /** How much may be sent now. */
    private int mostToSend() {
        int whole = Exchange.HEADER_BYTES + exchange.ask();
        return switch (exchange.how()) {
            case SILENT -> 0;
            case SERVER_HALF_CLOSES -> sawEnd ? whole : Exchange.HEADER_BYTES;
            case CLIENT_RESETS -> Math.min(whole, exchange.resetAt());
            default -> whole;
        };
    }

    private void write() throws IOException {
        while (!done && sent < mostToSend()) {
            ByteBuffer bytes;
            if (sent < Exchange.HEADER_BYTES) {
                bytes = ByteBuffer.allocate(Exchange.HEADER_BYTES)
                        .putInt(Exchange.MAGIC)
                        .putInt(exchange.key())
                        .position(sent)
                        .limit(Math.min(Exchange.HEADER_BYTES, mostToSend()));
            } else {
                int length = Math.min(Pattern.MOST_AT_ONCE, mostToSend() - sent);
                bytes = Pattern.slice(exchange.key(), sent - Exchange.HEADER_BYTES, length);
            }
            int written = channel.write(bytes);
            sent += written;
            if (written == 0) {
                return;
            }
        }
        boolean all = sent == Exchange.HEADER_BYTES + exchange.ask();
        if (all && !finSent && exchange.how() == How.CLIENT_HALF_CLOSES) {
            finSent = true;
            channel.shutdownOutput();
        }
        if (all && sawEnd) {
            close();
        }
        resetIfDue();
    }

    private void resetIfDue() throws IOException {
        if (!done && exchange.how() == How.CLIENT_RESETS && sent + received >= exchange.resetAt()) {
            channel.setOption(StandardSocketOptions.SO_LINGER, 0);
            // Before it has read the key, a server cannot know whose reset it sees.
            doneByServer |= !seenByServer && sent < Exchange.HEADER_BYTES;
            close();
            if (!doneByServer && !seenByServer) {
                // The reset may have overtaken the key.
                load.after(3_000, () -> {
                    doneByServer |= !seenByServer;
                    finishIfDone();
                });
            }
        }
    }

    private void read() throws IOException {
        ByteBuffer buffer = load.buffer;
        for (int round = 0; round < load.rounds() && !done && !stalled && !sawEnd; round++) {
            int most = exchange.answer() - received;
            // One byte more than is due, so that too much shows; the next answer of a session is not sent before it is
            // asked.
            buffer.clear().limit(Math.min(buffer.capacity(), most + 1));
            int length = channel.read(buffer);
            if (length == 0) {
                return;
            }
            if (length < 0) {
                end();
                return;
            }
            if (length > most || !Pattern.matches(buffer.flip(), ~exchange.key(), received)) {
                load.tally.fault(Fault.BYTES, this + ": wrong answer");
                abandon();
                return;
            }
            received += length;
            everAnswered = true;
            load.tally.add("bytes", length);
            resetIfDue();
            if (received == exchange.answer() && !done) {
                answered();
            }
        }
    }

    private void answered() throws IOException {
        if (exchange.how() == How.CLIENT_CLOSES_FIRST) {
            close();
        } else if (exchange.how() == How.GO_ON) {
            load.tally.add("exchanges", 1);
            load.forget(exchange.key());
            load.next(this);
        }
    }

    private void end() throws IOException {
        sawEnd = true;
        boolean right = received == exchange.answer()
                && (exchange.how() == How.SERVER_CLOSES_FIRST
                        || exchange.how() == How.CLIENT_HALF_CLOSES
                        || exchange.how() == How.SERVER_HALF_CLOSES);
        if (!right) {
            load.tally.fault(Fault.RESET, this + ": end of stream");
            abandon();
        } else {
            write();
        }
    }

    private void failed(IOException e) {
        boolean refused = service.mayRefuse() && !seenByServer && received == 0 && !everAnswered;
        if (exchange.how() == How.SERVER_RESETS && doneByServer) {
            close();
        } else if (refused) {
            load.tally.add("refused while nobody served", 1);
            doneByServer = true;
            close();
        } else {
            load.tally.fault(Fault.RESET, this + ": " + e.getMessage());
            abandon();
        }
    }

    /** A silent client has been silent for long enough. */
    void leave() {
        doneByServer = true;
        if (isOpen()) {
            close();
        }
    }

    private void close() {
        done = true;
        try {
            channel.close();
        } catch (IOException e) {
            load.fault(e);
        }
        finishIfDone();
    }

    void abandon() {
        doneByServer = true;
        close();
    }

    void seenByServer() {
        seenByServer = true;
    }

    void doneByServer() {
        doneByServer = true;
        finishIfDone();
    }

    private void finishIfDone() {
        if (done && doneByServer && !finished) {
            finished = true;
            load.forget(exchange.key());
            load.tally.add(name, 1);
        }
    }

    boolean isOpen() {
        return !done;
    }

    Exchange exchange() {
        return exchange;
    }

    InetAddress address() {
        return address;
    }

    @Override
    public String toString() {
        return "%s %s of %s, sent %d, received %d, %s, %s by the server, %d ms old"
                .formatted(
                        name,
                        exchange,
                        service.name(),
                        sent,
                        received,
                        done ? "closed" : "open",
                        doneByServer ? "done" : seenByServer ? "seen" : "not seen",
                        TimeUnit.NANOSECONDS.toMillis(System.nanoTime() - openedNanos));
    }
}
