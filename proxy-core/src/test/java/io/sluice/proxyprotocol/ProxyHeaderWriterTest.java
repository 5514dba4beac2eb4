package io.sluice.proxyprotocol;

import static java.util.Objects.requireNonNull;
import static org.assertj.core.api.Assertions.assertThat;

import com.sun.management.ThreadMXBean;
import io.sluice.model.IpAddress;
import io.sluice.model.TrafficPolicy.ProxyHeader;
import java.lang.management.ManagementFactory;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.HexFormat;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;

class ProxyHeaderWriterTest {
    private static final int AT = 3;

    private static ProxiedAddresses addresses(String source, int sourcePort, String destination, int destinationPort) {
        return new ProxiedAddresses(
                requireNonNull(IpAddress.parse(source)),
                sourcePort,
                requireNonNull(IpAddress.parse(destination)),
                destinationPort);
    }

    /** Writes to a buffer like that of an event loop. */
    private static byte[] write(ProxyHeader version, ProxiedAddresses addresses, boolean datagram) {
        ByteBuffer into = ByteBuffer.allocateDirect(AT + ProxyHeaderWriter.MAX_BYTES);
        into.order(ByteOrder.LITTLE_ENDIAN);
        byte[] header = new byte[ProxyHeaderWriter.write(version, addresses, datagram, into, AT)];
        assertThat(into.position()).isZero();
        into.get(AT, header);
        return header;
    }

    @ParameterizedTest
    @CsvSource({
        "192.0.2.1, 54321, 10.0.0.1, 80, PROXY TCP4 192.0.2.1 10.0.0.1 54321 80",
        "255.255.255.255, 65535, 0.0.0.0, 0, PROXY TCP4 255.255.255.255 0.0.0.0 65535 0",
        "2001:db8::1, 54321, fd00::a, 80, PROXY TCP6 2001:db8::1 fd00::a 54321 80",
        "2001:db8::1, 1, 10.0.0.1, 2, PROXY TCP6 2001:db8::1 ::ffff:10.0.0.1 1 2",
        "192.0.2.1, 1, fd00::a, 2, PROXY TCP6 ::ffff:192.0.2.1 fd00::a 1 2",
        // Becomes IPv4 when it is parsed.
        "::ffff:192.0.2.1, 1, 10.0.0.1, 2, PROXY TCP4 192.0.2.1 10.0.0.1 1 2",
    })
    void writesVersion1(String source, int sourcePort, String destination, int destinationPort, String line) {
        byte[] header = write(ProxyHeader.V1, addresses(source, sourcePort, destination, destinationPort), false);
        assertThat(new String(header, StandardCharsets.US_ASCII)).isEqualTo(line + "\r\n");
    }

    @ParameterizedTest
    @CsvSource({
        "192.0.2.1, 10.0.0.1, false, 2111000c c0000201 0a000001",
        "192.0.2.1, 10.0.0.1, true, 2112000c c0000201 0a000001",
        "2001:db8::1, fd00::a, false," + "21210024 20010db8000000000000000000000001 fd00000000000000000000000000000a",
        "2001:db8::1, fd00::a, true," + "21220024 20010db8000000000000000000000001 fd00000000000000000000000000000a",
        "2001:db8::1, 10.0.0.1, false," + "21210024 20010db8000000000000000000000001 00000000000000000000ffff0a000001",
        "255.0.0.1, fd00::a, true, 21220024 00000000000000000000ffffff000001 fd00000000000000000000000000000a",
    })
    void writesVersion2(String source, String destination, boolean datagram, String rest) {
        byte[] header = write(ProxyHeader.V2, addresses(source, 54321, destination, 65535), datagram);
        assertThat(HexFormat.of().formatHex(header))
                .isEqualTo("0d0a0d0a000d0a515549540a" + rest.replace(" ", "") + "d431ffff");
    }

    @Test
    void writesNothingWithoutVersion() {
        assertThat(write(ProxyHeader.NONE, addresses("192.0.2.1", 1, "10.0.0.1", 2), false))
                .isEmpty();
    }

    /** Every datagram has a header. */
    @Test
    void writesVersion2WithoutAllocation() {
        ThreadMXBean threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
        ProxiedAddresses addresses = addresses("192.0.2.1", 54321, "fd00::a", 80);
        ByteBuffer into = ByteBuffer.allocateDirect(ProxyHeaderWriter.MAX_BYTES);
        long leastBytes = Long.MAX_VALUE;
        for (int round = 0; round < 5; round++) {
            long before = threads.getCurrentThreadAllocatedBytes();
            for (int i = 0; i < 1_000; i++) {
                ProxyHeaderWriter.write(ProxyHeader.V2, addresses, true, into, 0);
            }
            leastBytes = Math.min(leastBytes, threads.getCurrentThreadAllocatedBytes() - before);
        }
        assertThat(leastBytes).isLessThan(1_000);
    }

    @Test
    void longestHeaderHasMaximumLength() {
        String longest = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
        assertThat(write(ProxyHeader.V1, addresses(longest, 65535, longest, 65535), false))
                .hasSize(ProxyHeaderWriter.MAX_BYTES);
    }

    @ParameterizedTest
    @EnumSource(names = "NONE", mode = EnumSource.Mode.EXCLUDE)
    void readerReturnsTheSameAddresses(ProxyHeader version) {
        Random random = new Random(1);
        for (int run = 0; run < 10_000; run++) {
            ProxiedAddresses addresses =
                    new ProxiedAddresses(randomAddress(random), random.nextInt(65536), randomAddress(random), 80);
            byte[] header = write(version, addresses, false);
            ProxyHeaderReader reader = new ProxyHeaderReader();
            assertThat(reader.feed(ByteBuffer.wrap(header), 0, header.length))
                    .isEqualTo(ProxyHeaderReader.Result.COMPLETE);
            assertThat(reader.consumed()).isEqualTo(header.length);
            assertThat(reader.addresses()).isEqualTo(addresses);
        }
    }

    private static IpAddress randomAddress(Random random) {
        byte[] bytes = new byte[random.nextBoolean() ? 4 : 16];
        for (int i = 0; i < bytes.length; i++) {
            bytes[i] = random.nextInt(3) == 0 ? 0 : (byte) random.nextInt();
        }
        return IpAddress.of(bytes, 0, bytes.length);
    }
}
