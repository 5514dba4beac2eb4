package io.sluice.forward;

import io.netty.channel.IoEvent;
import io.netty.channel.IoRegistration;
import io.netty.channel.epoll.EpollIoHandle;
import io.netty.channel.epoll.EpollIoOps;
import io.sluice.balance.EndpointTarget;
import io.sluice.balance.FrontendRouting;
import io.sluice.forward.EndedConnection.End;
import io.sluice.model.IpAddress;
import io.sluice.socket.DatagramBatch;
import io.sluice.socket.Descriptors;
import io.sluice.socket.Errno;
import io.sluice.socket.InetSocket;
import io.sluice.socket.UdpBuffers;
import io.sluice.stats.Counter;
import io.sluice.stats.CounterCells;
import java.io.IOException;
import java.net.InetSocketAddress;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * UDP flow from one client address and port to one frontend, with its endpoint and the socket connected to it. Because
 * the socket is connected, only the endpoint can reply, and ICMP errors from it are reported. Each flow has its own
 * socket, so a late reply never reaches another client. Used only by the loop's thread.
 *
 * <p>A flow ends after an idle timeout, as in the kernel's connection tracking: a short one until the flow has a reply
 * and is two seconds old, then a long one. If many flows are open, finished flows end earlier.
 */
final class UdpFlow extends TimeoutEntry implements EpollIoHandle {
    private static final Logger log = LoggerFactory.getLogger(UdpFlow.class);

    /** More or larger datagrams than those of a DNS lookup need larger buffers. */
    private static final int SMALL_BYTES = 8 << 10;

    final InetSocketAddress client;
    final IpAddress clientAddress;
    final EndpointTarget target;
    final CounterCells cells;
    final FlowTraffic traffic;
    /** The latest routing that allowed the flow's endpoint. */
    FrontendRouting routing;

    private FlowTimeouts timeouts;
    /** Null if the traffic policy requires nothing of this flow. */
    private @Nullable FlowPolicy policy;

    private final Loop loop;
    private final ClientFlows clientFlows;
    private final FlowReplies replies;
    /** The socket connected to the endpoint. */
    final InetSocket socket;

    private final IoRegistration registration;
    final long openedNanos;
    private boolean buffersEnlarged;
    private boolean over;

    /** Creates a flow that owns the connected socket. If this constructor throws, the caller still owns the socket. */
    UdpFlow(
            Loop loop,
            ClientFlows clientFlows,
            FlowReplies replies,
            FrontendRouting routing,
            InetSocketAddress client,
            EndpointTarget target,
            @Nullable FlowPolicy policy,
            InetSocket socket,
            long openedNanos)
            throws IOException {
        this.loop = loop;
        this.clientFlows = clientFlows;
        this.replies = replies;
        this.routing = routing;
        this.client = client;
        this.clientAddress = IpAddress.of(client.getAddress());
        this.target = target;
        this.policy = policy;
        this.timeouts = loop.timeouts.flows(routing.policy().timeouts());
        this.socket = socket;
        this.openedNanos = openedNanos;
        this.cells = routing.service().stats.cells(loop.index);
        this.traffic = new FlowTraffic(cells, target.cells(loop.index));
        // This comes last, so that no failure above leaves the flow registered or counted.
        registration = loop.register(this, EpollIoOps.EPOLLIN);
        traffic.opened();
        loop.flowList.add(this);
        loop.flows.opened();
        loop.clients.flowOpened(clientAddress);
    }

    /** Restores the state that this flow had in the old process. */
    void resume(ForwarderHandover.OpenFlow before, long nowNanos) {
        traffic.requests = before.asked();
        traffic.replies = before.answered();
        touch(nowNanos);
    }

    /** Sets a new routing that allows the flow's endpoint. */
    void reroute(FrontendRouting changed) {
        routing = changed;
        timeouts = loop.timeouts.flows(changed.policy().timeouts());
    }

    /** Applies the current traffic policy to an open flow. */
    void applyPolicy() {
        if (!over) {
            policy = FlowPolicy.changed(policy, routing, clientAddress, client.getPort(), target);
        }
    }

    /** The PROXY protocol header before each datagram; empty if there is none. */
    byte[] header() {
        return policy == null ? FlowPolicy.NO_HEADER : policy.header();
    }

    /** Stops the flow for a handover, but leaves its socket open. */
    ForwarderHandover.OpenFlow detach() {
        long ageNanos = loop.now() - openedNanos;
        finish(End.MOVED);
        registration.cancel();
        Descriptors.closed();
        return new ForwarderHandover.OpenFlow(
                socket.intValue(),
                clientAddress,
                client.getPort(),
                target.endpoint,
                traffic.requests,
                traffic.replies,
                ageNanos);
    }

    /** Sends the client's datagrams to the endpoint. If the endpoint is dead, ends the flow and returns false. */
    boolean forward(long address, DatagramBatch batch, long nowNanos) {
        traffic.requests += batch.datagrams;
        touch(nowNanos);
        enlargeBuffers(traffic.requests, batch);
        if (traffic.replies == 0 && nowNanos - openedNanos >= FlowTimeouts.MIN_REPLIED_AGE_NANOS) {
            target.sentWithoutError(nowNanos);
        }
        try {
            traffic.toEndpoint(batch, socket.sendAll(address, batch, null));
            return true;
        } catch (IOException e) {
            return !endpointFailed(e, batch.datagrams);
        }
    }

    @Override
    public void handle(IoRegistration registration, IoEvent ioEvent) {
        if (over) {
            // The event was queued before the flow ended.
            return;
        }
        try {
            replies.forward(this);
        } catch (RuntimeException | Error fault) {
            // If this were rethrown, Netty would pause the loop for a second.
            failInternally(fault);
        }
    }

    /** Records a batch of replies that will be sent to the client. */
    void replied(DatagramBatch batch, long nowNanos) {
        touch(nowNanos);
        target.answered();
        enlargeBuffers(traffic.replies, batch);
    }

    private void enlargeBuffers(long datagrams, DatagramBatch batch) {
        if (!buffersEnlarged && (FlowTraffic.isBusy(datagrams) || batch.datagramBytes > SMALL_BYTES)) {
            buffersEnlarged = true;
            UdpBuffers.enlarge(socket);
        }
    }

    void touch(long nowNanos) {
        if (over) {
            return;
        }
        loop.timeouts.await(timeouts.queueOf(traffic, nowNanos - openedNanos), this, nowNanos);
    }

    /**
     * Handles a send or receive error. If the endpoint is dead, ends the flow and returns true. Otherwise counts the
     * lost datagrams as dropped and returns false.
     */
    boolean endpointFailed(IOException e, int lost) {
        switch (Errno.of(e)) {
            case Errno.ECONNREFUSED, Errno.EHOSTUNREACH, Errno.ENETUNREACH -> {
                traffic.endpointFailed();
                target.refused(Errno.text(Errno.of(e)), loop.now());
                if (routing.hasSessionAffinity()) {
                    // Otherwise the client would be sent to the dead endpoint until the session affinity entry expires.
                    routing.service().affinityTable.release(routing.service(), clientAddress, target.endpoint);
                }
                end(End.ENDPOINT_RESET);
                return true;
            }
            default -> {
                cells.add(Counter.DATAGRAMS_DROPPED, lost);
                return false;
            }
        }
    }

    @Override
    void expire(TimeoutQueue expiredIn, long nowNanos) {
        if (traffic.replies == 0) {
            target.sentWithoutError(nowNanos);
        }
        end(End.IDLE);
    }

    @Override
    void failInternally(Throwable fault) {
        try {
            log.error("internal error; closing {}", this, fault);
        } finally {
            end(End.ERROR);
        }
    }

    void end(End reason) {
        if (!over) {
            finish(reason);
            loop.closeLater(() -> {
                socket.closeQuietly();
                registration.cancel();
            });
        }
    }

    private void finish(End reason) {
        over = true;
        leaveQueue();
        loop.flowList.remove(this);
        clientFlows.ended(this);
        if (policy != null) {
            policy.release();
        }
        traffic.closed();
        loop.flows.closed();
        loop.clients.flowClosed(clientAddress);
        if (loop.reportsEnds()) {
            loop.ended(asEnded(reason));
        }
    }

    private EndedConnection asEnded(End reason) {
        return new EndedConnection(
                routing.service().stats.name(),
                routing.frontend().address(),
                clientAddress,
                client.getPort(),
                target.endpoint,
                traffic.bytesToEndpoint,
                traffic.bytesToClient,
                loop.now() - openedNanos,
                -1,
                1,
                reason);
    }

    /** Called by Netty when the loop ends; ends the flow. */
    @Override
    public void close() {
        end(End.SHUTDOWN);
    }

    @Override
    public InetSocket fd() {
        return socket;
    }

    @Override
    public String toString() {
        return "flow from " + client + " to " + target;
    }
}
