package io.sluice.forward;

import io.netty.util.concurrent.Future;

/** Socket of one frontend on one loop: a listening TCP socket or a UDP socket. */
interface Listener {
    /** Starts to accept connections or read datagrams. The future fails if epoll rejects the socket. */
    Future<?> start();

    /** Closes the socket. The future completes when the address can be bound again. */
    Future<?> stop();

    /**
     * Stops reading for a handover, but leaves the listener's socket and the sockets of its flows open. The future
     * completes once the loop no longer reads from them.
     */
    Future<ForwarderHandover.OpenSocket> detach();

    /** Whether any open flow uses the socket. Thread-safe. */
    boolean isUsed();
}
