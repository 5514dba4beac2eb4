package io.sluice.socket;

/**
 * Datagrams of one size that go the same way, one behind the other in the loop's buffer: the kernel carries them through
 * its network stack as one packet and cuts them apart at the end. Only the last may be shorter. Belongs to a loop, and is
 * empty between its events.
 */
public final class Batch {
    /** What the kernel cuts at most, and what one IPv4 packet has room for. */
    private static final int MOST_DATAGRAMS = 64;

    private static final int MOST_BYTES = 65_507;

    public int start;
    public int end;
    public int datagrams;
    /** The size of all but the last. */
    public int datagramBytes;

    /** Whether another one can go with those that are here. */
    public boolean takes(int length) {
        if (datagrams == 0) {
            return true;
        }
        int bytes = end - start;
        return datagrams < MOST_DATAGRAMS
                && length > 0
                && length <= datagramBytes
                && bytes == datagrams * datagramBytes
                && bytes + length <= MOST_BYTES;
    }

    /** One that is in the buffer at {@link #end}. */
    public void add(int length) {
        if (datagrams == 0) {
            datagramBytes = length;
        }
        datagrams++;
        end += length;
    }

    /** Whether a datagram of any size can be read into a buffer of this size behind those that are here. */
    public boolean hasRoom(int bufferBytes) {
        return end + InetSocket.DATAGRAM_BYTES <= bufferBytes;
    }

    /** Those before {@link #end} have been dealt with; what follows in the buffer has not. */
    public void next() {
        start = end;
        datagrams = 0;
    }

    public void clear() {
        start = 0;
        end = 0;
        datagrams = 0;
    }
}
