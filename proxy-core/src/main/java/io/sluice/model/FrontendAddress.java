package io.sluice.model;

/**
 * A protocol, address and port that clients connect to. Prints as {@code 10.96.0.1:443/tcp}.
 *
 * @param address the IP address; the unspecified address for a NodePort that is served on all local addresses in {@link
 *     SnapshotContext#nodePortRanges}
 */
public record FrontendAddress(Protocol protocol, IpAddress address, int port) {
    public FrontendAddress {
        if (port < 1 || port > 65_535) {
            throw new IllegalArgumentException("port must be in 1..65535, not " + port);
        }
    }

    /**
     * Creates a frontend address from the form that {@link #toString} returns, such as {@code 10.96.0.1:443/tcp}.
     *
     * @throws IllegalArgumentException if the string has another form
     */
    public static FrontendAddress of(String text) {
        int slash = text.indexOf('/');
        Endpoint address = slash < 0 ? null : Endpoint.parse(text.substring(0, slash));
        for (Protocol protocol : Protocol.values()) {
            if (address != null && text.substring(slash + 1).equals(protocol.text())) {
                return new FrontendAddress(protocol, address.address(), address.port());
            }
        }
        throw new IllegalArgumentException("'" + text + "' is invalid; must be IP:PORT/tcp or IP:PORT/udp");
    }

    /** Returns the frontend address with the same protocol and port at the unspecified address of the family. */
    public FrontendAddress onAllAddresses() {
        return new FrontendAddress(protocol, IpAddress.unspecified(address.family()), port);
    }

    /**
     * The port to bind the TCP listener of this frontend to. The result normally differs from the frontend's port, so
     * that the listener can be opened even if another process is bound to that port on all addresses. The result is the
     * frontend's port if the address is unspecified or the inverted port is 0.
     *
     * @param flippedBits the bits of the port to invert; 0 keeps the port
     */
    public int listeningPort(int flippedBits) {
        int flipped = port ^ flippedBits;
        return address.isUnspecified() || flipped == 0 ? port : flipped;
    }

    @Override
    public String toString() {
        return address.withPort(port) + "/" + protocol.text();
    }
}
