package io.sluice.model;

/**
 * The name of one port of a Service. It identifies the port's endpoints, session affinity entries, round-robin
 * positions and counters.
 *
 * @param port the name of the port; empty if the Service has a single, unnamed port
 */
public record ServicePortName(String namespace, String service, String port, Protocol protocol) {
    /** The name of the Service: {@code namespace/service}. */
    public String serviceName() {
        return namespace + "/" + service;
    }

    /** A text by which names are sorted: by Service, port and protocol. A comma sorts before all characters of names. */
    public String sortKey() {
        return serviceName() + "," + port + "," + protocol.text();
    }

    /** The form {@code namespace/service:port}, or {@code namespace/service} if the port has no name. */
    @Override
    public String toString() {
        return port.isEmpty() ? serviceName() : serviceName() + ":" + port;
    }
}
