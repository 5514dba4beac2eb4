package io.sluice.forward;

import io.sluice.balance.Balancer;
import io.sluice.balance.EndpointTarget;
import io.sluice.balance.FrontendRouting;
import io.sluice.balance.ServiceLimits.Refusal;
import io.sluice.model.Endpoint;
import io.sluice.model.FrontendAddress;
import io.sluice.model.IpAddress;
import io.sluice.model.TrafficPolicy;
import io.sluice.model.TrafficPolicy.ProxyHeader;
import io.sluice.proxyprotocol.ProxiedAddresses;
import io.sluice.proxyprotocol.ProxyHeaderWriter;
import io.sluice.stats.Counter;
import java.nio.ByteBuffer;
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
    private final byte[] header;

    private FlowPolicy(FrontendRouting routing, IpAddress client, byte[] header) {
        this.routing = routing;
        this.client = client;
        this.permit = new Permit(routing.service(), client);
        this.header = header;
    }

    /** Creates the policy of a new flow; null if nothing is required. */
    static @Nullable FlowPolicy of(FrontendRouting routing, IpAddress client, int clientPort) {
        TrafficPolicy policy = routing.policy();
        // Version 1 has no headers for datagrams.
        boolean sendsHeader = policy.proxyProtocol().send() == ProxyHeader.V2;
        if (!sendsHeader && !Permit.isNeeded(policy)) {
            return null;
        }
        return new FlowPolicy(routing, client, sendsHeader ? header(routing, client, clientPort) : NO_HEADER);
    }

    /** Creates the policy of an open flow that has not sent a header so far. */
    static FlowPolicy withoutHeader(FrontendRouting routing, IpAddress client) {
        return new FlowPolicy(routing, client, NO_HEADER);
    }

    private static byte[] header(FrontendRouting routing, IpAddress client, int clientPort) {
        // If the frontend is served at all addresses, the one that the client sent to is not known.
        FrontendAddress frontend = routing.frontend().address();
        ByteBuffer buffer = ByteBuffer.allocate(ProxyHeaderWriter.MAX_BYTES);
        ProxiedAddresses addresses = new ProxiedAddresses(client, clientPort, frontend.address(), frontend.port());
        byte[] header = new byte[ProxyHeaderWriter.write(ProxyHeader.V2, addresses, true, buffer, 0)];
        buffer.get(0, header);
        return header;
    }

    /** Counts the flow toward the limits; returns the counter of the limit that it exceeds, or null. */
    @Nullable
    Counter admit(long nowNanos) {
        Refusal refusal = permit.admit(routing.policy(), nowNanos);
        if (refusal == null) {
            return null;
        }
        return switch (refusal) {
            case SERVICE -> Counter.DATAGRAMS_OVER_SERVICE_LIMIT;
            case CLIENT -> Counter.DATAGRAMS_OVER_CLIENT_LIMIT;
            case RATE -> Counter.DATAGRAMS_OVER_CLIENT_RATE;
        };
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

    /** Counts an open flow for what a changed policy counts. */
    void adopt(TrafficPolicy policy, EndpointTarget target) {
        permit.adopt(policy, target);
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
