package io.sluice.socketlb;

/**
 * The state of socket-level load balancing.
 *
 * @param reason why it is not on; empty if it is on
 * @param frontends number of frontends whose connections are decided at the socket
 * @param rejected number of frontends for which the maps have no room
 */
public record SocketLbStatus(SocketLbOptions.Mode mode, State state, String reason, int frontends, int rejected) {
    /** Whether connections are decided at the socket. */
    public enum State {
        /** Disabled, or this process does not serve. */
        OFF,
        /** The programs are loaded, but not yet attached. */
        STARTING,
        ON,
        /** This machine does not allow it. */
        UNAVAILABLE
    }
}
