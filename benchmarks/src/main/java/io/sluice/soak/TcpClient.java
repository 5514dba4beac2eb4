package io.sluice.soak;

import io.sluice.soak.Exchange.CloseMode;
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

/** The client side of a connection: performs its part of an {@link Exchange} and checks all received bytes. */
final class TcpClient implements Reactor.Handler {
    /**
     * Time limit beyond intended stalls: allows for three connect timeouts, a pause of a flaky server and a slow
     * machine.
     */
    private static final long TIMEOUT_NANOS = TimeUnit.SECONDS.toNanos(20);

    final Service service;
    final long openedNanos = System.nanoTime();
    long deadlineNanos;
    private final TcpLoad load;
    private final String name;
    private final SocketChannel channel;
    private final InetAddress address;
    private final SelectionKey key;
    private Exchange exchange;
    private int sentBytes;
    private int receivedBytes;
    private boolean stalled;
    private boolean sawFin;
    private boolean finSent;
    private boolean done;
    /** Whether the server has read the key of this exchange. */
    private boolean seenByServer;

    private boolean doneByServer;
    /** Whether an endpoint has responded, after which the connection must not be reset. */
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
                onReady(key);
            }
        } catch (IOException e) {
            failed(e);
        }
    }

    /** Starts the next exchange on the same connection. */
    void startExchange(Exchange next) {
        exchange = next;
        sentBytes = 0;
        receivedBytes = 0;
        seenByServer = false;
        doneByServer = false;
        begin();
        onReady(key);
    }

    private void begin() {
        long stall = TimeUnit.MILLISECONDS.toNanos(exchange.clientStallMillis() + exchange.serverStallMillis());
        deadlineNanos = System.nanoTime() + stall + TIMEOUT_NANOS;
        if (exchange.clientStallMillis() > 0) {
            stalled = true;
            load.after(exchange.clientStallMillis(), () -> {
                stalled = false;
                if (isOpen()) {
                    onReady(key);
                }
            });
        }
    }

    @Override
    public void onReady(SelectionKey key) {
        try {
            if (channel.isConnectionPending() && !channel.finishConnect()) {
                return;
            }
            write();
            read();
            if (!done) {
                key.interestOps((stalled || sawFin ? 0 : SelectionKey.OP_READ)
                        | (sentBytes < sendLimit() ? SelectionKey.OP_WRITE : 0));
            }
        } catch (IOException e) {
            failed(e);
        }
    }

    /** The number of bytes, header included, that may be sent now. */
    private int sendLimit() {
        int totalBytes = Exchange.HEADER_BYTES + exchange.requestBytes();
        return switch (exchange.closeMode()) {
            case SILENT -> 0;
            case SERVER_HALF_CLOSES -> sawFin ? totalBytes : Exchange.HEADER_BYTES;
            case CLIENT_RESETS -> Math.min(totalBytes, exchange.resetAt());
            default -> totalBytes;
        };
    }

    private void write() throws IOException {
        while (!done && sentBytes < sendLimit()) {
            ByteBuffer bytes;
            if (sentBytes < Exchange.HEADER_BYTES) {
                bytes = ByteBuffer.allocate(Exchange.HEADER_BYTES)
                        .putInt(Exchange.MAGIC)
                        .putInt(exchange.key())
                        .position(sentBytes)
                        .limit(Math.min(Exchange.HEADER_BYTES, sendLimit()));
            } else {
                int length = Math.min(BytePattern.MAX_SLICE_BYTES, sendLimit() - sentBytes);
                bytes = BytePattern.slice(exchange.key(), sentBytes - Exchange.HEADER_BYTES, length);
            }
            int written = channel.write(bytes);
            sentBytes += written;
            if (written == 0) {
                return;
            }
        }
        boolean all = sentBytes == Exchange.HEADER_BYTES + exchange.requestBytes();
        if (all && !finSent && exchange.closeMode() == CloseMode.CLIENT_HALF_CLOSES) {
            finSent = true;
            channel.shutdownOutput();
        }
        if (all && sawFin) {
            close();
        }
        resetIfDue();
    }

    private void resetIfDue() throws IOException {
        if (!done
                && exchange.closeMode() == CloseMode.CLIENT_RESETS
                && sentBytes + receivedBytes >= exchange.resetAt()) {
            channel.setOption(StandardSocketOptions.SO_LINGER, 0);
            // A server that has not read the key cannot match the reset to this client.
            doneByServer |= !seenByServer && sentBytes < Exchange.HEADER_BYTES;
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
        for (int round = 0; round < load.rounds() && !done && !stalled && !sawFin; round++) {
            int limit = exchange.responseBytes() - receivedBytes;
            // Read up to one byte more than expected, to detect surplus bytes. The server sends nothing before the
            // next request.
            buffer.clear().limit(Math.min(buffer.capacity(), limit + 1));
            int length = channel.read(buffer);
            if (length == 0) {
                return;
            }
            if (length < 0) {
                end();
                return;
            }
            if (length > limit || !BytePattern.matches(buffer.flip(), ~exchange.key(), receivedBytes)) {
                load.tally.fault(Fault.BYTES, this + ": wrong response bytes");
                abandon();
                return;
            }
            receivedBytes += length;
            everAnswered = true;
            load.tally.add("bytes", length);
            resetIfDue();
            if (receivedBytes == exchange.responseBytes() && !done) {
                answered();
            }
        }
    }

    private void answered() throws IOException {
        if (exchange.closeMode() == CloseMode.CLIENT_CLOSES_FIRST) {
            close();
        } else if (exchange.closeMode() == CloseMode.KEEP_OPEN) {
            load.tally.add("exchanges", 1);
            load.forget(exchange.key());
            load.next(this);
        }
    }

    private void end() throws IOException {
        sawFin = true;
        boolean valid = receivedBytes == exchange.responseBytes()
                && (exchange.closeMode() == CloseMode.SERVER_CLOSES_FIRST
                        || exchange.closeMode() == CloseMode.CLIENT_HALF_CLOSES
                        || exchange.closeMode() == CloseMode.SERVER_HALF_CLOSES);
        if (!valid) {
            load.tally.fault(Fault.RESET, this + ": unexpected end of stream");
            abandon();
        } else {
            write();
        }
    }

    private void failed(IOException e) {
        boolean rejected = service.mayReject() && !seenByServer && receivedBytes == 0 && !everAnswered;
        if (exchange.closeMode() == CloseMode.SERVER_RESETS && doneByServer) {
            close();
        } else if (rejected) {
            load.tally.add("rejected without a listening endpoint", 1);
            doneByServer = true;
            close();
        } else {
            load.tally.fault(Fault.RESET, this + ": " + e.getMessage());
            abandon();
        }
    }

    /** Closes a client that sends nothing. */
    void endSilence() {
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
                        sentBytes,
                        receivedBytes,
                        done ? "closed" : "open",
                        doneByServer ? "done" : seenByServer ? "seen" : "not seen",
                        TimeUnit.NANOSECONDS.toMillis(System.nanoTime() - openedNanos));
    }
}
