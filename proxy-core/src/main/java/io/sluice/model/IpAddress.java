package io.sluice.model;

import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.UnknownHostException;
import java.nio.ByteBuffer;
import org.jspecify.annotations.Nullable;

/**
 * An IPv4 or IPv6 address. Unlike {@link InetAddress}, this class never resolves names, prints IPv6 addresses in
 * canonical form (RFC 5952) and needs a third of the memory, which matters with 250,000 endpoints.
 *
 * @param high the first 64 bits; 0 for IPv4
 * @param low the last 64 bits; an IPv4 address occupies the lower 32 of them
 * @param family the address family, which determines how many of the bits are used
 */
public record IpAddress(long high, long low, Family family) implements Comparable<IpAddress> {
    private static final long MAPPED_PREFIX = 0xffffL << 32;

    /** Creates an IPv4 address from its 32 bits. */
    public static IpAddress v4(int bits) {
        return new IpAddress(0, bits & 0xffffffffL, Family.IPV4);
    }

    /**
     * Creates an address from 4 or 16 bytes in network order, starting at {@code offset}. An IPv4-mapped IPv6 address
     * becomes IPv4.
     */
    public static IpAddress of(byte[] bytes, int offset, int length) {
        if (length == 4) {
            // Called once per connection, so this method does not allocate a buffer object.
            return v4(bytes[offset] << 24
                    | (bytes[offset + 1] & 0xff) << 16
                    | (bytes[offset + 2] & 0xff) << 8
                    | (bytes[offset + 3] & 0xff));
        }
        if (length != 16) {
            throw new IllegalArgumentException("an address must have 4 or 16 bytes, not " + length);
        }
        ByteBuffer buffer = ByteBuffer.wrap(bytes, offset, length);
        return unmapped(buffer.getLong(), buffer.getLong());
    }

    /** Converts an address from the JDK's class. The zone (interface) of an IPv6 address is dropped. */
    public static IpAddress of(InetAddress address) {
        byte[] bytes = address.getAddress();
        return of(bytes, 0, bytes.length);
    }

    /**
     * Parses an address as Kubernetes does: a number with leading zeros in an IPv4 address is decimal, an IPv4-mapped
     * IPv6 address becomes IPv4, and a zone is invalid.
     *
     * @return the address; null if the string is not a valid address
     */
    public static @Nullable IpAddress parse(String text) {
        if (text.indexOf(':') < 0) {
            long bits = parseV4(text, 0);
            return bits < 0 ? null : v4((int) bits);
        }
        return parseV6(text);
    }

    private static long parseV4(String text, int start) {
        long bits = 0;
        int octets = 0;
        int at = start;
        while (octets < 4) {
            int value = 0;
            int digits = 0;
            while (at < text.length() && isDigit(text.charAt(at)) && value <= 255) {
                value = value * 10 + text.charAt(at++) - '0';
                digits++;
            }
            if (digits == 0 || value > 255) {
                return -1;
            }
            bits = bits << 8 | value;
            octets++;
            if (octets < 4 && (at >= text.length() || text.charAt(at++) != '.')) {
                return -1;
            }
        }
        return at == text.length() ? bits : -1;
    }

    private static @Nullable IpAddress parseV6(String text) {
        int[] groups = new int[8];
        int count = 0;
        int gap = -1;
        int at = 0;
        if (text.startsWith("::")) {
            gap = 0;
            at = 2;
        }
        while (at < text.length()) {
            int end = at;
            while (end < text.length() && Character.digit(text.charAt(end), 16) >= 0 && text.charAt(end) < 128) {
                end++;
            }
            if (end < text.length() && text.charAt(end) == '.') {
                long v4 = parseV4(text, at);
                if (v4 < 0 || count > 6) {
                    return null;
                }
                groups[count++] = (int) (v4 >>> 16);
                groups[count++] = (int) (v4 & 0xffff);
                at = text.length();
                break;
            }
            if (end == at || end - at > 4 || count == 8) {
                return null;
            }
            groups[count++] = Integer.parseInt(text, at, end, 16);
            at = end;
            if (at == text.length()) {
                break;
            }
            if (text.charAt(at++) != ':' || at == text.length()) {
                return null;
            }
            if (text.charAt(at) == ':') {
                if (gap >= 0) {
                    return null;
                }
                gap = count;
                at++;
            }
        }
        return fromGroups(groups, count, gap);
    }

    private static @Nullable IpAddress fromGroups(int[] groups, int count, int gap) {
        if (gap < 0 ? count != 8 : count > 7) {
            return null;
        }
        long high = 0;
        long low = 0;
        int missing = 8 - count;
        for (int i = 0; i < 8; i++) {
            int group = gap < 0 || i < gap ? groups[i] : i < gap + missing ? 0 : groups[i - missing];
            if (i < 4) {
                high = high << 16 | group;
            } else {
                low = low << 16 | group;
            }
        }
        return unmapped(high, low);
    }

    private static IpAddress unmapped(long high, long low) {
        return high == 0 && (low >>> 32) == MAPPED_PREFIX >>> 32
                ? v4((int) low)
                : new IpAddress(high, low, Family.IPV6);
    }

    private static boolean isDigit(char c) {
        return c >= '0' && c <= '9';
    }

    /** Whether this is an address of 127.0.0.0/8 or ::1. */
    public boolean isLoopback() {
        return family == Family.IPV6 ? high == 0 && low == 1 : low >>> 24 == 127;
    }

    /** Returns the address 0.0.0.0 or ::, which represents all addresses of the family. */
    public static IpAddress unspecified(Family family) {
        return new IpAddress(0, 0, family);
    }

    /** Whether this is 0.0.0.0 or ::. */
    public boolean isUnspecified() {
        return high == 0 && low == 0;
    }

    /** The 4 or 16 bytes of the address in network order. */
    public byte[] toBytes() {
        return family == Family.IPV6
                ? ByteBuffer.allocate(16).putLong(high).putLong(low).array()
                : ByteBuffer.allocate(4).putInt((int) low).array();
    }

    /** Converts this address to the JDK's class. */
    public InetAddress toInetAddress() {
        try {
            return InetAddress.getByAddress(toBytes());
        } catch (UnknownHostException e) {
            throw new AssertionError("4 or 16 bytes are always a valid address", e);
        }
    }

    /** Converts this address and a port to the JDK's class for socket addresses. */
    public InetSocketAddress toSocketAddress(int port) {
        return new InetSocketAddress(toInetAddress(), port);
    }

    /** The address and a port as a string: {@code 10.0.0.1:80} or {@code [fd00::1]:80}. */
    public String withPort(int port) {
        return family == Family.IPV6 ? "[" + this + "]:" + port : this + ":" + port;
    }

    @Override
    public int compareTo(IpAddress other) {
        if (family != other.family) {
            return family.compareTo(other.family);
        }
        int byHigh = Long.compareUnsigned(high, other.high);
        return byHigh != 0 ? byHigh : Long.compareUnsigned(low, other.low);
    }

    /**
     * A keyed hash, which differs from process to process. Clients and tenants choose addresses, but must not be able
     * to choose the hash buckets of these addresses.
     */
    @Override
    public int hashCode() {
        return (int) AddressHash.of(high, low, family.bits());
    }

    /** The canonical form: dotted decimal, or RFC 5952 (lower case, the longest run of zero groups as {@code ::}). */
    @Override
    public String toString() {
        if (family == Family.IPV4) {
            return (low >>> 24) + "." + (low >>> 16 & 0xff) + "." + (low >>> 8 & 0xff) + "." + (low & 0xff);
        }
        int bestStart = -1;
        int bestLength = 1;
        for (int i = 0; i < 8; i++) {
            int run = 0;
            while (i + run < 8 && group(i + run) == 0) {
                run++;
            }
            if (run > bestLength) {
                bestStart = i;
                bestLength = run;
            }
            i += run;
        }
        StringBuilder text = new StringBuilder(39);
        for (int i = 0; i < 8; i++) {
            if (i == bestStart) {
                text.append("::");
                i += bestLength - 1;
                continue;
            }
            if (i > 0 && text.charAt(text.length() - 1) != ':') {
                text.append(':');
            }
            text.append(Integer.toHexString(group(i)));
        }
        return text.toString();
    }

    private int group(int index) {
        long half = index < 4 ? high : low;
        return (int) (half >>> (48 - 16 * (index & 3)) & 0xffff);
    }
}
