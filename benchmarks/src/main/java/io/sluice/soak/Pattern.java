package io.sluice.soak;

import java.nio.ByteBuffer;
import java.util.Random;

/**
 * The bytes of every stream and datagram: a function of a key and a position, so that either end knows what must come
 * without keeping it. The table's length is a prime, so a byte lost or sent twice shows at once.
 */
final class Pattern {
    static final int MOST_AT_ONCE = 64 << 10;
    private static final int PERIOD = 65_521;
    private static final byte[] TABLE = new byte[PERIOD + MOST_AT_ONCE];

    static {
        new Random(20_260_101).nextBytes(TABLE);
        for (int i = PERIOD; i < TABLE.length; i++) {
            TABLE[i] = TABLE[i - PERIOD];
        }
    }

    private Pattern() {}

    /** The bytes of stream {@code key} from {@code position} on, at most {@link #MOST_AT_ONCE}. */
    static ByteBuffer slice(int key, long position, int length) {
        int start = (int) Math.floorMod(key * 7919L + position, (long) PERIOD);
        return ByteBuffer.wrap(TABLE, start, length);
    }

    static boolean matches(ByteBuffer received, int key, long position) {
        return received.equals(slice(key, position, received.remaining()));
    }
}
