package io.sluice.proxyprotocol;

import io.sluice.model.IpAddress;
import java.nio.ByteBuffer;
import java.util.zip.CRC32C;

/**
 * Format of version 2: 16 bytes with signature, version and command, family and transport, and the length of the rest;
 * then two addresses and two ports; then any number of TLVs (type, length, value).
 */
final class BinaryHeader {
    static final byte[] SIGNATURE = {'\r', '\n', '\r', '\n', 0, '\r', '\n', 'Q', 'U', 'I', 'T', '\n'};

    /** The length of the part before the addresses. */
    static final int FIXED_BYTES = 16;

    // Version and command.
    private static final int COMMAND_AT = 12;
    static final int LOCAL = 0x20;
    static final int PROXY = 0x21;

    // Family in the upper half of a byte, transport in the lower half.
    private static final int FAMILY_AT = 13;
    static final int INET = 1;
    static final int INET6 = 2;
    private static final int UNIX = 3;
    static final int STREAM = 1;
    static final int DATAGRAM = 2;

    private static final int LENGTH_AT = 14;

    // Lengths of the addresses and ports of a family.
    static final int INET_BYTES = 12;
    static final int INET6_BYTES = 36;
    private static final int UNIX_BYTES = 216;

    /** The length of type and length of a TLV. */
    private static final int TLV_START_BYTES = 3;

    private static final int TLV_CRC32C = 3;

    private BinaryHeader() {}

    /** Whether the byte at an index of the fixed part is valid, given the bytes before it. */
    static boolean isValid(byte[] header, int index) {
        if (index < SIGNATURE.length) {
            return header[index] == SIGNATURE[index];
        }
        int value = header[index];
        return switch (index) {
            case COMMAND_AT -> value == LOCAL || value == PROXY;
            // LOCAL means to ignore all bytes after the command.
            case FAMILY_AT -> header[COMMAND_AT] == LOCAL || ((value >>> 4 & 0xf) <= UNIX && (value & 0xf) <= DATAGRAM);
            default -> true;
        };
    }

    /** Returns the length of the whole header according to its fixed part, or -1 if it is shorter than its addresses. */
    static int length(byte[] header) {
        int rest = unsignedShort(header, LENGTH_AT);
        return rest < addressBytes(header) ? -1 : FIXED_BYTES + rest;
    }

    private static int addressBytes(byte[] header) {
        if (header[COMMAND_AT] == LOCAL) {
            return 0;
        }
        return switch (header[FAMILY_AT] >>> 4) {
            case INET -> INET_BYTES;
            case INET6 -> INET6_BYTES;
            case UNIX -> UNIX_BYTES;
            default -> 0;
        };
    }

    /** Decodes a whole header, which fills the array. */
    static DecodedHeader decode(byte[] header) {
        int addressBytes = addressBytes(header);
        if (addressBytes == 0) {
            // Without a family, the beginning of the TLVs is not known.
            return DecodedHeader.WITHOUT_ADDRESSES;
        }
        if (!hasValidTlvs(header, FIXED_BYTES + addressBytes)) {
            return DecodedHeader.MALFORMED;
        }
        return switch (header[FAMILY_AT]) {
            case INET << 4 | STREAM -> DecodedHeader.of(addresses(header, 4));
            case INET6 << 4 | STREAM -> DecodedHeader.of(addresses(header, 16));
            default -> DecodedHeader.WITHOUT_ADDRESSES;
        };
    }

    private static ProxiedAddresses addresses(byte[] header, int bytes) {
        int destinationAt = FIXED_BYTES + bytes;
        int portsAt = destinationAt + bytes;
        return new ProxiedAddresses(
                IpAddress.of(header, FIXED_BYTES, bytes),
                unsignedShort(header, portsAt),
                IpAddress.of(header, destinationAt, bytes),
                unsignedShort(header, portsAt + 2));
    }

    private static int unsignedShort(byte[] bytes, int at) {
        return (bytes[at] & 0xff) << 8 | (bytes[at + 1] & 0xff);
    }

    /** Whether the TLVs end with the header, and the checksum is correct if there is one. */
    private static boolean hasValidTlvs(byte[] header, int start) {
        int checksumAt = -1;
        int at = start;
        while (at < header.length) {
            if (header.length - at < TLV_START_BYTES) {
                return false;
            }
            int valueAt = at + TLV_START_BYTES;
            int valueBytes = unsignedShort(header, at + 1);
            if (valueBytes > header.length - valueAt) {
                return false;
            }
            if (header[at] == TLV_CRC32C) {
                if (valueBytes != Integer.BYTES || checksumAt >= 0) {
                    return false;
                }
                checksumAt = valueAt;
            }
            at = valueAt + valueBytes;
        }
        return checksumAt < 0 || hasChecksum(header, checksumAt);
    }

    /** Whether the checksum of the header, calculated with zeros in its place, is in the header. */
    private static boolean hasChecksum(byte[] header, int checksumAt) {
        CRC32C checksum = new CRC32C();
        checksum.update(header, 0, checksumAt);
        checksum.update(new byte[Integer.BYTES]);
        int next = checksumAt + Integer.BYTES;
        checksum.update(header, next, header.length - next);
        return (int) checksum.getValue() == ByteBuffer.wrap(header).getInt(checksumAt);
    }
}
