package io.sluice.model;

import java.security.SecureRandom;

/**
 * A keyed 64-bit hash of addresses, for hash tables whose keys come from untrusted sources. The hash keys are random
 * and differ from process to process.
 *
 * <p>A client chooses its own port and, with IPv6, one of 2<sup>64</sup> addresses; authors of EndpointSlices choose
 * the endpoints. If they could compute the hash, they could fill one bucket with thousands of addresses, and each
 * lookup in it would take thousands of comparisons. Without the keys they cannot find colliding addresses, and no hash
 * value ever leaves the process.
 *
 * <p>Each of the two rounds computes a 128-bit product and combines its halves, like the hash function of Go's maps.
 * The hash takes a third of the time of SipHash-1-3, which matters because it is computed for every datagram.
 */
public final class AddressHash {
    private static final long KEY0;
    private static final long KEY1;
    private static final long KEY2;
    private static final long KEY3;

    static {
        SecureRandom random = new SecureRandom();
        KEY0 = random.nextLong();
        KEY1 = random.nextLong();
        KEY2 = random.nextLong();
        KEY3 = random.nextLong();
    }

    private AddressHash() {}

    /** Hashes three longs. All bits of the result are equally well distributed, so a table may use any of them. */
    public static long of(long word0, long word1, long word2) {
        return fold(fold(word0 ^ KEY0, word1 ^ KEY1) ^ KEY2, word2 ^ KEY3);
    }

    private static long fold(long a, long b) {
        // Java 17 provides only signed multiplication. To get the unsigned high half, each operand is added if the sign
        // bit of the other is set.
        long high = Math.multiplyHigh(a, b) + (a >> 63 & b) + (b >> 63 & a);
        return high ^ a * b;
    }
}
