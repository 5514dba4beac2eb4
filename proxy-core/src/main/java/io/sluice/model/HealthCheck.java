package io.sluice.model;

import java.util.List;

/**
 * The health check of one Service on this node, which external load balancers query on the Service's {@code
 * healthCheckNodePort}.
 *
 * @param addresses the addresses to listen on; empty for all addresses of the node
 * @param port the {@code healthCheckNodePort}
 * @param localEndpoints the number of distinct ready endpoint addresses on this node, over all ports of the Service
 */
public record HealthCheck(List<IpAddress> addresses, int port, int localEndpoints) {
    public HealthCheck {
        addresses = List.copyOf(addresses);
    }
}
