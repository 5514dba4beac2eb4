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
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The flows of one UDP listener. Finds the flow that a datagram belongs to, opens new flows within the limits, and
 * moves flows whose endpoint stopped serving to another endpoint. Used by the loop's thread unless stated otherwise.
 */
final class ClientFlows {
    private static final Logger log = LoggerFactory.getLogger(ClientFlows.class);

    private final Loop loop;
    private final FrontendRoutes frontend;
    private final InetSocket socket;
    private final FlowTable<UdpFlow> table = new FlowTable<>();
    /** Number of open flows; volatile because threads other than the loop's read it. */
    private volatile int open;
    /** Flows of the old process, until the loop has adopted them. */
    private List<ForwarderHandover.OpenFlow> inherited = List.of();

    /** @param socket the frontend's socket, which sends replies to clients */
    ClientFlows(Loop loop, FrontendRoutes frontend, InetSocket socket) {
        this.loop = loop;
        this.frontend = frontend;
        this.socket = socket;
    }

    /** Sets the flows to adopt. Called under the forwarder's lock, before the socket is registered with the loop. */
    void inherit(List<ForwarderHandover.OpenFlow> flows) {
        inherited = flows;
        open = flows.size();
    }

    /** Whether any flow is open. Thread-safe. */
    boolean hasFlows() {
        return open > 0;
    }

    /** Adopts the flows of the old process; a flow that cannot be adopted is closed and logged. */
    void adoptInherited() {
        long nowNanos = loop.now();
        for (ForwarderHandover.OpenFlow flow : inherited) {
            try {
                adopt(flow, nowNanos);
            } catch (IOException | RuntimeException | Error e) {
                log.error(
                        "internal error; closing the inherited flow from {} to {}", flow.client(), frontend.address, e);
            }
        }
        inherited = List.of();
        open = table.size();
    }

    private void adopt(ForwarderHandover.OpenFlow flow, long nowNanos) throws IOException {
        InetSocket back = InetSocket.adopt(flow.descriptor());
        try {
            FrontendRouting routing = frontend.routing;
            if (!routing.keepsFlowOn(flow.endpoint())) {
                back.closeQuietly();
                return;
            }
            Balancer balancer = routing.balancerFor(flow.client());
            EndpointTarget known = balancer == null ? null : balancer.find(flow.endpoint());
            EndpointTarget target = known == null ? routing.service().target(flow.endpoint()) : known;
            InetSocketAddress client = flow.client().toSocketAddress(flow.clientPort());
            long openedNanos = nowNanos - flow.ageNanos();
            UdpFlow adopted = new UdpFlow(loop, this, socket, routing, client, target, back, openedNanos);
            try {
                adopted.resume(flow, nowNanos);
            } catch (RuntimeException | Error e) {
                adopted.end(End.ERROR);
                throw e;
            }
            add(adopted);
        } catch (IOException | RuntimeException | Error e) {
            back.closeQuietly();
            throw e;
        }
    }

    private UdpFlow add(UdpFlow flow) {
        try {
            table.put(flow.client, flow);
            open = table.size();
            return flow;
        } catch (RuntimeException | Error e) {
            flow.end(End.ERROR);
            throw e;
        }
    }

    /** Stops all flows for a handover, but leaves their sockets open. */
    List<ForwarderHandover.OpenFlow> detach() {
        List<ForwarderHandover.OpenFlow> detached = new ArrayList<>(table.size());
        try {
            for (UdpFlow flow : table.flows()) {
                if (FlowTable.scopeId(flow.client.getAddress()) == 0) {
                    detached.add(flow.detach());
                } else {
                    // The handover format does not include the interface of a link-local client, so its next datagram
                    // opens a new flow in the new process.
                    flow.end(End.MOVED);
                }
            }
        } catch (RuntimeException | Error e) {
            ForwarderHandover.close(detached);
            throw e;
        }
        return detached;
    }

    /** Ends all flows, including inherited flows that were never adopted because the listener did not start. */
    void end() {
        End reason = loop.isStopping() ? End.SHUTDOWN : End.REMOVED;
        table.flows().forEach(flow -> flow.end(reason));
        ForwarderHandover.close(inherited);
        inherited = List.of();
    }

    /**
     * Returns the client's flow. Opens a new flow if there is none or if the routing no longer allows its endpoint;
     * returns null if {@link #open} does.
     */
    @SuppressWarnings("ReferenceEquality") // whether the routing was replaced, not whether it differs
    @Nullable
    UdpFlow flowOf(InetSocketAddress client, FrontendRouting routing, long nowNanos) {
        UdpFlow flow = table.get(client);
        if (flow != null && flow.routing != routing) {
            flow = rerouted(flow, routing);
        }
        return flow == null ? open(client, routing, null, nowNanos) : flow;
    }

    /** Returns the flow if the new routing still allows its endpoint; otherwise ends the flow and returns null. */
    private @Nullable UdpFlow rerouted(UdpFlow flow, FrontendRouting routing) {
        if (flow.routing.service() == routing.service() && routing.keepsFlowOn(flow.target.endpoint)) {
            flow.routing = routing;
            return flow;
        }
        flow.cells.increment(Counter.FLOWS_MOVED);
        flow.end(End.REMOVED);
        return null;
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
        EndpointTarget target = avoided == null
                ? routing.pick(clientAddress, balancer, nowNanos)
                : anotherTarget(clientAddress, routing, balancer, avoided, nowNanos);
        if (target == null) {
            cells.increment(Counter.DATAGRAMS_REFUSED);
            return null;
        }
        boolean room = !loop.flows.isFull() && Descriptors.hasRoomFor(1);
        if (!room && !evictIdlest()) {
            cells.increment(Counter.DATAGRAMS_DROPPED);
            return null;
        }
        try {
            IpAddress source = loop.sourceAddressFor(clientAddress, target.endpoint, routing, cells);
            UdpFlow flow = add(connect(client, routing, target, source, nowNanos));
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
            return new UdpFlow(loop, this, socket, routing, client, target, back, nowNanos);
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

    void ended(UdpFlow flow) {
        table.remove(flow.client, flow);
        open = table.size();
    }
}
