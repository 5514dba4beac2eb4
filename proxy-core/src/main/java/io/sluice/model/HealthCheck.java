package io.sluice.model;

/**
 * What a load balancer may ask of one Service on this node, on a port of its own.
 *
 * @param port the node's port it asks on
 * @param localEndpoints the addresses on this node that are ready, over all ports of the Service, each once
 */
public record HealthCheck(int port, int localEndpoints) {}
