package io.sluice.proxyprotocol;

import io.sluice.model.IpAddress;
import java.nio.charset.StandardCharsets;
import org.jspecify.annotations.Nullable;

/** Format of version 1: one line of text, such as {@code PROXY TCP4 192.0.2.1 10.0.0.1 54321 80}. */
final class TextHeader {
    static final byte[] START = {'P', 'R', 'O', 'X', 'Y', ' '};

    /** The maximum length with CR and LF. */
    static final int MAX_BYTES = 107;

    private TextHeader() {}

    /**
     * Decodes a line of the given length with CR and LF. Each field must have the only form that a conforming sender
     * writes: single spaces, numbers without signs and leading zeros, addresses of the family that the line names.
     */
    static DecodedHeader decode(byte[] header, int length) {
        if (header[length - 2] != '\r' || header[length - 1] != '\n') {
            return DecodedHeader.MALFORMED;
        }
        String line = new String(header, START.length, length - START.length - 2, StandardCharsets.ISO_8859_1);
        if (line.equals("UNKNOWN") || line.startsWith("UNKNOWN ")) {
            return DecodedHeader.WITHOUT_ADDRESSES;
        }
        String[] fields = line.split(" ", -1);
        if (fields.length != 5 || !(fields[0].equals("TCP4") || fields[0].equals("TCP6"))) {
            return DecodedHeader.MALFORMED;
        }
        boolean ipv6 = fields[0].equals("TCP6");
        IpAddress source = ipv6 ? parseIpv6(fields[1]) : parseIpv4(fields[1]);
        IpAddress destination = ipv6 ? parseIpv6(fields[2]) : parseIpv4(fields[2]);
        int sourcePort = parsePort(fields[3]);
        int destinationPort = parsePort(fields[4]);
        return source == null || destination == null || sourcePort < 0 || destinationPort < 0
                ? DecodedHeader.MALFORMED
                : DecodedHeader.of(new ProxiedAddresses(source, sourcePort, destination, destinationPort));
    }

    private static @Nullable IpAddress parseIpv4(String text) {
        IpAddress address = IpAddress.parse(text);
        return address != null && address.toString().equals(text) && text.indexOf(':') < 0 ? address : null;
    }

    private static @Nullable IpAddress parseIpv6(String text) {
        int colon = text.lastIndexOf(':');
        if (colon < 0 || (text.indexOf('.') >= 0 && parseIpv4(text.substring(colon + 1)) == null)) {
            return null;
        }
        return IpAddress.parse(text);
    }

    /** Returns the port, or -1 if the text is not a port. */
    private static int parsePort(String text) {
        if (text.isEmpty() || text.length() > 5 || (text.length() > 1 && text.charAt(0) == '0')) {
            return -1;
        }
        int port = 0;
        for (int i = 0; i < text.length(); i++) {
            int digit = text.charAt(i) - '0';
            if (digit < 0 || digit > 9) {
                return -1;
            }
            port = port * 10 + digit;
        }
        return port <= 0xffff ? port : -1;
    }
}
