package io.sluice.soak;

import java.nio.ByteBuffer;
import java.util.Random;

/**
 * Generates the bytes of every stream and datagram from a key and a position, so that the receiver can check them
 * without a copy. The period is a prime, so that a lost or duplicated byte is detected immediately.
 */
final class BytePattern {
    static final int MAX_SLICE_BYTES = 64 << 10;
    private static final int PERIOD = 65_521;
    private static final byte[] TABLE = new byte[PERIOD + MAX_SLICE_BYTES];

    static {
        new Random(20_260_101).nextBytes(TABLE);
        for (int i = PERIOD; i < TABLE.length; i++) {
            TABLE[i] = TABLE[i - PERIOD];
        }
    }

    private BytePattern() {}

    /** Returns bytes of stream {@code key} from {@code position} on, at most {@link #MAX_SLICE_BYTES}. */
    static ByteBuffer slice(int key, long position, int length) {
        int start = (int) Math.floorMod(key * 7919L + position, (long) PERIOD);
        return ByteBuffer.wrap(TABLE, start, length);
    }

    static boolean matches(ByteBuffer received, int key, long position) {
        return received.equals(slice(key, position, received.remaining()));
    }
}
