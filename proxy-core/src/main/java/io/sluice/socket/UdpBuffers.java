package io.sluice.socket;

import java.io.IOException;

/** Larger buffers for UDP sockets, which absorb bursts of large datagrams. */
public final class UdpBuffers {
    /** The size to request. The kernel grants at most rmem_max. */
    private static final int BYTES = 4 << 20;

    /** Whether rmem_max exceeds the default. If not, skipping the request saves two system calls per socket. */
    private static final boolean LARGER_GRANTED = sysctl("rmem_max") > sysctl("rmem_default");

    private UdpBuffers() {}

    /** Requests larger buffers. Does nothing if the kernel does not grant more than the default. */
    public static void enlarge(InetSocket socket) {
        if (!LARGER_GRANTED) {
            return;
        }
        try {
            socket.setReceiveBufferSize(BYTES);
            socket.setSendBufferSize(BYTES);
        } catch (IOException e) {
            // If the size is too large, the kernel grants a smaller one instead of failing, so the call fails only if
            // the socket is closed.
            assert !socket.isOpen() || Errno.of(e) != 0 : e;
        }
    }

    private static long sysctl(String name) {
        try {
            return Long.parseLong(Sysctl.read("net/core/" + name));
        } catch (IOException | NumberFormatException e) {
            // The setting is visible only in the initial network namespace. Elsewhere, assume that a larger buffer is
            // possible.
            return name.endsWith("_max") ? Long.MAX_VALUE : 0;
        }
    }
}
