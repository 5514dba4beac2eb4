package io.sluice.model;

/**
 * One port of one Service: the key under which endpoints, affinity, the round-robin cursor and counters are kept.
 *
 * @param port the port's name; empty for the only port of a Service
 */
public record ServicePortName(String namespace, String service, String port, Protocol protocol) {
    /** {@code namespace/service}. */
    public String serviceName() {
        return namespace + "/" + service;
    }

    /** {@code namespace/service:port}, or {@code namespace/service} where the port has no name. */
    @Override
    public String toString() {
        return port.isEmpty() ? serviceName() : serviceName() + ":" + port;
    }
}
