package io.sluice.forward;

import io.sluice.model.FrontendAddress;
import io.sluice.model.ServicePortName;
import java.time.Instant;

/**
 * How one frontend fares.
 *
 * @param failure what stands in the way; {@code NONE} unless the state is {@code FAILED}
 * @param reason the same in words, for people; for an {@code ACTIVE} one empty, or why its port is closed
 * @param since when it entered this state
 */
public record FrontendStatus(
        FrontendAddress address, ServicePortName service, State state, Failure failure, String reason, Instant since) {

    public enum State {
        /** Known, not yet tried. */
        PENDING,
        /** Does what its routes say: listens, or leaves the port closed because there is nothing to forward to. */
        ACTIVE,
        /** Not served; retried with back-off. */
        FAILED,
        /** No longer in the snapshot: told when it happens, never listed. */
        GONE
    }

    public enum Failure {
        NONE,
        /** No interface of this machine has the address. */
        ADDRESS_NOT_LOCAL,
        /** Another Service has the address, being older or first by name. */
        OWNED_BY_ANOTHER,
        /** Another socket has the port. */
        ADDRESS_IN_USE,
        /** Ports below {@code net.ipv4.ip_unprivileged_port_start} need CAP_NET_BIND_SERVICE. */
        NOT_PERMITTED,
        /** The process may not open more descriptors. */
        OUT_OF_DESCRIPTORS,
        OTHER
    }
}
