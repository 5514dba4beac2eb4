package io.sluice.model;

/** A destination of forwarded traffic: an address of a pod or other server, and the port that the server listens on. */
public record Endpoint(IpAddress address, int port) {
    public Endpoint {
        if (port < 1 || port > 65_535) {
            throw new IllegalArgumentException("port must be in 1..65535, not " + port);
        }
    }

    @Override
    public String toString() {
        return address.withPort(port);
    }
}
