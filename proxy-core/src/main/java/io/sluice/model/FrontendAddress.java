package io.sluice.model;

/**
 * What a client dials. Prints as {@code 10.96.0.1:443/tcp}.
 *
 * @param address unspecified for a node port that is served on all local addresses in certain ranges, see
 *     {@link SnapshotContext#nodePortRanges}
 */
public record FrontendAddress(Protocol protocol, IpAddress address, int port) {
    public FrontendAddress {
        if (port < 1 || port > 65_535) {
            throw new IllegalArgumentException("port " + port + " is not in 1..65535");
        }
    }

    /** The same port at all addresses of the family. */
    public FrontendAddress onAllAddresses() {
        return new FrontendAddress(protocol, IpAddress.unspecified(address.family()), port);
    }

    /**
     * The port of the TCP socket that listens for this frontend, where that is another one than its own: a process that has
     * the port on all addresses would otherwise keep it out. A frontend at all addresses keeps its port.
     *
     * @param flippedBits of the port; 0 for the same port
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
