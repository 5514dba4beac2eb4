package io.sluice.socket;

/**
 * Consecutive datagrams in the buffer of an event loop that are sent to one destination with one system call (UDP
 * segmentation offload). The kernel passes them through its network stack as one packet and splits this packet at the
 * end, so all datagrams must have the same size; only the last may be shorter. Belongs to one loop and is empty between
 * the loop's events.
 */
public final class DatagramBatch {
    /** The maximum number of datagrams that the kernel splits one packet into. */
    private static final int MAX_DATAGRAMS = 64;

    /** The largest payload of an IPv4 UDP packet. */
    public static final int MAX_BYTES = 65_507;

    /** The position of the first datagram in the buffer. */
    public int start;
    /** The position after the last datagram. */
    public int end;
    /** The number of datagrams. */
    public int datagrams;
    /** The size of each datagram except the last, which may be shorter. */
    public int datagramBytes;

    /** Whether a datagram of this length can be added. */
    public boolean fits(int length) {
        if (datagrams == 0) {
            return true;
        }
        int bytes = end - start;
        return datagrams < MAX_DATAGRAMS
                && length > 0
                && length <= datagramBytes
                && bytes == datagrams * datagramBytes
                && bytes + length <= MAX_BYTES;
    }

    /** Adds the datagram that is in the buffer at {@link #end}. */
    public void add(int length) {
        if (datagrams == 0) {
            datagramBytes = length;
        }
        datagrams++;
        end += length;
    }

    /** Whether a buffer of this size has room for a datagram of any size after {@link #end}. */
    public boolean hasRoom(int bufferBytes) {
        return end + InetSocket.DATAGRAM_BYTES <= bufferBytes;
    }

    /** Starts the next batch at {@link #end}. */
    public void next() {
        start = end;
        datagrams = 0;
    }

    /** Starts the next batch at the beginning of the buffer. */
    public void clear() {
        start = 0;
        end = 0;
        datagrams = 0;
    }
}
