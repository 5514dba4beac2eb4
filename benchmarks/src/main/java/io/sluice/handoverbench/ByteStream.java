package io.sluice.handoverbench;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.ByteBufUtil;
import io.netty.buffer.Unpooled;
import java.util.Random;

/**
 * One direction of a connection: an endless stream of pseudo-random bytes that depends only on a key, and a position in
 * it. The sender takes the next bytes and the receiver compares them, so neither needs a copy of the data.
 *
 * <p>All streams are parts of one table. Its period is a prime, so a lost, repeated or reordered block is detected with
 * its first bytes. Not thread-safe.
 */
final class ByteStream {
    static final int MAX_SLICE_BYTES = 64 << 10;
    private static final int PERIOD = 1_048_573;
    private static final ByteBuf TABLE = table();

    private final long start;
    private long position;

    private ByteStream(long key) {
        this.start = Math.floorMod(mix(key), (long) PERIOD);
    }

    static ByteStream fromClient(long connection) {
        return new ByteStream(2 * connection);
    }

    static ByteStream fromEndpoint(long connection) {
        return new ByteStream(2 * connection + 1);
    }

    private static ByteBuf table() {
        byte[] bytes = new byte[PERIOD + MAX_SLICE_BYTES];
        new Random(20_260_101).nextBytes(bytes);
        System.arraycopy(bytes, 0, bytes, PERIOD, MAX_SLICE_BYTES);
        return Unpooled.unreleasableBuffer(
                Unpooled.directBuffer(bytes.length).writeBytes(bytes).asReadOnly());
    }

    /** Spreads keys over the table: the finalizer of SplittableRandom. */
    private static long mix(long key) {
        long z = (key + 1) * 0x9e3779b97f4a7c15L;
        z = (z ^ (z >>> 30)) * 0xbf58476d1ce4e5b9L;
        z = (z ^ (z >>> 27)) * 0x94d049bb133111ebL;
        return z ^ (z >>> 31);
    }

    /** Returns the next bytes to send, at most {@link #MAX_SLICE_BYTES}. */
    ByteBuf next(int length) {
        ByteBuf slice = TABLE.slice(offset(), length);
        position += length;
        return slice;
    }

    /** Compares all readable bytes with the next ones of the stream, and returns how many of the first ones match. */
    int match(ByteBuf received) {
        int matched = 0;
        while (received.isReadable()) {
            int length = Math.min(received.readableBytes(), MAX_SLICE_BYTES);
            int from = offset();
            if (!ByteBufUtil.equals(TABLE, from, received, received.readerIndex(), length)) {
                return matched + commonPrefix(from, received, length);
            }
            received.skipBytes(length);
            position += length;
            matched += length;
        }
        return matched;
    }

    private int commonPrefix(int from, ByteBuf received, int length) {
        for (int i = 0; i < length; i++) {
            if (TABLE.getByte(from + i) != received.getByte(received.readerIndex() + i)) {
                received.skipBytes(i);
                position += i;
                return i;
            }
        }
        return length;
    }

    private int offset() {
        return (int) ((start + position) % PERIOD);
    }

    /** The number of bytes sent or matched so far. */
    long position() {
        return position;
    }
}
