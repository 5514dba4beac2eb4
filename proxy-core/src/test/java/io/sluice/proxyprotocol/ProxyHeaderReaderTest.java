package io.sluice.proxyprotocol;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatIllegalStateException;

import io.sluice.proxyprotocol.ProxyHeaderReader.Result;
import java.io.ByteArrayOutputStream;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.Objects;
import java.util.Random;
import java.util.stream.Stream;
import java.util.zip.CRC32C;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

class ProxyHeaderReaderTest {
    private static final String SIGNATURE = "0d0a0d0a000d0a515549540a";
    /** 192.0.2.1:54321 to 10.0.0.1:80. */
    private static final String INET = "c0000201" + "0a000001" + "d431" + "0050";
    /** [2001:db8::1]:54321 to [fd00::a]:80. */
    private static final String INET6 =
            "20010db8000000000000000000000001" + "fd00000000000000000000000000000a" + "d431" + "0050";

    private static final String INET_ADDRESSES = "192.0.2.1:54321 10.0.0.1:80";
    private static final String INET6_ADDRESSES = "[2001:db8::1]:54321 [fd00::a]:80";
    private static final String PAYLOAD = "PROXY UNKNOWN\r\nGET / HTTP/1.1\r\n\r\n";

    // ---- headers

    private static byte[] text(String line) {
        return line.getBytes(StandardCharsets.ISO_8859_1);
    }

    /** A header of version 2, with the length of its rest. */
    private static byte[] binary(String commandAndFamily, String rest) {
        return binary(commandAndFamily, rest.length() / 2, rest);
    }

    private static byte[] binary(String commandAndFamily, int length, String rest) {
        return HexFormat.of().parseHex(SIGNATURE + commandAndFamily + String.format("%04x", length) + rest);
    }

    private static String tlv(String type, int length) {
        return type + String.format("%04x", length) + "5a".repeat(length);
    }

    /** A header with TLVs before and after a checksum TLV. */
    private static byte[] withChecksum(String commandAndFamily, String addresses, int error) {
        String before = addresses + tlv("01", 2);
        byte[] header = binary(commandAndFamily, before + "03000400000000" + tlv("04", 5));
        CRC32C checksum = new CRC32C();
        checksum.update(header);
        ByteBuffer.wrap(header).putInt(16 + before.length() / 2 + 3, (int) checksum.getValue() ^ error);
        return header;
    }

    private static byte[] concat(byte[] first, byte[] second) {
        ByteArrayOutputStream both = new ByteArrayOutputStream();
        both.writeBytes(first);
        both.writeBytes(second);
        return both.toByteArray();
    }

    /** Valid headers and the addresses in them; null for none. */
    static Stream<Arguments> valid() {
        return Stream.of(
                // The examples of the specification.
                good(
                        "PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n",
                        "255.255.255.255:65535 255.255.255.255:65535"),
                good(
                        "PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"
                                + " ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n",
                        "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535"
                                + " [ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535"),
                good("PROXY UNKNOWN\r\n", null),
                good(
                        "PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"
                                + " ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n",
                        null),
                good("PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n", "192.168.0.1:56324 192.168.0.11:443"),
                // Version 1
                good("PROXY TCP4 0.0.0.0 10.0.0.1 0 1\r\n", "0.0.0.0:0 10.0.0.1:1"),
                good("PROXY TCP6 2001:db8::1 fd00::a 54321 80\r\n", INET6_ADDRESSES),
                good("PROXY TCP6 2001:0DB8:0::0001 :: 1 2\r\n", "[2001:db8::1]:1 [::]:2"),
                good("PROXY TCP6 ::ffff:192.0.2.1 ::ffff:a00:1 54321 80\r\n", INET_ADDRESSES),
                good("PROXY TCP6 ::ffff:192.0.2.1 fd00::a 1 2\r\n", "192.0.2.1:1 [fd00::a]:2"),
                good("PROXY UNKNOWN \r\n", null),
                good("PROXY UNKNOWN \0  \u00ff TCP4 \t\r\n", null),
                // Version 2
                good(binary("2111", INET), INET_ADDRESSES),
                good(binary("2121", INET6), INET6_ADDRESSES),
                good(
                        binary("2121", "00000000000000000000ffffc0000201" + "00000000000000000000ffff0a000001d4310050"),
                        INET_ADDRESSES),
                good(binary("2111", INET + tlv("02", 11) + tlv("04", 0) + tlv("ea", 300)), INET_ADDRESSES),
                good(binary("2121", INET6 + tlv("04", 4096 - 16 - 36 - 3)), INET6_ADDRESSES),
                good(withChecksum("2111", INET, 0), INET_ADDRESSES),
                good(withChecksum("2121", INET6, 0), INET6_ADDRESSES),
                good(withChecksum("2131", "2f".repeat(216), 0), null),
                good(binary("2131", "2f".repeat(216)), null),
                good(binary("2132", "2f".repeat(216)), null),
                // LOCAL: whatever follows the command is ignored.
                good(binary("2000", ""), null),
                good(binary("2000", "0102"), null),
                good(binary("2011", INET), null),
                good(binary("20ff", "ff"), null),
                // Unspecified or other than TCP.
                good(binary("2100", ""), null),
                good(binary("2100", "ff"), null),
                good(binary("2101", ""), null),
                good(binary("2110", INET), null),
                good(binary("2120", INET6), null),
                good(binary("2112", INET), null),
                good(binary("2122", INET6), null));
    }

    private static Arguments good(String line, @Nullable String addresses) {
        return good(text(line), addresses);
    }

    private static Arguments good(byte[] header, @Nullable String addresses) {
        return Arguments.of(header, addresses);
    }

    private static @Nullable String string(@Nullable ProxiedAddresses addresses) {
        return addresses == null
                ? null
                : addresses.source().withPort(addresses.sourcePort()) + " "
                        + addresses.destination().withPort(addresses.destinationPort());
    }

    /** Malformed headers, and the number of bytes after which that is known. */
    static Stream<Arguments> malformed() {
        return Stream.of(
                // Other protocols
                bad("GET / HTTP/1.1\r\n", 1),
                bad("proxy TCP4 192.0.2.1 10.0.0.1 1 2\r\n", 1),
                bad(" PROXY TCP4 192.0.2.1 10.0.0.1 1 2\r\n", 1),
                bad("\u0016\u0003\u0001\u0002", 1),
                bad("\0", 1),
                bad("\n", 1),
                bad("POST / HTTP/1.1\r\n", 2),
                bad("PROPFIND / HTTP/1.1\r\n", 4),
                bad("PROXY\r\n", 6),
                bad("PROXY\tTCP4", 6),
                bad("\r\n\r\n\r", 5),
                bad("\r\n\r\n\0\r\nQUIT\r", 12),
                // Version 1
                badLine(""),
                badLine(" "),
                badLine("TCP"),
                badLine("TCP4"),
                badLine("TCP5 192.0.2.1 10.0.0.1 1 2"),
                badLine("UDP4 192.0.2.1 10.0.0.1 1 2"),
                badLine("tcp4 192.0.2.1 10.0.0.1 1 2"),
                badLine("unknown"),
                badLine("UNKNOWNS"),
                badLine(" UNKNOWN"),
                badLine(" TCP4 192.0.2.1 10.0.0.1 1 2"),
                badLine("TCP4  192.0.2.1 10.0.0.1 1 2"),
                badLine("TCP4 192.0.2.1  10.0.0.1 1 2"),
                badLine("TCP4 192.0.2.1 10.0.0.1  1 2"),
                badLine("TCP4 192.0.2.1 10.0.0.1 1  2"),
                badLine("TCP4 192.0.2.1 10.0.0.1 1 2 "),
                badLine("TCP4\t192.0.2.1 10.0.0.1 1 2"),
                badLine("TCP4 192.0.2.1 10.0.0.1 1"),
                badLine("TCP4 192.0.2.1 10.0.0.1 1 "),
                badLine("TCP4 192.0.2.1 10.0.0.1 1 2 3"),
                badLine("TCP4 192.0.2.1 10.0.0.1 01 2"),
                badLine("TCP4 192.0.2.1 10.0.0.1 00 2"),
                badLine("TCP4 192.0.2.1 10.0.0.1 +1 2"),
                badLine("TCP4 192.0.2.1 10.0.0.1 -1 2"),
                badLine("TCP4 192.0.2.1 10.0.0.1 1 65536"),
                badLine("TCP4 192.0.2.1 10.0.0.1 1 99999"),
                badLine("TCP4 192.0.2.1 10.0.0.1 1 4294967297"),
                badLine("TCP4 192.0.2.1 10.0.0.1 1 0x2"),
                badLine("TCP4 192.0.2.1 10.0.0.1 1 2\0"),
                badLine("TCP4 192.0.2.1 10.0.0.1 1 \u00b2"),
                badLine("TCP4 192.0.2.01 10.0.0.1 1 2"),
                badLine("TCP4 192.0.2.256 10.0.0.1 1 2"),
                badLine("TCP4 192.0.2 10.0.0.1 1 2"),
                badLine("TCP4 192.0.2.1. 10.0.0.1 1 2"),
                badLine("TCP4 3221225985 10.0.0.1 1 2"),
                badLine("TCP4 client 10.0.0.1 1 2"),
                badLine("TCP4 192.0.2.1 10.0.0.01 1 2"),
                badLine("TCP4 2001:db8::1 fd00::a 1 2"),
                badLine("TCP4 192.0.2.1 fd00::a 1 2"),
                badLine("TCP4 ::ffff:192.0.2.1 ::ffff:10.0.0.1 1 2"),
                badLine("TCP6 192.0.2.1 10.0.0.1 1 2"),
                badLine("TCP6 2001:db8::1 10.0.0.1 1 2"),
                badLine("TCP6 2001:db8::1::2 fd00::a 1 2"),
                badLine("TCP6 2001:db8:1 fd00::a 1 2"),
                badLine("TCP6 2001:db8::12345 fd00::a 1 2"),
                badLine("TCP6 fe80::1%eth0 fd00::a 1 2"),
                badLine("TCP6 [2001:db8::1] fd00::a 1 2"),
                badLine("TCP6 ::ffff:192.0.2.01 fd00::a 1 2"),
                badLine("TCP6 ::ffff:192.0.2 fd00::a 1 2"),
                bad("PROXY TCP4 192.0.2.1 10.0.0.1 1 2\n", 34),
                bad("PROXY TCP4 192.0.2.1 10.0.0.1 1 2\r\r\n", 35),
                bad("PROXY TCP4 192.0.2.1\r 10.0.0.1 1 2\r\n", 22),
                bad("PROXY UNKNOWN\n", 14),
                bad("PROXY UNKNOWN a\rb\r\n", 17),
                bad("PROXY UNKNOWN" + " ".repeat(93) + "\r\n", 107),
                bad("PROXY " + "A".repeat(200), 107),
                // Version 2
                bad(binary("1111", INET), 13),
                bad(binary("3111", INET), 13),
                bad(binary("0111", INET), 13),
                bad(binary("2211", INET), 13),
                bad(binary("2f11", INET), 13),
                bad(binary("2141", INET), 14),
                bad(binary("21f1", INET), 14),
                bad(binary("2113", INET), 14),
                bad(binary("211f", INET), 14),
                bad(binary("2111", 0, ""), 16),
                bad(binary("2111", 11, INET), 16),
                bad(binary("2112", 11, INET), 16),
                bad(binary("2110", 11, INET), 16),
                bad(binary("2121", 35, INET6), 16),
                bad(binary("2131", 215, "00".repeat(216)), 16),
                bad(binary("2111", 4081, INET + tlv("04", 4081 - 12 - 3)), 16),
                bad(binary("2000", 4081, "00".repeat(4081)), 16),
                bad(binary("2111", 65535, INET), 16),
                // TLVs
                badTlvs("04"),
                badTlvs("0400"),
                badTlvs("040001"),
                badTlvs("04000300"),
                badTlvs("04ffff"),
                badTlvs(tlv("04", 2) + "0000"),
                badTlvs("03000400000000"),
                badTlvs("030003000000"),
                badTlvs("0300050000000000"),
                bad(withChecksum("2111", INET, 1), 16 + 12 + 5 + 7 + 8),
                bad(withChecksum("2121", INET6, 1 << 31), 16 + 36 + 5 + 7 + 8),
                bad(withChecksum("2131", "2f".repeat(216), 1), 16 + 216 + 5 + 7 + 8));
    }

    private static Arguments bad(String bytes, int known) {
        return bad(text(bytes), known);
    }

    private static Arguments bad(byte[] bytes, int known) {
        return Arguments.of(bytes, known);
    }

    private static Arguments badLine(String line) {
        byte[] bytes = text("PROXY " + line + "\r\n");
        return bad(bytes, bytes.length);
    }

    private static Arguments badTlvs(String tlvs) {
        byte[] bytes = binary("2111", INET + tlvs);
        return bad(bytes, bytes.length);
    }

    // ---- tests

    @ParameterizedTest
    @MethodSource("valid")
    void readsHeader(byte[] header, @Nullable String addresses) {
        byte[] bytes = concat(header, text(PAYLOAD));
        ProxyHeaderReader reader = new ProxyHeaderReader();
        assertThat(reader.feed(ByteBuffer.wrap(bytes), 0, bytes.length)).isEqualTo(Result.COMPLETE);
        assertThat(reader.consumed()).isEqualTo(header.length);
        assertThat(string(reader.addresses())).isEqualTo(addresses);
    }

    /** The buffer is direct, and the bytes are not at its beginning, as on an event loop. */
    @ParameterizedTest
    @MethodSource("valid")
    void readsHeaderSplitAtAnyByte(byte[] header, @Nullable String addresses) {
        byte[] bytes = concat(header, text(PAYLOAD));
        int start = 7;
        ByteBuffer buffer = ByteBuffer.allocateDirect(start + bytes.length).put(start, bytes);
        for (int split = 0; split < header.length; split++) {
            ProxyHeaderReader reader = new ProxyHeaderReader();
            assertThat(reader.feed(buffer, start, start + split)).isEqualTo(Result.NEED_MORE);
            assertThat(reader.consumed()).isEqualTo(split);
            assertThat(reader.feed(buffer, start + split, start + bytes.length)).isEqualTo(Result.COMPLETE);
            assertThat(reader.consumed()).isEqualTo(header.length - split);
            assertThat(string(reader.addresses())).isEqualTo(addresses);
        }
        assertThat(buffer.position()).isZero();
    }

    @ParameterizedTest
    @MethodSource("valid")
    void readsHeaderByteByByte(byte[] header, @Nullable String addresses) {
        ProxyHeaderReader reader = new ProxyHeaderReader();
        ByteBuffer buffer = ByteBuffer.wrap(header);
        for (int i = 0; i < header.length; i++) {
            assertThat(reader.feed(buffer, i, i + 1))
                    .isEqualTo(i < header.length - 1 ? Result.NEED_MORE : Result.COMPLETE);
            assertThat(reader.consumed()).isEqualTo(1);
        }
        assertThat(string(reader.addresses())).isEqualTo(addresses);
    }

    @ParameterizedTest
    @MethodSource("malformed")
    void rejectsMalformedHeaderAtFirstInvalidByte(byte[] bytes, int known) {
        ProxyHeaderReader whole = new ProxyHeaderReader();
        assertThat(whole.feed(ByteBuffer.wrap(bytes), 0, bytes.length)).isEqualTo(Result.MALFORMED);
        assertThat(whole.addresses()).isNull();

        ProxyHeaderReader split = new ProxyHeaderReader();
        ByteBuffer buffer = ByteBuffer.wrap(bytes);
        for (int i = 0; i < known - 1; i++) {
            assertThat(split.feed(buffer, i, i + 1)).as("after %s bytes", i + 1).isEqualTo(Result.NEED_MORE);
        }
        assertThat(split.feed(buffer, known - 1, known)).isEqualTo(Result.MALFORMED);
    }

    @Test
    void readsNothingFromAnEmptyRange() {
        ProxyHeaderReader reader = new ProxyHeaderReader();
        assertThat(reader.feed(ByteBuffer.allocate(0), 0, 0)).isEqualTo(Result.NEED_MORE);
        assertThat(reader.consumed()).isZero();
    }

    @Test
    void readsNothingAfterTheHeader() {
        ProxyHeaderReader reader = new ProxyHeaderReader();
        ByteBuffer buffer = ByteBuffer.wrap(text("PROXY UNKNOWN\r\n"));
        reader.feed(buffer, 0, buffer.capacity());
        assertThatIllegalStateException().isThrownBy(() -> reader.feed(buffer, 0, 1));
    }

    /** The reader never throws, waits for more than the maximum, or takes bytes beyond those it was given. */
    @ParameterizedTest
    @ValueSource(longs = {1, 2, 3, 4})
    void endsForAnyBytes(long seed) {
        Random random = new Random(seed);
        List<byte[]> headers = valid().map(each -> (byte[]) each.get()[0]).toList();
        for (int run = 0; run < 50_000; run++) {
            byte[] bytes = mutated(headers.get(random.nextInt(headers.size())), random);
            ProxyHeaderReader reader = new ProxyHeaderReader();
            ByteBuffer buffer = ByteBuffer.wrap(bytes);
            Result result = Result.NEED_MORE;
            int at = 0;
            while (result == Result.NEED_MORE && at < bytes.length) {
                int to = at + 1 + random.nextInt(random.nextBoolean() ? 3 : bytes.length - at);
                to = Math.min(to, bytes.length);
                result = reader.feed(buffer, at, to);
                assertThat(reader.consumed()).isBetween(0, to - at);
                assertThat(result == Result.NEED_MORE && reader.consumed() < to - at)
                        .isFalse();
                at += reader.consumed();
            }
            assertThat(at).isLessThanOrEqualTo(ProxyHeaderReader.MAX_BYTES);
            if (at == ProxyHeaderReader.MAX_BYTES || (at >= 107 && bytes[0] == 'P')) {
                assertThat(result).isNotEqualTo(Result.NEED_MORE);
            }
            if (result != Result.COMPLETE) {
                assertThat(reader.addresses()).isNull();
            }
            assertSameInOneCall(bytes, result, at, reader);
        }
    }

    private static void assertSameInOneCall(byte[] bytes, Result result, int length, ProxyHeaderReader split) {
        ProxyHeaderReader whole = new ProxyHeaderReader();
        assertThat(whole.feed(ByteBuffer.wrap(bytes), 0, bytes.length)).isEqualTo(result);
        assertThat(whole.consumed()).isEqualTo(length);
        assertThat(Objects.equals(whole.addresses(), split.addresses())).isTrue();
    }

    /** Random bytes, or a header with some changed, inserted or missing bytes, and random bytes after it. */
    private static byte[] mutated(byte[] header, Random random) {
        byte[] tail = new byte[random.nextInt(4) == 0 ? random.nextInt(6000) : random.nextInt(20)];
        random.nextBytes(tail);
        if (random.nextInt(10) == 0) {
            return tail;
        }
        byte[] bytes = header.clone();
        for (int i = random.nextInt(4); i > 0; i--) {
            int at = random.nextInt(Math.min(bytes.length, 64));
            switch (random.nextInt(4)) {
                case 0 -> bytes[at] = (byte) random.nextInt();
                case 1 -> bytes[at] ^= (byte) (1 << random.nextInt(8));
                case 2 -> bytes = concat(Arrays.copyOf(bytes, at + 1), Arrays.copyOfRange(bytes, at, bytes.length));
                default -> bytes = concat(Arrays.copyOf(bytes, at), Arrays.copyOfRange(bytes, at + 1, bytes.length));
            }
            if (bytes.length == 0) {
                return tail;
            }
        }
        return concat(bytes, tail);
    }
}
