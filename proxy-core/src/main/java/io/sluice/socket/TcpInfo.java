package io.sluice.socket;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;

/**
 * The state of a TCP connection in the kernel (struct tcp_info). Each event loop reuses one instance: a read overwrites
 * the previous state.
 */
public final class TcpInfo {
    private static final int IPPROTO_TCP = 6;
    private static final int TCP_INFO = 11;
    /**
     * The size of the struct up to and including tcpi_notsent_bytes (Linux 4.6). The constants below are offsets of its
     * fields.
     */
    private static final int BYTES = 148;

    private static final int PROBES = 3;
    private static final int UNACKED = 24;
    private static final int LAST_DATA_RECV = 52;
    private static final int LAST_ACK_RECV = 56;
    private static final int NOTSENT_BYTES = 144;

    private final ByteBuffer info = ByteBuffer.allocate(BYTES).order(ByteOrder.nativeOrder());

    /** Reads the state of a connection; returns false if the connection is closed. */
    public boolean read(InetSocket socket) {
        try {
            socket.getRawOpt(IPPROTO_TCP, TCP_INFO, info.clear());
            return true;
        } catch (IOException e) {
            return false;
        }
    }

    /** Whether there is output that the peer has not acknowledged, including output not sent yet. */
    public boolean hasOutput() {
        return info.getInt(UNACKED) != 0 || info.getInt(NOTSENT_BYTES) != 0;
    }

    /**
     * Whether packets to the peer are unanswered: segments in flight, which the kernel retransmits, or at least two
     * window probes since the last reply. Probes are up to two minutes apart, so a single one may still be in flight or
     * lost.
     */
    public boolean isUnanswered() {
        return info.getInt(UNACKED) != 0 || Byte.toUnsignedInt(info.get(PROBES)) > 1;
    }

    /** The time since the peer last sent data or an ACK, including replies to keep-alive and window probes. */
    public long silentMillis() {
        return Math.min(
                Integer.toUnsignedLong(info.getInt(LAST_DATA_RECV)),
                Integer.toUnsignedLong(info.getInt(LAST_ACK_RECV)));
    }
}
