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
import io.sluice.socket.DatagramBatch;
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
import java.util.function.Consumer;
import java.util.function.LongSupplier;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * One event loop, with the state that its connections and flows share: the read buffer, the timeouts and the sockets to
 * close. Methods are called on the loop's thread unless stated otherwise.
 */
final class Loop {
    private static final Logger log = LoggerFactory.getLogger(Loop.class);

    /** Size of the read buffer; also the maximum that one direction of a connection buffers. */
    static final int BUFFER_BYTES = 512 << 10;

    final int index;
    final IoEventLoop executor;
    final LongSupplier nanoClock;
    final FlowLimit flows;
    final ClientLimits clients;
    final ResourceExhaustion exhaustion;
    final BufferBudget bufferBudget;
    final int connectAttempts;
    final long connectTimeoutNanos;
    final long connectDeadlineNanos;
    final KeepAlive keepAlive;
    final long stalledTimeoutNanos;
    final TcpInfo tcpInfo = new TcpInfo();
    final @Nullable TransparentSockets transparentSockets;
    final long bufferAddress;
    final ByteBuffer buffer;
    final DatagramBatch batch = new DatagramBatch();
    /** Peer address as returned by accept(2): length, address, scope (IPv6), port. */
    final byte[] acceptedAddress = new byte[26];

    final Timeouts timeouts;
    final LoopList sessionList = new LoopList();
    final LoopList flowList = new LoopList();

    private final CleanableDirectBuffer memory;
    private final ArrayDeque<Runnable> pendingCloses = new ArrayDeque<>();
    /** Allocated for the first UDP listener, under the forwarder's lock. */
    private @Nullable SharedReadBuffer datagramBuffer;

    private boolean closeScheduled;
    /** Whether the forwarder is closing. */
    private volatile boolean stopping;
    /** Number of open TCP connections; written by the loop, read by any thread. */
    private volatile int sessions;

    /** Receives finished connections and flows; null if they are not needed. */
    private final @Nullable Consumer<EndedConnection> onEnd;

    Loop(
            int index,
            IoEventLoop executor,
            ForwarderConfig config,
            FlowLimit flows,
            ClientLimits clients,
            ResourceExhaustion exhaustion,
            BufferBudget bufferBudget,
            @Nullable Consumer<EndedConnection> onEnd) {
        this.index = index;
        this.executor = executor;
        this.nanoClock = config.nanoClock();
        this.flows = flows;
        this.clients = clients;
        this.exhaustion = exhaustion;
        this.bufferBudget = bufferBudget;
        this.onEnd = onEnd;
        this.connectAttempts = config.connectAttempts();
        this.transparentSockets = config.transparentSockets();
        connectTimeoutNanos = config.connectTimeout().toNanos();
        connectDeadlineNanos = config.connectDeadline().toNanos();
        keepAlive = config.keepAlive();
        stalledTimeoutNanos = config.stalledTimeout().toNanos();
        timeouts = new Timeouts(executor, config, flows);
        // This comes last, so that no failure above leaks the memory.
        memory = Buffer.allocateDirectBufferWithNativeOrder(BUFFER_BYTES);
        buffer = memory.buffer();
        bufferAddress = Buffer.memoryAddress(buffer);
    }

    /**
     * The source address for a connection to an endpoint: the client's, or null for the node's own. If the route
     * preserves the client's address but the endpoint's replies to it would not reach Sluice, this method returns null
     * and increments a counter.
     */
    @Nullable
    IpAddress sourceAddressFor(IpAddress client, Endpoint endpoint, FrontendRouting routing, CounterCells cells) {
        if (transparentSockets == null || !routing.preservesClientAddress(client)) {
            return null;
        }
        if (transparentSockets.allowsClientAddress(client, endpoint.address())) {
            return client;
        }
        cells.increment(Counter.CLIENT_ADDRESSES_LOST);
        return null;
    }

    long now() {
        return nanoClock.getAsLong();
    }

    /** Registers a socket for events. If epoll rejects the socket, this method throws and leaves nothing registered. */
    IoRegistration register(EpollIoHandle handle, EpollIoOps ops) throws IOException {
        Future<IoRegistration> registered = executor.register(handle);
        if (!registered.isSuccess()) {
            throw new IOException("cannot register the socket with its event loop", registered.cause());
        }
        IoRegistration registration = registered.getNow();
        try {
            // Only submit calls epoll_ctl(2), so it reports errors that register does not.
            registration.submit(ops);
            return registration;
        } catch (UncheckedIOException e) {
            registration.cancel();
            IOException cause = Objects.requireNonNull(e.getCause());
            throw new IOException("epoll rejected the socket: " + cause.getMessage(), cause);
        } catch (RuntimeException | Error e) {
            registration.cancel();
            throw e;
        }
    }

    /**
     * Throws if epoll rejects the socket. Checks this by registering the socket and canceling the registration, because
     * when epoll rejects a channel, Netty only logs the error and leaves the channel half registered.
     */
    void requireRegistrable(InetSocket socket) throws IOException {
        register(new TrialRegistration(socket), EpollIoOps.EPOLLERR).cancel();
    }

    /** A handle whose registration is canceled before it receives events. */
    private record TrialRegistration(InetSocket fd) implements EpollIoHandle {
        @Override
        public void handle(IoRegistration registration, IoEvent ioEvent) {
            throw new IllegalStateException("event for a canceled registration");
        }

        @Override
        public void close() {
            fd.closeQuietly();
        }
    }

    /**
     * Closes a socket after the current round of events. If it were closed at once, the next accepted connection could
     * get the same descriptor number, and an event still queued for the old socket would be delivered to the new one.
     *
     * @param close closes the socket and cancels its registration
     */
    void closeLater(Runnable close) {
        pendingCloses.add(close);
        if (!closeScheduled) {
            executor.execute(this::closePending);
            // Set last, so that if execute throws, the next call schedules the task again and closes both sockets.
            closeScheduled = true;
        }
    }

    private void closePending() {
        closeScheduled = false;
        for (Runnable close = pendingCloses.poll(); close != null; close = pendingCloses.poll()) {
            try {
                close.run();
            } catch (RuntimeException | Error fault) {
                // Continue, because sockets left in the queue would stay open until the next call.
                log.error("internal error in event loop {}; a socket may have been leaked", index, fault);
            }
        }
    }

    // ++ on a volatile is not atomic, but only the loop's thread writes.
    @SuppressWarnings("NonAtomicVolatileUpdate")
    void sessionOpened(ListEntry session) {
        sessionList.add(session);
        sessions++;
    }

    @SuppressWarnings("NonAtomicVolatileUpdate") // as above
    void sessionClosed(ListEntry session) {
        sessionList.remove(session);
        sessions--;
    }

    /** Whether finished connections and flows must be passed to {@link #ended}. */
    boolean reportsEnds() {
        return onEnd != null;
    }

    void ended(EndedConnection ended) {
        if (onEnd != null) {
            onEnd.accept(ended);
        }
    }

    /** Marks the forwarder as closing: flows that end from now on end for that reason. Thread-safe. */
    void stop() {
        stopping = true;
    }

    boolean isStopping() {
        return stopping;
    }

    /** Number of open TCP connections. Thread-safe. */
    int sessions() {
        return sessions;
    }

    /** The read buffer of the loop's UDP listeners, allocated by the first call. Called under the forwarder's lock. */
    SharedReadBuffer datagramBuffer(int bytes) {
        SharedReadBuffer created = datagramBuffer;
        if (created == null) {
            created = new SharedReadBuffer(bytes);
            datagramBuffer = created;
        }
        return created;
    }

    /**
     * Makes the loop close its sockets when it ends. Netty closes them between two rounds of tasks, but a loop that is
     * running tasks at shutdown would exit right after these tasks. A shutdown hook makes the loop run another round.
     * Thread-safe.
     */
    void closeSocketsAtEnd() {
        ((SingleThreadEventExecutor) executor).addShutdownHook(() -> log.trace("event loop {} ends", index));
    }

    /** Frees the read buffers. The loop must have ended. */
    void free() {
        memory.clean();
        if (datagramBuffer != null) {
            datagramBuffer.free();
        }
    }
}
