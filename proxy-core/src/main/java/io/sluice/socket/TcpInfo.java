package io.sluice.socket;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;

/** What the kernel knows about a connection (struct tcp_info). One per loop, overwritten by each read. */
public final class TcpInfo {
    private static final int IPPROTO_TCP = 6;
    private static final int TCP_INFO = 11;
    /** Up to and with tcpi_notsent_bytes (Linux 4.6), and where in the struct the fields are. */
    private static final int BYTES = 148;

    private static final int PROBES = 3;
    private static final int UNACKED = 24;
    private static final int LAST_DATA_RECV = 52;
    private static final int LAST_ACK_RECV = 56;
    private static final int NOTSENT_BYTES = 144;

    private final ByteBuffer info = ByteBuffer.allocate(BYTES).order(ByteOrder.nativeOrder());

    /** False if the connection is gone. */
    public boolean read(InetSocket socket) {
        try {
            socket.getRawOpt(IPPROTO_TCP, TCP_INFO, info.clear());
            return true;
        } catch (IOException e) {
            return false;
        }
    }

    /** Whether the peer's kernel has not acknowledged all that was written. */
    public boolean hasOutput() {
        return info.getInt(UNACKED) != 0 || info.getInt(NOTSENT_BYTES) != 0;
    }

    /**
     * Whether the kernel has evidence that the peer is gone: segments in flight, which it retransmits, or two window probes
     * since the last answer. It sends those up to two minutes apart, so a single one may be on its way or lost.
     */
    public boolean isUnanswered() {
        return info.getInt(UNACKED) != 0 || Byte.toUnsignedInt(info.get(PROBES)) > 1;
    }

    /** How long ago the peer last sent data or an acknowledgement, that of a keep-alive or window probe included. */
    public long silentMillis() {
        return Math.min(
                Integer.toUnsignedLong(info.getInt(LAST_DATA_RECV)),
                Integer.toUnsignedLong(info.getInt(LAST_ACK_RECV)));
    }
}
