package io.sluice.socketlb;

/**
 * The path of connections to a frontend.
 *
 * @param socket whether the endpoint is chosen at the socket; otherwise connections go through the forwarder
 * @param reason why they go through the forwarder, in a few words; empty if they do not
 */
public record SocketPath(boolean socket, String reason) {
    public static final SocketPath SOCKET = new SocketPath(true, "");

    /** Returns the path through the forwarder. */
    public static SocketPath proxy(String reason) {
        return new SocketPath(false, reason);
    }
}
