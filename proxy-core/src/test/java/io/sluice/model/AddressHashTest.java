package io.sluice.model;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;

class AddressHashTest {
    private static final int ADDRESSES = 16_000;

    /** Among 16,000 random 32-bit hashes, one run in thirty has a collision. */
    private static final int MAX_COLLISIONS = 10;

    @Test
    void spreadsAddressesWithEqualSums() {
        List<IpAddress> addresses = new ArrayList<>();
        for (long i = 0; i < ADDRESSES; i++) {
            addresses.add(new IpAddress(0x20010db8_00000000L + i, (0x7fffffffL - i) << 32, Family.IPV6));
        }
        assertThat(addresses.stream()
                        .map(address -> address.toInetAddress().hashCode())
                        .distinct())
                .hasSize(1);
        assertHashesDiffer(addresses);
    }

    @Test
    void spreadsAddressesThatCollideInARecordsDefaultHash() {
        List<IpAddress> addresses = new ArrayList<>();
        for (long i = 0; i < ADDRESSES; i++) {
            addresses.add(new IpAddress(0x20010db8_00000000L, i << 32 | i, Family.IPV6));
        }
        assertThat(addresses.stream()
                        .map(address -> 31 * Long.hashCode(address.high()) + Long.hashCode(address.low()))
                        .distinct())
                .hasSize(1);
        assertHashesDiffer(addresses);
    }

    private static void assertHashesDiffer(List<IpAddress> addresses) {
        assertThat(addresses.stream().map(IpAddress::hashCode).distinct())
                .hasSizeGreaterThan(ADDRESSES - MAX_COLLISIONS);
        assertThat(addresses.stream()
                        .map(address -> new Endpoint(address, 53).hashCode())
                        .distinct())
                .hasSizeGreaterThan(ADDRESSES - MAX_COLLISIONS);
    }

    @Test
    void everyInputBitChangesHalfOfTheOutputBits() {
        int samples = 4_000;
        Random random = new Random(1);
        for (int bit = 0; bit < 3 * Long.SIZE; bit++) {
            int[] changed = new int[Long.SIZE];
            for (int i = 0; i < samples; i++) {
                long[] words = {random.nextLong(), random.nextLong(), random.nextLong()};
                long before = AddressHash.of(words[0], words[1], words[2]);
                words[bit / Long.SIZE] ^= 1L << bit % Long.SIZE;
                long difference = before ^ AddressHash.of(words[0], words[1], words[2]);
                for (int out = 0; out < Long.SIZE; out++) {
                    changed[out] += (int) (difference >>> out & 1);
                }
            }
            for (int out = 0; out < Long.SIZE; out++) {
                assertThat((double) changed[out] / samples)
                        .as("share of changes of result bit %d when input bit %d changes", out, bit)
                        .isBetween(0.4, 0.6);
            }
        }
    }

    @Test
    void equalAddressesHaveEqualHashes() {
        IpAddress address = new IpAddress(0x20010db8_00000000L, 7, Family.IPV6);
        assertThat(new IpAddress(address.high(), address.low(), Family.IPV6)).hasSameHashCodeAs(address);
    }
}
