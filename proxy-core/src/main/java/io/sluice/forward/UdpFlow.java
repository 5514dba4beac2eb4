package io.sluice.forward;

import io.netty.buffer.ByteBuf;
import io.netty.channel.IoEvent;
import io.netty.channel.IoRegistration;
import io.netty.channel.epoll.EpollIoHandle;
import io.netty.channel.epoll.EpollIoOps;
import io.sluice.model.IpAddress;
import io.sluice.stats.Cells;
import io.sluice.stats.Counter;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * What one client address sends to one frontend, the endpoint it goes to, and the connected socket that leads there:
 * connected, so that only the endpoint can answer and its ICMP errors are told. Belongs to the listener's loop.
 *
 * <p>It ends when nothing came for a while. The timers are conntrack's: short until an answer came and the flow is two
 * seconds old, longer from then on.
 */
final class UdpFlow extends Timed implements EpollIoHandle {
    private static final Logger log = LoggerFactory.getLogger(UdpFlow.class);

    private static final long YOUNG_NANOS = TimeUnit.SECONDS.toNanos(2);

    private static final int ANSWERS_PER_EVENT = 32;

    /** More datagrams than a question and its answer, or larger ones, are worth the system calls for larger buffers. */
    private static final int FEW_DATAGRAMS = 2;

    private static final int SMALL_BYTES = 8 << 10;

    final InetSocketAddress client;
    final Target target;
    final Cells cells;
    /** The routing by which its endpoint was last found good. */
    Routing routing;

    private final Loop loop;
    private final UdpListener listener;
    private final InetSocket socket;
    private final long openedNanos;
    private @Nullable IoRegistration registration;
    private long asked;
    private long answered;
    private boolean widened;
    private boolean over;

    private UdpFlow(
            Loop loop,
            UdpListener listener,
            Routing routing,
            InetSocketAddress client,
            Target target,
            InetSocket socket,
            long nowNanos) {
        this.loop = loop;
        this.listener = listener;
        this.routing = routing;
        this.client = client;
        this.target = target;
        this.socket = socket;
        this.openedNanos = nowNanos;
        this.cells = routing.service().stats.cells(loop.index);
    }

    static UdpFlow open(
            Loop loop, UdpListener listener, Routing routing, InetSocketAddress client, Target target, long nowNanos)
            throws IOException {
        InetSocket socket = InetSocket.datagram(target.endpoint.address());
        UdpFlow flow = new UdpFlow(loop, listener, routing, client, target, socket, nowNanos);
        try {
            if (loop.transparency != null) {
                IpAddress address = IpAddress.of(client.getAddress());
                loop.sourceOf(socket, routing.keepsAddress(address), address, target.endpoint.address(), flow.cells);
            }
            socket.connect(target.socketAddress());
            flow.registration = loop.register(flow);
            flow.registration.submit(EpollIoOps.EPOLLIN);
        } catch (IOException e) {
            socket.closeQuietly();
            throw e;
        }
        flow.cells.increment(Counter.FLOWS_OPENED);
        flow.cells.increment(Counter.FLOWS_ACTIVE);
        loop.flows.opened();
        return flow;
    }

    /** A flow of a predecessor, whose socket is connected. */
    static UdpFlow adopt(
            Loop loop,
            UdpListener listener,
            Routing routing,
            InetSocketAddress client,
            Target target,
            InetSocket socket,
            HandOver.OpenFlow before,
            long nowNanos)
            throws IOException {
        UdpFlow flow = new UdpFlow(loop, listener, routing, client, target, socket, nowNanos - before.ageNanos());
        flow.asked = before.asked();
        flow.answered = before.answered();
        flow.registration = loop.register(flow);
        flow.registration.submit(EpollIoOps.EPOLLIN);
        flow.cells.increment(Counter.FLOWS_ACTIVE);
        loop.flows.opened();
        flow.touch(nowNanos);
        return flow;
    }

    /** Stops, but leaves its socket open for somebody else. */
    HandOver.OpenFlow detach() {
        over = true;
        leaveQueue();
        if (registration != null) {
            registration.cancel();
        }
        cells.add(Counter.FLOWS_ACTIVE, -1);
        loop.flows.closed();
        Descriptors.closed();
        return new HandOver.OpenFlow(
                socket.intValue(),
                IpAddress.of(client.getAddress()),
                client.getPort(),
                target.endpoint,
                asked,
                answered,
                loop.now() - openedNanos);
    }

    /** Sends a client's datagram on. False if the endpoint is known to be dead, and then the flow has ended. */
    boolean forward(ByteBuf content, long nowNanos) {
        int length = content.readableBytes();
        asked++;
        touch(nowNanos);
        widen(asked, length);
        try {
            int start = content.readerIndex();
            if (socket.write(content.memoryAddress(), start, start + length) == length) {
                cells.increment(Counter.DATAGRAMS_TO_ENDPOINT);
                cells.add(Counter.BYTES_TO_ENDPOINT, length);
            } else {
                cells.increment(Counter.DATAGRAMS_DROPPED);
            }
            return true;
        } catch (IOException e) {
            return !endpointFailed(e);
        }
    }

    @Override
    public void handle(IoRegistration registration, IoEvent ioEvent) {
        try {
            answerAll();
        } catch (RuntimeException | Error fault) {
            // Thrown on, it would stop the loop for a second.
            log.error("flow of {} to {} ended by a fault", client, target, fault);
            end();
        }
    }

    private void answerAll() {
        long nowNanos = loop.now();
        for (int i = 0; i < ANSWERS_PER_EVENT && !over; i++) {
            int length;
            try {
                length = socket.read(loop.bufferAddress, UdpListener.DATAGRAM_BYTES);
            } catch (IOException e) {
                endpointFailed(e);
                return;
            }
            if (length == 0) {
                return;
            }
            // Netty takes what recv says of an empty datagram for the end of a stream.
            answer(Math.max(length, 0), nowNanos);
            if (answered == asked) {
                // Most likely all there is; if not, the next event comes at once.
                return;
            }
        }
    }

    private void answer(int length, long nowNanos) {
        answered++;
        touch(nowNanos);
        widen(answered, length);
        if (listener.answer(client, length)) {
            cells.increment(Counter.DATAGRAMS_TO_CLIENT);
            cells.add(Counter.BYTES_TO_CLIENT, length);
        } else {
            cells.increment(Counter.DATAGRAMS_DROPPED);
        }
    }

    private void widen(long datagrams, int length) {
        if (!widened && (datagrams > FEW_DATAGRAMS || length > SMALL_BYTES)) {
            widened = true;
            socket.widen();
        }
    }

    private void touch(long nowNanos) {
        TimeoutQueue queue = loop.unrepliedFlows;
        if (answered > 0 && nowNanos - openedNanos >= YOUNG_NANOS) {
            queue = loop.repliedFlows;
        } else if (answered == 1 && asked == 1 && loop.flows.moreThanHalf()) {
            queue = loop.briefFlows;
        }
        loop.await(queue, this, nowNanos);
    }

    /** Whether the error says that the endpoint is gone; errors of our own making lose the datagram only. */
    private boolean endpointFailed(IOException e) {
        switch (Errno.of(e)) {
            case Errno.ECONNREFUSED, Errno.EHOSTUNREACH, Errno.ENETUNREACH -> {
                cells.increment(Counter.FLOWS_ENDPOINT_ERROR);
                if (routing.keepsClients()) {
                    // Held to a dead endpoint, the client would come back to it for hours.
                    routing.service()
                            .affinityTable
                            .release(routing.service(), IpAddress.of(client.getAddress()), target.endpoint);
                }
                end();
                return true;
            }
            default -> {
                cells.increment(Counter.DATAGRAMS_DROPPED);
                return false;
            }
        }
    }

    @Override
    void expire(TimeoutQueue waitedIn, long nowNanos) {
        end();
    }

    void end() {
        if (over) {
            return;
        }
        over = true;
        leaveQueue();
        listener.ended(this);
        cells.add(Counter.FLOWS_ACTIVE, -1);
        loop.flows.closed();
        loop.closeLater(socket, registration);
    }

    /** Called by Netty when the loop ends. */
    @Override
    public void close() {
        end();
    }

    @Override
    public InetSocket fd() {
        return socket;
    }
}
