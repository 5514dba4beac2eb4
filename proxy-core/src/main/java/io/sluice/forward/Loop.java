package io.sluice.forward;

import io.netty.channel.IoEvent;
import io.netty.channel.IoEventLoop;
import io.netty.channel.IoRegistration;
import io.netty.channel.epoll.EpollIoHandle;
import io.netty.channel.epoll.EpollIoOps;
import io.netty.channel.unix.Buffer;
import io.netty.util.concurrent.Future;
import io.netty.util.concurrent.SingleThreadEventExecutor;
import io.netty.util.internal.CleanableDirectBuffer;
import io.sluice.balance.FrontendRouting;
import io.sluice.model.Endpoint;
import io.sluice.model.IpAddress;
import io.sluice.socket.Batch;
import io.sluice.socket.InetSocket;
import io.sluice.socket.KeepAlive;
import io.sluice.socket.TcpInfo;
import io.sluice.stats.Counter;
import io.sluice.stats.CounterCells;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.util.ArrayDeque;
import java.util.Objects;
import java.util.function.LongSupplier;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * One event loop and what its sessions and flows share: the read buffer, the timeouts, the sockets that wait to be
 * closed. Every method belongs to the loop's thread unless it says otherwise.
 */
final class Loop {
    private static final Logger log = LoggerFactory.getLogger(Loop.class);

    /** One read takes at most this much; also the most that one direction of a session holds. */
    static final int BUFFER_BYTES = 512 << 10;

    final int index;
    final IoEventLoop executor;
    final LongSupplier nanoClock;
    final FlowLimit flows;
    final ClientLimits clients;
    final ResourceExhaustion shortage;
    final BufferBudget held;
    final int connectAttempts;
    final long connectTimeoutNanos;
    final long connectDeadlineNanos;
    final KeepAlive keepAlive;
    final long stalledTimeoutNanos;
    final TcpInfo tcpInfo = new TcpInfo();
    final @Nullable TransparentSockets transparency;
    final long bufferAddress;
    final ByteBuffer buffer;
    final Batch batch = new Batch();
    /** Filled by accept(2): length, address, scope (IPv6), port. */
    final byte[] acceptedAddress = new byte[26];

    final Timeouts timeouts;

    private final CleanableDirectBuffer memory;
    private final ArrayDeque<Runnable> doomed = new ArrayDeque<>();
    /** Made for the first datagram socket; written on the control side, under the forwarder's lock. */
    private @Nullable SharedReadBuffer datagramBuffer;

    private boolean closeScheduled;
    /** Written here, read by whoever waits for the drain. */
    private volatile int sessions;

    Loop(
            int index,
            IoEventLoop executor,
            ForwarderConfig config,
            FlowLimit flows,
            ClientLimits clients,
            ResourceExhaustion shortage,
            BufferBudget held) {
        this.index = index;
        this.executor = executor;
        this.nanoClock = config.nanoClock();
        this.flows = flows;
        this.clients = clients;
        this.shortage = shortage;
        this.held = held;
        this.connectAttempts = config.connectAttempts();
        this.transparency = config.transparency();
        connectTimeoutNanos = config.connectTimeout().toNanos();
        connectDeadlineNanos = config.connectDeadline().toNanos();
        keepAlive = config.keepAlive();
        stalledTimeoutNanos = config.stalledTimeout().toNanos();
        timeouts = new Timeouts(executor, config, flows);
        // Last: nothing that fails leaves it behind.
        memory = Buffer.allocateDirectBufferWithNativeOrder(BUFFER_BYTES);
        buffer = memory.buffer();
        bufferAddress = Buffer.memoryAddress(buffer);
    }

    /**
     * The address that an endpoint is to see where it is the client's own; null where it is this node's. Counted where
     * the route asks for the client's and it cannot be.
     */
    @Nullable
    IpAddress sourceOf(IpAddress client, Endpoint endpoint, FrontendRouting routing, CounterCells cells) {
        if (transparency == null || !routing.preservesClientAddress(client)) {
            return null;
        }
        if (transparency.keeps(client, endpoint.address())) {
            return client;
        }
        cells.increment(Counter.CLIENT_ADDRESSES_LOST);
        return null;
    }

    long now() {
        return nanoClock.getAsLong();
    }

    /** Registers a socket of this loop for events; a failure leaves no registration behind. */
    IoRegistration register(EpollIoHandle handle, EpollIoOps ops) throws IOException {
        Future<IoRegistration> registered = executor.register(handle);
        if (!registered.isSuccess()) {
            throw new IOException("event loop does not take the socket", registered.cause());
        }
        IoRegistration registration = registered.getNow();
        try {
            // Only this calls epoll_ctl(2).
            registration.submit(ops);
            return registration;
        } catch (UncheckedIOException e) {
            registration.cancel();
            IOException cause = Objects.requireNonNull(e.getCause());
            throw new IOException("epoll does not take the socket: " + cause.getMessage(), cause);
        } catch (RuntimeException | Error e) {
            registration.cancel();
            throw e;
        }
    }

    /**
     * Registers a socket and cancels it again. What epoll says to a channel Netty only logs, and leaves its registration
     * unfinished.
     */
    void requireRegistrable(InetSocket socket) throws IOException {
        register(new Unused(socket), EpollIoOps.EPOLLERR).cancel();
    }

    /** A registration that is cancelled before it has events. */
    private record Unused(InetSocket fd) implements EpollIoHandle {
        @Override
        public void handle(IoRegistration registration, IoEvent ioEvent) {
            throw new IllegalStateException("event of a cancelled registration");
        }

        @Override
        public void close() {
            fd.closeQuietly();
        }
    }

    /**
     * Closes a socket once the events now at hand are dealt with. At once would be wrong: the next accept could be
     * given the same descriptor number, and an event still queued for the old socket would reach the new one.
     *
     * @param registration null if it was not watched yet
     */
    void closeLater(InetSocket socket, @Nullable IoRegistration registration) {
        doomed.add(() -> {
            socket.closeQuietly();
            if (registration != null) {
                registration.cancel();
            }
        });
        if (!closeScheduled) {
            executor.execute(this::closeDoomed);
            // Only now: if that failed, the next call schedules it for both.
            closeScheduled = true;
        }
    }

    private void closeDoomed() {
        closeScheduled = false;
        for (Runnable close = doomed.poll(); close != null; close = doomed.poll()) {
            try {
                close.run();
            } catch (RuntimeException | Error fault) {
                // The others are closed all the same: whoever is left in the queue here is never asked for again.
                log.error("a socket of loop {} could not be closed", index, fault);
            }
        }
    }

    // Error Prone is right that ++ on a volatile is no atomic increment: one thread writes, others only read.
    @SuppressWarnings("NonAtomicVolatileUpdate")
    void sessionOpened() {
        sessions++;
    }

    @SuppressWarnings("NonAtomicVolatileUpdate") // as above
    void sessionClosed() {
        sessions--;
    }

    /** TCP sessions open now. Any thread. */
    int sessions() {
        return sessions;
    }

    /** Where this loop's datagram channels read into. Control side. */
    SharedReadBuffer datagramBuffer(int bytes) {
        SharedReadBuffer made = datagramBuffer;
        if (made == null) {
            made = new SharedReadBuffer(bytes);
            datagramBuffer = made;
        }
        return made;
    }

    /**
     * Has the loop close its sockets when it ends. Netty does that between two rounds of tasks; a loop that is at its tasks
     * when it is told to end would exit after them. A shutdown hook makes it start another round. Control side.
     */
    void closeSocketsAtEnd() {
        ((SingleThreadEventExecutor) executor).addShutdownHook(() -> log.trace("loop {} ends", index));
    }

    /** Frees the read buffers; the loop must have ended. */
    void free() {
        memory.clean();
        if (datagramBuffer != null) {
            datagramBuffer.free();
        }
    }
}
