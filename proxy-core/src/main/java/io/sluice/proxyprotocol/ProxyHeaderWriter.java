package io.sluice.proxyprotocol;

import io.sluice.model.Family;
import io.sluice.model.IpAddress;
import io.sluice.model.TrafficPolicy.ProxyHeader;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;

/**
 * Encodes PROXY headers. Version 2 has no TLVs and is written without allocation, because it precedes every datagram.
 *
 * <p>A header has one address family. If only one of the two addresses is IPv6, the other is written as IPv4-mapped
 * IPv6 address, as HAProxy does. This happens if a client that a trusted peer reported as IPv6 uses an IPv4 frontend,
 * or the reverse. {@code UNKNOWN} would be the alternative in version 1, but would lose the address of the client.
 */
public final class ProxyHeaderWriter {
    /** The maximum length of a header that this class writes; the longest are of version 1. */
    public static final int MAX_BYTES = 104;

    private static final long MAPPED_PREFIX = 0xffffL << 32;

    private ProxyHeaderWriter() {}

    /**
     * Writes a header. Sets no position of the buffer.
     *
     * @param datagram whether the header precedes a datagram; only version 2 has such headers
     * @param into a buffer of any byte order with {@link #MAX_BYTES} after {@code at}
     * @return the number of bytes; 0 for {@link ProxyHeader#NONE}
     */
    public static int write(
            ProxyHeader version, ProxiedAddresses addresses, boolean datagram, ByteBuffer into, int at) {
        return switch (version) {
            case NONE -> 0;
            case V1 -> writeText(addresses, into, at);
            case V2 -> writeBinary(addresses, datagram, into, at);
        };
    }

    private static boolean isIpv6(ProxiedAddresses addresses) {
        return addresses.source().family() == Family.IPV6
                || addresses.destination().family() == Family.IPV6;
    }

    private static int writeText(ProxiedAddresses addresses, ByteBuffer into, int at) {
        boolean ipv6 = isIpv6(addresses);
        String line = (ipv6 ? "PROXY TCP6 " : "PROXY TCP4 ")
                + text(addresses.source(), ipv6) + ' '
                + text(addresses.destination(), ipv6) + ' '
                + addresses.sourcePort() + ' '
                + addresses.destinationPort() + "\r\n";
        byte[] bytes = line.getBytes(StandardCharsets.US_ASCII);
        into.put(at, bytes);
        return bytes.length;
    }

    private static String text(IpAddress address, boolean ipv6) {
        return ipv6 && address.family() == Family.IPV4 ? "::ffff:" + address : address.toString();
    }

    private static int writeBinary(ProxiedAddresses addresses, boolean datagram, ByteBuffer into, int at) {
        boolean ipv6 = isIpv6(addresses);
        int length = ipv6 ? BinaryHeader.INET6_BYTES : BinaryHeader.INET_BYTES;
        int family = ipv6 ? BinaryHeader.INET6 : BinaryHeader.INET;
        int transport = datagram ? BinaryHeader.DATAGRAM : BinaryHeader.STREAM;
        into.put(at, BinaryHeader.SIGNATURE);
        into.put(at + 12, (byte) BinaryHeader.PROXY);
        into.put(at + 13, (byte) (family << 4 | transport));
        writeNumber(length, 2, into, at + 14);
        int next = writeAddress(addresses.source(), ipv6, into, at + BinaryHeader.FIXED_BYTES);
        next = writeAddress(addresses.destination(), ipv6, into, next);
        next = writeNumber(addresses.sourcePort(), 2, into, next);
        next = writeNumber(addresses.destinationPort(), 2, into, next);
        return next - at;
    }

    private static int writeAddress(IpAddress address, boolean ipv6, ByteBuffer into, int at) {
        if (!ipv6) {
            return writeNumber(address.low(), 4, into, at);
        }
        boolean mapped = address.family() == Family.IPV4;
        int next = writeNumber(address.high(), 8, into, at);
        return writeNumber(mapped ? MAPPED_PREFIX | address.low() : address.low(), 8, into, next);
    }

    /** Writes a number in network byte order. The buffer of an event loop has the order of the processor. */
    private static int writeNumber(long value, int bytes, ByteBuffer into, int at) {
        for (int i = 0; i < bytes; i++) {
            into.put(at + i, (byte) (value >>> (8 * (bytes - 1 - i))));
        }
        return at + bytes;
    }
}
