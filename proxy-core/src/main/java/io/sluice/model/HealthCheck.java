package io.sluice.model;

import java.util.List;

/**
 * What a load balancer may ask of one Service on this node, on a port of its own.
 *
 * @param addresses where it may ask; empty stands for all addresses of the machine
 * @param localEndpoints the addresses on this node that are ready, over all ports of the Service, each once
 */
public record HealthCheck(List<IpAddress> addresses, int port, int localEndpoints) {
    public HealthCheck {
        addresses = List.copyOf(addresses);
    }
}
