package io.sluice.forward;

import io.netty.util.concurrent.Future;

/** Listening TCP socket, or UDP socket, of one frontend on one loop. */
interface Listener {
    /**
     * Starts to accept connections or read datagrams. The future fails if epoll rejects the socket. Control threads.
     */
    Future<?> start();

    /** Closes the socket. The future completes when the address is free. Control threads. */
    Future<?> stop();

    /**
     * Stops reading but leaves the socket and those of its flows open, for a handover. The future completes when
     * nothing is read any more. Control threads.
     */
    Future<ForwarderHandover.OpenSocket> detach();

    /** Whether open flows use the socket. Any thread. */
    boolean isUsed();
}
