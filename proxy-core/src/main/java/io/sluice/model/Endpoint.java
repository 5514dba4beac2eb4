package io.sluice.model;

/** Where traffic goes: one address of one pod (or of anything else that serves), and the port it listens on. */
public record Endpoint(IpAddress address, int port) {
    public Endpoint {
        if (port < 1 || port > 65_535) {
            throw new IllegalArgumentException("port " + port + " is not in 1..65535");
        }
    }

    @Override
    public String toString() {
        return address.withPort(port);
    }
}
