package io.sluice.model;

/** What a client dials. Prints as {@code 10.96.0.1:443/tcp}. */
public record FrontendAddress(Protocol protocol, IpAddress address, int port) {
    public FrontendAddress {
        if (port < 1 || port > 65_535) {
            throw new IllegalArgumentException("port " + port + " is not in 1..65535");
        }
    }

    @Override
    public String toString() {
        return address.withPort(port) + "/" + protocol.text();
    }
}
