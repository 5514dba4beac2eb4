package io.sluice.forward;

import io.sluice.balance.Balancer;
import io.sluice.balance.EndpointTarget;
import io.sluice.balance.FrontendRouting;
import io.sluice.balance.ServiceLimits.Refusal;
import io.sluice.model.Endpoint;
import io.sluice.model.IpAddress;
import io.sluice.model.TrafficPolicy;
import io.sluice.stats.Counter;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * What the traffic policy of a Service requires of one UDP flow: its part in the limits, and the PROXY protocol header
 * before each datagram. Created only for flows of Services whose policy needs it. Used only by the loop's thread.
 */
final class FlowPolicy {
    static final byte[] NO_HEADER = {};

    private final FrontendRouting routing;
    private final IpAddress client;
    private final Permit permit;
    private byte[] header;

    private FlowPolicy(FrontendRouting routing, IpAddress client, byte[] header) {
        this.routing = routing;
        this.client = client;
        this.permit = new Permit(routing.service(), client);
        this.header = header;
    }

    /** Creates the policy of a new flow; null if nothing is required. */
    static @Nullable FlowPolicy of(FrontendRouting routing, IpAddress client, int clientPort) {
        TrafficPolicy policy = routing.policy();
        byte[] header = ProxyHeaders.ofFlow(
                policy.proxyProtocol().send(), routing.frontend().address(), client, clientPort);
        return header.length == 0 && !Permit.isNeeded(policy) ? null : new FlowPolicy(routing, client, header);
    }

    /** Returns the policy of an open flow after a change; null if nothing is required. */
    static @Nullable FlowPolicy changed(
            @Nullable FlowPolicy before,
            FrontendRouting routing,
            IpAddress client,
            int clientPort,
            EndpointTarget target) {
        TrafficPolicy policy = routing.service().policy();
        byte[] header = ProxyHeaders.ofFlow(
                policy.proxyProtocol().send(), routing.frontend().address(), client, clientPort);
        if (before == null && header.length == 0 && !Permit.isNeeded(policy)) {
            return null;
        }
        FlowPolicy changed = before == null ? new FlowPolicy(routing, client, header) : before;
        changed.header = header;
        changed.permit.adopt(policy, target);
        return changed;
    }

    /** Counts the flow toward the limits; returns the counter of the limit that it exceeds, or null. */
    @Nullable
    Counter admit(long nowNanos) {
        Refusal refusal = permit.admit(routing.policy(), nowNanos);
        return refusal == null ? null : refusal.ofDatagrams();
    }

    /** Counts the flow for the endpoint or, if that has reached its limit, for another one; null if there is none. */
    @Nullable
    EndpointTarget acquire(@Nullable EndpointTarget picked, Balancer balancer, long nowNanos) {
        if (!routing.policy().countsPerEndpoint()) {
            return picked;
        }
        List<Endpoint> full = new ArrayList<>(1);
        EndpointTarget target = picked;
        while (target != null && !permit.tryAcquire(target)) {
            full.add(target.endpoint);
            target = balancer.pick(client, full, nowNanos);
        }
        return target;
    }

    /** The header before each datagram; empty if there is none. */
    byte[] header() {
        return header;
    }

    /** Ends the flow's part in the limits. Idempotent. */
    void release() {
        permit.release();
    }
}
