package io.sluice.forward;

import io.sluice.model.Endpoint;
import io.sluice.model.FrontendAddress;
import io.sluice.model.IpAddress;
import io.sluice.model.ServicePortName;

/** An open UDP flow at one moment. */
public record FlowStatus(
        ServicePortName service,
        FrontendAddress frontend,
        IpAddress client,
        int clientPort,
        Endpoint endpoint,
        long ageNanos,
        long datagramsToEndpoint,
        long datagramsToClient,
        long bytesToEndpoint,
        long bytesToClient) {
    /** Must be called on the flow's loop. */
    static FlowStatus of(UdpFlow flow, long nowNanos) {
        return new FlowStatus(
                flow.routing.service().stats.name(),
                flow.routing.frontend().address(),
                flow.clientAddress,
                flow.client.getPort(),
                flow.target.endpoint,
                nowNanos - flow.openedNanos,
                flow.traffic.requests,
                flow.traffic.replies,
                flow.traffic.bytesToEndpoint,
                flow.traffic.bytesToClient);
    }
}
