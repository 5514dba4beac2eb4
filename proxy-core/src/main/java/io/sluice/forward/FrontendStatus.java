package io.sluice.forward;

import io.sluice.model.FrontendAddress;
import io.sluice.model.ServicePortName;
import java.time.Instant;

/**
 * State of one frontend at one moment.
 *
 * @param service the service port that it belongs to
 * @param failure the kind of failure; {@code NONE} unless the state is {@code FAILED}
 * @param reason explanation for operators: why the frontend failed, or why the port of an {@code ACTIVE} frontend is
 *     closed; may be empty
 * @param since when the frontend entered this state
 */
public record FrontendStatus(
        FrontendAddress address, ServicePortName service, State state, Failure failure, String reason, Instant since) {

    /** Whether a frontend is served. */
    public enum State {
        /** Known, not yet opened. */
        PENDING,
        /**
         * In the state that its routes require: listening, or with the port closed because it forwards to no endpoint.
         */
        ACTIVE,
        /** Not served; retried with back-off. */
        FAILED,
        /** No longer in the snapshot. Appears only in notifications, never in a list. */
        GONE
    }

    /** Why a frontend is not served. */
    public enum Failure {
        /** It has not failed. */
        NONE,
        /** No interface of this machine has the address. */
        ADDRESS_NOT_LOCAL,
        /** The address belongs to another Service, which is older or sorts first by name. */
        OWNED_BY_ANOTHER,
        /** Another socket is bound to the address and port. */
        ADDRESS_IN_USE,
        /**
         * A capability is missing, such as CAP_NET_BIND_SERVICE for low ports or CAP_NET_ADMIN for transparent sockets.
         */
        NOT_PERMITTED,
        /** The process cannot open more descriptors for listeners. */
        OUT_OF_DESCRIPTORS(true),
        /** The kernel has no memory for another socket, or the process has no memory for its buffers. */
        OUT_OF_MEMORY(true),
        /** The user cannot register more sockets with epoll ({@code fs.epoll.max_user_watches}). */
        OUT_OF_EPOLL_WATCHES(true),
        /** The kernel rejected the nftables rules of the address. */
        REJECTED_BY_KERNEL,
        /** Any other error; the reason is its message. */
        OTHER;

        private final boolean resourceExhaustion;

        Failure() {
            this(false);
        }

        Failure(boolean resourceExhaustion) {
            this.resourceExhaustion = resourceExhaustion;
        }

        /** Whether the process or the kernel ran out of a resource. */
        public boolean isResourceExhaustion() {
            return resourceExhaustion;
        }
    }
}
