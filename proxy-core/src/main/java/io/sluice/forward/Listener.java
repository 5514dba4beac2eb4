package io.sluice.forward;

import io.netty.util.concurrent.Future;

/** Listening TCP socket, or UDP socket, of one frontend on one loop. */
interface Listener {
    /**
     * Starts to accept connections or read datagrams. The future fails if epoll rejects the socket. Control threads.
     */
    Future<?> start();

    /** Closes the socket. The future completes when the address can be bound again. Control threads. */
    Future<?> stop();

    /**
     * Stops reading for a handover, but leaves the listener's socket and the sockets of its flows open. The future
     * completes once the loop no longer reads from them. Control threads.
     */
    Future<ForwarderHandover.OpenSocket> detach();

    /** Whether open flows use the socket. Thread-safe. */
    boolean isUsed();
}
