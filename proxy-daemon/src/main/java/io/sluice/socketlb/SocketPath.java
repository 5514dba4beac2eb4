package io.sluice.socketlb;

import io.sluice.model.Frontend;
import io.sluice.model.ServicePort;

/**
 * The path of connections from clients on this node to a frontend.
 *
 * @param socket whether they are decided at the client's socket; if not, the forwarder accepts them
 * @param reason why they are not, in a few words; empty if they are
 */
public record SocketPath(boolean socket, String reason) {
    /** The path of all connections if socket-level load balancing is off. */
    public static final SocketPath OFF = new SocketPath(false, "off");

    private static final SocketPath SOCKET = new SocketPath(true, "");

    /** Returns the path that the settings and the rules allow, on a machine where socket-level load balancing works. */
    public static SocketPath of(SocketLbOptions options, ServicePort port, Frontend frontend, boolean masqueradeAll) {
        if (!options.isOn()) {
            return OFF;
        }
        String obstacle = Eligibility.obstacle(port, frontend, masqueradeAll);
        return obstacle.isEmpty() ? SOCKET : new SocketPath(false, obstacle);
    }

    /** The name of the path in the admin API: {@code socket} or {@code proxy}. */
    public String name() {
        return socket ? "socket" : "proxy";
    }

    /** The path and the reason, as in {@code proxy (UDP)}. */
    public String text() {
        return reason.isEmpty() || equals(OFF) ? name() : name() + " (" + reason + ")";
    }
}
