package io.sluice.forward;

import io.sluice.balance.EndpointTarget;
import io.sluice.balance.FrontendRouting;
import io.sluice.balance.RoundRobin;
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
 * The flows of one UDP socket: which of them a client's datagram belongs to, which endpoint a new one goes to, and
 * whether there is room for it. Belongs to the listener's loop.
 */
final class ClientFlows {
    private static final Logger log = LoggerFactory.getLogger(ClientFlows.class);

    private final Loop loop;
    private final FrontendRoutes frontend;
    private final InetSocket socket;
    private final FlowTable<UdpFlow> table = new FlowTable<>();
    /** How many there are, for the control side. */
    private volatile int open;
    /** Those of a predecessor, until the loop has taken them over. */
    private List<ForwarderHandover.OpenFlow> inherited = List.of();

    /** @param socket what clients are answered through */
    ClientFlows(Loop loop, FrontendRoutes frontend, InetSocket socket) {
        this.loop = loop;
        this.frontend = frontend;
        this.socket = socket;
    }

    /** Control side, before the loop has the socket. */
    void inherit(List<ForwarderHandover.OpenFlow> flows) {
        inherited = flows;
        open = flows.size();
    }

    /** Any thread. */
    boolean areOpen() {
        return open > 0;
    }

    /** Takes over the flows of a predecessor. */
    void adoptInherited() {
        long nowNanos = loop.now();
        for (ForwarderHandover.OpenFlow flow : inherited) {
            try {
                adopt(flow, nowNanos);
            } catch (IOException | RuntimeException | Error e) {
                log.error("closing an inherited flow of {} to {}", flow.client(), frontend.address, e);
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
            RoundRobin rotation = routing.roundRobinFor(flow.client());
            EndpointTarget known = rotation == null ? null : rotation.find(flow.endpoint());
            EndpointTarget target = known == null ? new EndpointTarget(flow.endpoint()) : known;
            InetSocketAddress client = flow.client().toSocketAddress(flow.clientPort());
            long openedNanos = nowNanos - flow.ageNanos();
            UdpFlow adopted = new UdpFlow(loop, this, socket, routing, client, target, back, openedNanos);
            try {
                adopted.resume(flow, nowNanos);
            } catch (RuntimeException | Error e) {
                adopted.end();
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
            flow.end();
            throw e;
        }
    }

    /** Stops all flows and leaves their sockets open. */
    List<ForwarderHandover.OpenFlow> detach() {
        List<ForwarderHandover.OpenFlow> detached = new ArrayList<>(table.size());
        try {
            for (UdpFlow flow : table.flows()) {
                if (FlowTable.scopeId(flow.client.getAddress()) == 0) {
                    detached.add(flow.detach());
                } else {
                    // A successor is not told the interface; the client's next datagram opens a new flow there.
                    flow.end();
                }
            }
        } catch (RuntimeException | Error e) {
            ForwarderHandover.close(detached);
            throw e;
        }
        return detached;
    }

    /** Ends all of them, also those of a listener that never started. */
    void end() {
        table.flows().forEach(UdpFlow::end);
        ForwarderHandover.close(inherited);
        inherited = List.of();
    }

    /** The one there is, if it may stay, or a new one; null if the client may not be served or nothing is left for it. */
    @SuppressWarnings("ReferenceEquality") // whether the routing was swapped, not whether it differs
    @Nullable
    UdpFlow flowOf(InetSocketAddress client, FrontendRouting routing, long nowNanos) {
        UdpFlow flow = table.get(client);
        if (flow != null && flow.routing != routing) {
            flow = rerouted(flow, routing);
        }
        return flow == null ? open(client, routing, null, nowNanos) : flow;
    }

    /** The flow if it may stay where it is by the new routing; null if it was ended. */
    private @Nullable UdpFlow rerouted(UdpFlow flow, FrontendRouting routing) {
        if (flow.routing.service() == routing.service() && routing.keepsFlowOn(flow.target.endpoint)) {
            flow.routing = routing;
            return flow;
        }
        flow.cells.increment(Counter.FLOWS_MOVED);
        flow.end();
        return null;
    }

    /**
     * Opens a flow; null if the client may not be served or nothing is left for it.
     *
     * @param avoided an endpoint that does not answer
     */
    @Nullable
    UdpFlow open(InetSocketAddress client, FrontendRouting routing, @Nullable EndpointTarget avoided, long nowNanos) {
        CounterCells cells = routing.service().stats.cells(loop.index);
        IpAddress clientAddress = IpAddress.of(client.getAddress());
        RoundRobin rotation = routing.roundRobinFor(clientAddress);
        if (rotation == null) {
            cells.increment(Counter.DATAGRAMS_REFUSED);
            return null;
        }
        if (!isWithinShare(clientAddress, nowNanos)) {
            cells.increment(Counter.DATAGRAMS_OVER_CLIENT_SHARE);
            loop.shortage.noteShare(clientAddress, loop.clients.percent());
            return null;
        }
        EndpointTarget target = avoided == null
                ? routing.pick(clientAddress, rotation, nowNanos)
                : anotherTarget(clientAddress, routing, rotation, avoided, nowNanos);
        boolean room = !loop.flows.full() && Descriptors.roomFor(1);
        if (!room && !evictIdlest()) {
            cells.increment(Counter.DATAGRAMS_DROPPED);
            return null;
        }
        try {
            IpAddress source = loop.sourceOf(clientAddress, target.endpoint, routing, cells);
            UdpFlow flow = add(connect(client, routing, target, source, nowNanos));
            cells.increment(Counter.FLOWS_OPENED);
            return flow;
        } catch (IOException e) {
            ResourceExhaustion.Kind lacking = ResourceExhaustion.Kind.errno(Errno.of(e));
            if (lacking != null) {
                loop.shortage.note(lacking);
            }
            cells.increment(Counter.DATAGRAMS_DROPPED);
            return null;
        }
    }

    /** @param source the client's address if the endpoint is to see it; null for this node's */
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
                TransparentSockets.assume(back, source);
            }
            if (loop.transparency != null) {
                loop.transparency.prioritize(back, target.endpoint);
            }
            back.connect(target.socketAddress());
            return new UdpFlow(loop, this, socket, routing, client, target, back, nowNanos);
        } catch (IOException | RuntimeException | Error e) {
            back.closeQuietly();
            throw e;
        }
    }

    private static EndpointTarget anotherTarget(
            IpAddress client, FrontendRouting routing, RoundRobin rotation, EndpointTarget avoided, long nowNanos) {
        EndpointTarget target = rotation.next(nowNanos);
        if (target.endpoint.equals(avoided.endpoint)) {
            target = rotation.next(nowNanos);
        }
        if (routing.hasSessionAffinity()) {
            routing.service().affinityTable.hold(routing.service(), client, target.endpoint, nowNanos);
        }
        return target;
    }

    /** Finished flows end first, as they do anyway where it gets full. */
    private boolean isWithinShare(IpAddress client, long nowNanos) {
        if (loop.clients.admitsFlow(client)) {
            return true;
        }
        loop.timeouts.endBriefFlows(nowNanos);
        return loop.clients.admitsFlow(client);
    }

    /** Ends the flow of this loop that has been idle longest; false if there is none. */
    private boolean evictIdlest() {
        if (!(loop.timeouts.idlestFlow() instanceof UdpFlow idlest)) {
            return false;
        }
        idlest.cells.increment(Counter.FLOWS_EVICTED);
        idlest.end();
        return true;
    }

    void ended(UdpFlow flow) {
        table.remove(flow.client, flow);
        open = table.size();
    }
}
