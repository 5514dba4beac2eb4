package io.sluice.model;

import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * A range of addresses of one family.
 *
 * @param network the first address of the range; all bits after the prefix are zero
 * @param prefix the prefix length, 0 to 32 for IPv4 or 0 to 128 for IPv6
 */
public record Cidr(IpAddress network, int prefix) {
    public Cidr {
        if (prefix < 0 || prefix > network.family().bits()) {
            throw new IllegalArgumentException("prefix length /" + prefix + " is invalid for " + network);
        }
        network = masked(network, prefix);
    }

    /**
     * Parses a range of the form {@code address/prefix}. Bits after the prefix are cleared, as in Kubernetes.
     *
     * @return the range; null if the string is not a valid range
     */
    public static @Nullable Cidr parse(String text) {
        int slash = text.indexOf('/');
        String digits = text.substring(slash + 1);
        if (slash < 0 || digits.isEmpty() || digits.length() > 3) {
            return null;
        }
        for (int i = 0; i < digits.length(); i++) {
            if (digits.charAt(i) < '0' || digits.charAt(i) > '9') {
                return null;
            }
        }
        IpAddress address = IpAddress.parse(text.substring(0, slash));
        int prefix = Integer.parseInt(digits);
        return address == null || prefix > address.family().bits() ? null : new Cidr(address, prefix);
    }

    /** Whether the range contains the address; false for an address of the other family. */
    public boolean contains(IpAddress address) {
        return address.family() == network.family() && masked(address, prefix).equals(network);
    }

    /** Whether this range contains all addresses of another range. */
    public boolean covers(Cidr other) {
        return prefix <= other.prefix && contains(other.network);
    }

    /**
     * Returns the upper half of this range if {@code upper} is true, otherwise the lower half.
     *
     * @throws IllegalArgumentException if the range is a single address
     */
    public Cidr half(boolean upper) {
        if (!upper || prefix == network.family().bits()) {
            return new Cidr(network, prefix + 1);
        }
        int bit = network.family().bits() - 1 - prefix;
        IpAddress middle = bit >= 64
                ? new IpAddress(network.high() | 1L << (bit - 64), network.low(), network.family())
                : new IpAddress(network.high(), network.low() | 1L << bit, network.family());
        return new Cidr(middle, prefix + 1);
    }

    /**
     * Whether any of the ranges contains the address. Called for every connection, so this method does not allocate.
     */
    static boolean anyContains(List<Cidr> ranges, IpAddress address) {
        for (int i = 0; i < ranges.size(); i++) {
            if (ranges.get(i).contains(address)) {
                return true;
            }
        }
        return false;
    }

    /**
     * Maps an address of this range to the address at the same offset in another range.
     *
     * @throws IllegalArgumentException if this range does not contain the address, or the ranges differ in family or
     *     size
     */
    public IpAddress translate(IpAddress address, Cidr other) {
        if (!contains(address) || other.prefix != prefix || other.network.family() != network.family()) {
            throw new IllegalArgumentException("cannot translate " + address + " from " + this + " to " + other);
        }
        return new IpAddress(
                address.high() ^ network.high() ^ other.network.high(),
                address.low() ^ network.low() ^ other.network.low(),
                network.family());
    }

    private static IpAddress masked(IpAddress address, int prefix) {
        if (address.family() == Family.IPV4) {
            return new IpAddress(0, address.low() & 0xffffffffL & ones(prefix + 32), Family.IPV4);
        }
        long high = prefix >= 64 ? address.high() : address.high() & ones(prefix);
        long low = prefix <= 64 ? 0 : address.low() & ones(prefix - 64);
        return new IpAddress(high, low, Family.IPV6);
    }

    /** A long whose upper {@code count} bits are set; {@code count} is 0 to 64. */
    private static long ones(int count) {
        return count == 0 ? 0 : -1L << (64 - count);
    }

    @Override
    public String toString() {
        return network + "/" + prefix;
    }
}
