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
        OUT_OF_DESCRIPTORS(true),
        /** The kernel has no memory for another socket, or the process has none for its buffers. */
        OUT_OF_MEMORY(true),
        /** The user may not register more sockets with epoll ({@code fs.epoll.max_user_watches}). */
        OUT_OF_EPOLL_WATCHES(true),
        /** The kernel does not take the rules that redirect packets for the address. */
        REJECTED_BY_KERNEL,
        OTHER;

        private final boolean lackOfResources;

        Failure() {
            this(false);
        }

        Failure(boolean lackOfResources) {
            this.lackOfResources = lackOfResources;
        }

        /** Whether the process or the kernel ran out of a resource. */
        public boolean isResourceExhaustion() {
            return lackOfResources;
        }
    }
}
