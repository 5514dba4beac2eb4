package io.sluice.forward;

import io.sluice.balance.Balancer;
import io.sluice.balance.EndpointTarget;
import io.sluice.balance.FrontendRouting;
import io.sluice.forward.EndedConnection.End;
import io.sluice.socket.InetSocket;
import io.sluice.stats.Counter;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The flows of one UDP listener. Finds the flow that a datagram belongs to, opens new flows, and moves flows whose
 * endpoint stopped serving to another endpoint. Used by the loop's thread unless stated otherwise.
 */
final class ClientFlows {
    private static final Logger log = LoggerFactory.getLogger(ClientFlows.class);

    private final Loop loop;
    private final FrontendRoutes frontend;
    private final FlowReplies replies;
    private final FlowOpener opener;
    private final FlowTable<UdpFlow> table = new FlowTable<>();
    /** Number of open flows; volatile because threads other than the loop's read it. */
    private volatile int open;
    /** Flows of the old process, until the loop has adopted them. */
    private List<ForwarderHandover.OpenFlow> inherited = List.of();

    /** @param socket the frontend's socket, which sends replies to clients */
    ClientFlows(Loop loop, FrontendRoutes frontend, InetSocket socket) {
        this.loop = loop;
        this.frontend = frontend;
        this.replies = new FlowReplies(loop, socket);
        this.opener = new FlowOpener(loop, this, replies);
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
            FlowPolicy policy = FlowPolicy.of(routing, flow.client(), flow.clientPort());
            UdpFlow adopted = new UdpFlow(loop, this, replies, routing, client, target, policy, back, openedNanos);
            try {
                adopted.applyPolicy();
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

    /** Opens a flow and adds it to the table, see {@link FlowOpener#open}. */
    @Nullable
    UdpFlow open(InetSocketAddress client, FrontendRouting routing, @Nullable EndpointTarget avoided, long nowNanos) {
        UdpFlow opened = opener.open(client, routing, avoided, nowNanos);
        return opened == null ? null : add(opened);
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
            flow.reroute(routing);
            return flow;
        }
        flow.cells.increment(Counter.FLOWS_MOVED);
        flow.end(End.REMOVED);
        return null;
    }

    void ended(UdpFlow flow) {
        table.remove(flow.client, flow);
        open = table.size();
    }
}
