package io.sluice.forward;

import io.netty.channel.IoEvent;
import io.netty.channel.IoRegistration;
import io.netty.channel.epoll.EpollIoHandle;
import io.netty.channel.epoll.EpollIoOps;
import io.sluice.balance.EndpointTarget;
import io.sluice.balance.FrontendRouting;
import io.sluice.model.IpAddress;
import io.sluice.socket.Batch;
import io.sluice.socket.Descriptors;
import io.sluice.socket.Errno;
import io.sluice.socket.InetSocket;
import io.sluice.stats.Counter;
import io.sluice.stats.CounterCells;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.util.concurrent.TimeUnit;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * What one client address sends to one frontend, the endpoint it goes to, and the connected socket that leads there:
 * connected, so that only the endpoint can answer and its ICMP errors are reported. Each flow has a socket of its own, so
 * that a late answer never reaches another client. Belongs to the listener's loop.
 *
 * <p>It ends when nothing came for a while. The timers are conntrack's: short until an answer came and the flow is two
 * seconds old, longer from then on. Where many flows are open, one that seems to be over ends sooner.
 */
final class UdpFlow extends TimeoutEntry implements EpollIoHandle {
    private static final Logger log = LoggerFactory.getLogger(UdpFlow.class);

    private static final long YOUNG_NANOS = TimeUnit.SECONDS.toNanos(2);

    private static final int ANSWERS_PER_EVENT = 32;

    /** More datagrams than a question and its answer, or larger ones, are worth the system calls for larger buffers. */
    private static final int FEW_DATAGRAMS = 2;

    private static final int SMALL_BYTES = 8 << 10;

    final InetSocketAddress client;
    private final IpAddress clientAddress;
    final EndpointTarget target;
    final CounterCells cells;
    /** The routing by which its endpoint was last found good. */
    FrontendRouting routing;

    private final Loop loop;
    private final ClientFlows siblings;
    /** Its client is answered through this one. */
    private final InetSocket front;
    /** Connected to the endpoint. */
    private final InetSocket socket;

    private final IoRegistration registration;
    private final long openedNanos;
    private long asked;
    private long answered;
    private boolean widened;
    private boolean over;

    /** Owns the connected socket once it returns. */
    UdpFlow(
            Loop loop,
            ClientFlows siblings,
            InetSocket front,
            FrontendRouting routing,
            InetSocketAddress client,
            EndpointTarget target,
            InetSocket socket,
            long openedNanos)
            throws IOException {
        this.loop = loop;
        this.siblings = siblings;
        this.front = front;
        this.routing = routing;
        this.client = client;
        this.clientAddress = IpAddress.of(client.getAddress());
        this.target = target;
        this.socket = socket;
        this.openedNanos = openedNanos;
        this.cells = routing.service().stats.cells(loop.index);
        // Last: nothing that fails leaves it behind.
        registration = loop.register(this, EpollIoOps.EPOLLIN);
        cells.increment(Counter.FLOWS_ACTIVE);
        loop.flows.opened();
        loop.clients.flowOpened(clientAddress);
    }

    /** Goes on where the flow of a predecessor stood, which had the same socket. */
    void resume(ForwarderHandover.OpenFlow before, long nowNanos) {
        asked = before.asked();
        answered = before.answered();
        touch(nowNanos);
    }

    /** Stops, but leaves its socket open for somebody else. */
    ForwarderHandover.OpenFlow detach() {
        long ageNanos = loop.now() - openedNanos;
        finish();
        registration.cancel();
        Descriptors.closed();
        return new ForwarderHandover.OpenFlow(
                socket.intValue(), clientAddress, client.getPort(), target.endpoint, asked, answered, ageNanos);
    }

    /** Sends a client's datagrams on. False if the endpoint is known to be dead, and then the flow has ended. */
    boolean forward(long address, Batch batch, long nowNanos) {
        asked += batch.datagrams;
        touch(nowNanos);
        widen(asked, batch);
        try {
            count(
                    Counter.DATAGRAMS_TO_ENDPOINT,
                    Counter.BYTES_TO_ENDPOINT,
                    batch,
                    socket.sendAll(address, batch, null));
            return true;
        } catch (IOException e) {
            return !endpointFailed(e, batch.datagrams);
        }
    }

    private void count(Counter datagrams, Counter bytes, Batch batch, int sent) {
        if (sent == batch.datagrams) {
            cells.add(datagrams, sent);
            cells.add(bytes, batch.end - batch.start);
        } else {
            cells.add(datagrams, sent);
            cells.add(bytes, (long) sent * batch.datagramBytes);
            cells.add(Counter.DATAGRAMS_DROPPED, batch.datagrams - sent);
        }
    }

    @Override
    public void handle(IoRegistration registration, IoEvent ioEvent) {
        if (over) {
            // The event was queued before the flow ended.
            return;
        }
        try {
            answerAll();
        } catch (RuntimeException | Error fault) {
            // Thrown on, it would stop the loop for a second.
            broke(fault);
        }
    }

    /** Passes on what came, answers of one size together. */
    private void answerAll() {
        long nowNanos = loop.now();
        Batch batch = loop.batch;
        batch.clear();
        try {
            for (int i = 0; i < ANSWERS_PER_EVENT; i++) {
                if (!batch.hasRoom(Loop.BUFFER_BYTES)) {
                    answer(batch, nowNanos);
                    batch.clear();
                }
                int length = socket.read(loop.bufferAddress + batch.end, InetSocket.DATAGRAM_BYTES);
                if (length == 0) {
                    break;
                }
                // Netty takes what recv says of an empty datagram for the end of a stream.
                length = Math.max(length, 0);
                if (!batch.takes(length)) {
                    answer(batch, nowNanos);
                    batch.next();
                }
                batch.add(length);
                answered++;
                if (answered == asked) {
                    // Most likely all there is; if not, the next event comes at once.
                    break;
                }
            }
            answer(batch, nowNanos);
        } catch (IOException e) {
            answer(batch, nowNanos);
            endpointFailed(e, 1);
        }
    }

    private void answer(Batch batch, long nowNanos) {
        if (batch.datagrams > 0) {
            touch(nowNanos);
            widen(answered, batch);
            count(Counter.DATAGRAMS_TO_CLIENT, Counter.BYTES_TO_CLIENT, batch, toClient(batch));
        }
    }

    /** How many the client's side took. */
    private int toClient(Batch batch) {
        try {
            return front.sendAll(loop.bufferAddress, batch, client);
        } catch (IOException e) {
            log.trace("{}: {}", this, e.getMessage());
            return 0;
        }
    }

    private void widen(long datagrams, Batch batch) {
        if (!widened && (datagrams > FEW_DATAGRAMS || batch.datagramBytes > SMALL_BYTES)) {
            widened = true;
            socket.widen();
        }
    }

    private void touch(long nowNanos) {
        if (over) {
            return;
        }
        TimeoutQueue queue = loop.timeouts.unrepliedFlows;
        if (answered > 0 && nowNanos - openedNanos >= YOUNG_NANOS) {
            queue = loop.timeouts.repliedFlows;
        } else if (isBrief()) {
            queue = loop.timeouts.briefFlows;
        }
        loop.timeouts.await(queue, this, nowNanos);
    }

    /** Likely over: a resolver's one question, or its two, have been answered. */
    private boolean isBrief() {
        return asked == answered && asked <= FEW_DATAGRAMS;
    }

    /** Whether the error says that the endpoint is gone; errors of our own making lose the datagram only. */
    private boolean endpointFailed(IOException e, int lost) {
        switch (Errno.of(e)) {
            case Errno.ECONNREFUSED, Errno.EHOSTUNREACH, Errno.ENETUNREACH -> {
                cells.increment(Counter.FLOWS_ENDPOINT_ERROR);
                if (routing.hasSessionAffinity()) {
                    // Held to a dead endpoint, the client would come back to it for hours.
                    routing.service().affinityTable.release(routing.service(), clientAddress, target.endpoint);
                }
                end();
                return true;
            }
            default -> {
                cells.add(Counter.DATAGRAMS_DROPPED, lost);
                return false;
            }
        }
    }

    @Override
    void expire(TimeoutQueue waitedIn, long nowNanos) {
        end();
    }

    @Override
    void broke(Throwable fault) {
        try {
            log.error("internal error; closing {}", this, fault);
        } finally {
            end();
        }
    }

    void end() {
        if (!over) {
            finish();
            loop.closeLater(socket, registration);
        }
    }

    private void finish() {
        over = true;
        leaveQueue();
        siblings.ended(this);
        cells.add(Counter.FLOWS_ACTIVE, -1);
        loop.flows.closed();
        loop.clients.flowClosed(clientAddress);
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

    @Override
    public String toString() {
        return "flow of " + client + " to " + target;
    }
}
