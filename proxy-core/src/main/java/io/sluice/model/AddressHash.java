package io.sluice.model;

import java.security.SecureRandom;

/**
 * A keyed 64-bit hash of addresses, for hash tables whose keys strangers choose. The keys are drawn at random for each
 * process.
 *
 * <p>A client picks its port and, with IPv6, its address among 2<sup>64</sup>; authors of EndpointSlices pick endpoints.
 * With a hash that they can compute, thousands of them share one bucket, and each lookup there takes thousands of
 * comparisons. Without the keys they cannot find two addresses that collide, and no hash leaves the process.
 *
 * <p>Two rounds of a 128-bit multiplication whose halves are folded together, as the Go runtime hashes the keys of its
 * maps: a third of the time of SipHash-1-3, which matters once per datagram.
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

    /** Any bits of the result are as good as any others, and independent of them. */
    public static long of(long word0, long word1, long word2) {
        return fold(fold(word0 ^ KEY0, word1 ^ KEY1) ^ KEY2, word2 ^ KEY3);
    }

    private static long fold(long a, long b) {
        // Java 17 multiplies signed only. Unsigned, the high half has more of each operand whose sign bit the other
        // has.
        long high = Math.multiplyHigh(a, b) + (a >> 63 & b) + (b >> 63 & a);
        return high ^ a * b;
    }
}
