package io.sluice.forward;

import io.sluice.model.FrontendAddress;
import io.sluice.model.ServicePortName;
import java.time.Instant;

/**
 * State of one frontend at one moment.
 *
 * @param service the service port that the frontend belongs to
 * @param failure the kind of failure if the state is {@code FAILED}, otherwise {@code NONE}
 * @param reason explanation for operators: why the frontend failed, or why the port of an {@code ACTIVE} frontend is
 *     closed; may be empty
 * @param since time of the last change of the service port, state, failure or reason
 */
public record FrontendStatus(
        FrontendAddress address, ServicePortName service, State state, Failure failure, String reason, Instant since) {

    /** Whether a frontend is served. */
    public enum State {
        /** In the snapshot, but not opened yet. */
        PENDING,
        /** Listening; or closed intentionally, because the frontend forwards to no endpoint. */
        ACTIVE,
        /** Not served. A frontend whose sockets cannot be opened is retried with back-off. */
        FAILED,
        /** Accepts no new connections or flows, because the process is stopping; established ones continue. */
        DRAINING,
        /** Removed from the snapshot. This state is reported as a change, but never appears in a list. */
        GONE
    }

    /** Why a frontend is in state {@link State#FAILED}. */
    public enum Failure {
        /** The frontend is in another state than {@code FAILED}. */
        NONE,
        /** The address is not assigned to any interface of this machine. */
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
        /** Any other error. The reason in the status is the message of the error. */
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
