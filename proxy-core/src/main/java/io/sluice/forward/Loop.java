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
import io.sluice.balance.Routing;
import io.sluice.model.Endpoint;
import io.sluice.model.IpAddress;
import io.sluice.socket.Batch;
import io.sluice.socket.Descriptors;
import io.sluice.socket.InetSocket;
import io.sluice.socket.KeepAlive;
import io.sluice.socket.TcpInfo;
import io.sluice.stats.Cells;
import io.sluice.stats.Counter;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.util.ArrayDeque;
import java.util.Objects;
import java.util.concurrent.TimeUnit;
import java.util.function.LongSupplier;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * One event loop and what its sessions and flows share: the read buffer, the timeouts, the sockets that wait to be
 * closed. Every method belongs to the loop's thread unless it says otherwise.
 */
public final class Loop {
    private static final Logger log = LoggerFactory.getLogger(Loop.class);

    /** One read takes at most this much; also the most that one direction of a session holds. */
    static final int BUFFER_BYTES = 512 << 10;

    /** How precise timeouts are. */
    private static final long TICK_MILLIS = 50;

    /** How long a flow that seems to be over may wait for more while many are open. */
    private static final long BRIEF_NANOS = TimeUnit.SECONDS.toNanos(2);

    /** How often a session that waits for its endpoint looks at the clock; most are connected before the first time. */
    private static final long CONNECT_CHECK_NANOS = TimeUnit.MILLISECONDS.toNanos(100);

    /** How often a session with unacknowledged output is checked within the stalled timeout. */
    private static final int CHECKS_PER_STALL = 6;

    final int index;
    final IoEventLoop executor;
    final LongSupplier nanoClock;
    final Flows flows;
    final ClientShares clients;
    final Shortage shortage;
    final HeldBytes held;
    final int connectAttempts;
    final long connectTimeoutNanos;
    final long connectDeadlineNanos;
    final KeepAlive keepAlive;
    final long stalledTimeoutNanos;
    final TcpInfo tcpInfo = new TcpInfo();
    final @Nullable Transparency transparency;
    final long bufferAddress;
    final ByteBuffer buffer;
    final Batch batch = new Batch();
    /** Filled by accept(2): length, address, scope (IPv6), port. */
    final byte[] acceptedAddress = new byte[26];

    /** Of sessions whose endpoint has not answered yet; each compares its own times with the two limits. */
    final TimeoutQueue connecting = new TimeoutQueue(CONNECT_CHECK_NANOS);
    /** Of sessions that may be over before it is worth a system call to prepare them for a long life. */
    final TimeoutQueue young = new TimeoutQueue(TimeUnit.SECONDS.toNanos(2));

    /** Of sessions with output that their peers may not have acknowledged; an idle session is in no queue. */
    final TimeoutQueue watched;

    final TimeoutQueue halfClosed;
    final TimeoutQueue unrepliedFlows;
    final TimeoutQueue repliedFlows;
    /** Of flows that seem to be over; they wait for more like those without an answer, if few are open. */
    final TimeoutQueue briefFlows;

    private final TimeoutQueue[] queues;

    private final CleanableDirectBuffer memory;
    private final ArrayDeque<Runnable> doomed = new ArrayDeque<>();
    /** Made for the first datagram socket; written on the control side, under the forwarder's lock. */
    private @Nullable OneBuffer datagramBuffer;

    private boolean ticking;
    private boolean closeScheduled;
    /** Written here, read by whoever waits for the drain. */
    private volatile int sessions;

    Loop(
            int index,
            IoEventLoop executor,
            ForwarderConfig config,
            Flows flows,
            ClientShares clients,
            Shortage shortage,
            HeldBytes held) {
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
        watched = new TimeoutQueue(stalledTimeoutNanos / CHECKS_PER_STALL);
        halfClosed = new TimeoutQueue(config.halfClosedTimeout().toNanos());
        unrepliedFlows = new TimeoutQueue(config.udpUnrepliedTimeout().toNanos());
        repliedFlows = new TimeoutQueue(config.udpRepliedTimeout().toNanos());
        briefFlows = new TimeoutQueue(config.udpUnrepliedTimeout().toNanos());
        queues = new TimeoutQueue[] {connecting, young, watched, halfClosed, unrepliedFlows, repliedFlows, briefFlows};
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
    IpAddress sourceOf(IpAddress client, Endpoint endpoint, Routing routing, Cells cells) {
        if (transparency == null || !routing.keepsAddress(client)) {
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

    /** The wait of {@code timed} in one of this loop's queues starts, or starts again. */
    void await(TimeoutQueue queue, Timed timed, long nowNanos) {
        queue.touch(timed, nowNanos);
        startTicking();
    }

    private void startTicking() {
        if (!ticking) {
            ticking = true;
            later(this::tick, TICK_MILLIS);
        }
    }

    /** Runs a task on this loop after a while; an exception it throws is logged. */
    void later(Runnable task, long delayMillis) {
        Future<?> scheduled = executor.schedule(task, delayMillis, TimeUnit.MILLISECONDS);
        scheduled.addListener(done -> {
            if (done.cause() != null && !done.isCancelled()) {
                log.error("a task of loop {} failed", index, done.cause());
            }
        });
    }

    private void tick() {
        ticking = false;
        long now = now();
        for (TimeoutQueue queue : queues) {
            if (!queue.isEmpty()) {
                // Before anything expires, so that a failure there does not stop the clock.
                startTicking();
                queue.expire(now);
            }
        }
        endBriefFlows(now);
    }

    /** Ends flows that seem to be finished. The fuller it gets, the sooner, so that no others have to go. */
    void endBriefFlows(long nowNanos) {
        while (flows.moreThanHalf() || Descriptors.areScarce()) {
            boolean atOnce = flows.areScarce() || Descriptors.areScarce();
            Timed oldest = briefFlows.oldest();
            if (oldest == null || (nowNanos - oldest.sinceNanos < BRIEF_NANOS && !atOnce)) {
                return;
            }
            briefFlows.expire(oldest, nowNanos);
        }
    }

    /** Ends the flow that has been idle longest, finished ones first; false if there is none. */
    boolean evictIdlestFlow() {
        Timed idlest = briefFlows.oldest();
        if (idlest == null) {
            Timed unreplied = unrepliedFlows.oldest();
            Timed replied = repliedFlows.oldest();
            boolean repliedFirst =
                    unreplied == null || (replied != null && replied.sinceNanos - unreplied.sinceNanos < 0);
            idlest = repliedFirst ? replied : unreplied;
        }
        if (idlest instanceof UdpFlow flow) {
            flow.cells.increment(Counter.FLOWS_EVICTED);
            flow.end();
        }
        return idlest != null;
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
    OneBuffer datagramBuffer() {
        OneBuffer made = datagramBuffer;
        if (made == null) {
            made = new OneBuffer(InetSocket.DATAGRAM_BYTES * UdpListener.DATAGRAMS_PER_READ);
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
