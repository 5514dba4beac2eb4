package io.sluice.socketlb;

import io.sluice.socketlb.SocketLbOptions.Mode;

/**
 * The state of socket-level load balancing in this process.
 *
 * @param mode the setting
 * @param reason why it is not on, or why it does not serve all frontends that it could, for people; may be empty
 * @param frontends frontends whose connections are decided at the socket
 * @param connections open connections that were
 */
public record SocketLbStatus(Mode mode, State state, String reason, long frontends, long connections) {
    /** Whether connections are decided at the socket. */
    public enum State {
        OFF,
        ON,
        /** The setting allows it, but this machine does not. */
        UNAVAILABLE
    }
}
