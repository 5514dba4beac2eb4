package io.sluice.forward;

import io.sluice.balance.Balancer;
import io.sluice.balance.EndpointTarget;
import io.sluice.balance.FrontendRouting;
import io.sluice.forward.EndedConnection.End;
import io.sluice.model.IpAddress;
import io.sluice.socket.Descriptors;
import io.sluice.socket.Errno;
import io.sluice.socket.InetSocket;
import io.sluice.stats.Counter;
import io.sluice.stats.CounterCells;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** Opens the flows of one UDP listener, within the limits of the process and of the Service. Used by the loop's thread. */
final class FlowOpener {
    private final Loop loop;
    private final ClientFlows flows;
    private final FlowReplies replies;

    FlowOpener(Loop loop, ClientFlows flows, FlowReplies replies) {
        this.loop = loop;
        this.flows = flows;
        this.replies = replies;
    }

    /**
     * Opens a flow; returns null, with the reason counted, if the routing rejects or drops the client, a limit is
     * reached, or the kernel cannot open the socket.
     *
     * @param avoided an endpoint that is dead and should not be chosen again; null if any endpoint may be chosen
     */
    @Nullable
    UdpFlow open(InetSocketAddress client, FrontendRouting routing, @Nullable EndpointTarget avoided, long nowNanos) {
        CounterCells cells = routing.service().stats.cells(loop.index);
        IpAddress clientAddress = IpAddress.of(client.getAddress());
        Balancer balancer = routing.balancerFor(clientAddress);
        if (balancer == null) {
            cells.increment(Counter.DATAGRAMS_REFUSED);
            return null;
        }
        if (!isWithinShare(clientAddress, nowNanos)) {
            cells.increment(Counter.DATAGRAMS_OVER_CLIENT_SHARE);
            loop.exhaustion.noteClientLimit(clientAddress, loop.clients.percent());
            return null;
        }
        FlowPolicy policy = FlowPolicy.of(routing, clientAddress, client.getPort());
        Counter refused = policy == null ? null : policy.admit(nowNanos);
        if (refused != null) {
            cells.increment(refused);
            return null;
        }
        UdpFlow flow = null;
        try {
            flow = open(client, clientAddress, routing, balancer, avoided, policy, nowNanos);
        } finally {
            if (flow == null && policy != null) {
                policy.release();
            }
        }
        return flow;
    }

    private @Nullable UdpFlow open(
            InetSocketAddress client,
            IpAddress clientAddress,
            FrontendRouting routing,
            Balancer balancer,
            @Nullable EndpointTarget avoided,
            @Nullable FlowPolicy policy,
            long nowNanos) {
        CounterCells cells = routing.service().stats.cells(loop.index);
        EndpointTarget picked = avoided == null
                ? routing.pick(clientAddress, balancer, nowNanos)
                : anotherTarget(clientAddress, routing, balancer, avoided, nowNanos);
        EndpointTarget target = policy == null ? picked : policy.acquire(picked, balancer, nowNanos);
        if (target == null) {
            cells.increment(Counter.DATAGRAMS_OVER_ENDPOINT_LIMIT);
            return null;
        }
        boolean room = !loop.flows.isFull() && Descriptors.hasRoomFor(1);
        if (!room && !evictIdlest()) {
            cells.increment(Counter.DATAGRAMS_DROPPED);
            return null;
        }
        try {
            IpAddress source = loop.sourceAddressFor(clientAddress, target.endpoint, routing, cells);
            UdpFlow flow = connect(client, routing, target, source, policy, nowNanos);
            cells.increment(Counter.FLOWS_OPENED);
            return flow;
        } catch (IOException e) {
            ResourceExhaustion.Kind exhausted = ResourceExhaustion.Kind.errno(Errno.of(e));
            if (exhausted != null) {
                loop.exhaustion.note(exhausted);
            }
            cells.increment(Counter.DATAGRAMS_DROPPED);
            return null;
        }
    }

    /** @param source the client's address if the route preserves it; null for the node's own address */
    private UdpFlow connect(
            InetSocketAddress client,
            FrontendRouting routing,
            EndpointTarget target,
            @Nullable IpAddress source,
            @Nullable FlowPolicy policy,
            long nowNanos)
            throws IOException {
        InetSocket back = InetSocket.datagram(target.endpoint.address().family());
        try {
            if (source != null) {
                TransparentSockets.bindToClient(back, source);
            }
            if (loop.transparentSockets != null) {
                loop.transparentSockets.prioritize(back, target.endpoint);
            }
            back.connect(target.socketAddress());
            return new UdpFlow(loop, flows, replies, routing, client, target, policy, back, nowNanos);
        } catch (IOException | RuntimeException | Error e) {
            back.closeQuietly();
            throw e;
        }
    }

    /** The endpoint for a client whose endpoint is dead: another one if there is one. */
    private static @Nullable EndpointTarget anotherTarget(
            IpAddress client, FrontendRouting routing, Balancer balancer, EndpointTarget avoided, long nowNanos) {
        EndpointTarget other = balancer.pick(client, List.of(avoided.endpoint), nowNanos);
        EndpointTarget target = other == null ? balancer.find(avoided.endpoint) : other;
        if (target != null && routing.hasSessionAffinity()) {
            routing.service().affinityTable.hold(routing.service(), client, target.endpoint, nowNanos);
        }
        return target;
    }

    /**
     * Whether the client may open another flow. If the client already holds its share, finished flows are ended early
     * to make room.
     */
    private boolean isWithinShare(IpAddress client, long nowNanos) {
        if (loop.clients.allowsFlow(client)) {
            return true;
        }
        loop.timeouts.endFinishedFlows(nowNanos);
        return loop.clients.allowsFlow(client);
    }

    /** Evicts the flow that {@link Timeouts#idlestFlow} chooses; returns false if the loop has no flows. */
    private boolean evictIdlest() {
        if (!(loop.timeouts.idlestFlow() instanceof UdpFlow idlest)) {
            return false;
        }
        idlest.cells.increment(Counter.FLOWS_EVICTED);
        idlest.end(End.LIMIT);
        return true;
    }
}
