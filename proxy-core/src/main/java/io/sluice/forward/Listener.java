package io.sluice.forward;

import io.netty.util.concurrent.Future;

/** The socket of one frontend on one loop. */
interface Listener {
    /** Starts to take connections or datagrams. Control side; fails if the kernel refuses to report them. */
    Future<?> start();

    /** Closes the socket. Control side; done when the address is free. */
    Future<?> stop();

    /** Stops as well, but leaves the socket open, and its flows' sockets. Control side; done when nothing is read any more. */
    Future<ForwarderHandover.OpenSocket> detach();

    /** Whether it is the socket of something that goes on. Any thread. */
    boolean isUsed();
}
