package io.sluice.model;

import static java.util.Objects.requireNonNull;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;

import java.net.Inet6Address;
import java.net.InetAddress;
import java.net.UnknownHostException;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class IpAddressTest {
    private static IpAddress ip(String text) {
        return requireNonNull(IpAddress.parse(text), text);
    }

    @ParameterizedTest
    @CsvSource({
        "0.0.0.0, 0.0.0.0",
        "255.255.255.255, 255.255.255.255",
        "10.1.2.3, 10.1.2.3",
        "010.001.000.009, 10.1.0.9",
        "0000010.1.2.3, 10.1.2.3",
        "::ffff:10.1.2.3, 10.1.2.3",
        "::FFFF:0a01:0203, 10.1.2.3",
    })
    void parsesIpv4(String text, String canonical) {
        IpAddress address = ip(text);
        assertThat(address.family()).isEqualTo(Family.IPV4);
        assertThat(address).hasToString(canonical);
    }

    /** The rules of RFC 5952, section 4, and edge cases next to them. */
    @ParameterizedTest
    @CsvSource({
        "::, ::",
        "::1, ::1",
        "1::, 1::",
        "0:0:0:0:0:0:0:0, ::",
        "2001:0db8::0001, 2001:db8::1", // leading zeros
        "2001:db8:0:0:0:0:2:1, 2001:db8::2:1", // as short as possible
        "2001:db8:0:1:1:1:1:1, 2001:db8:0:1:1:1:1:1", // a single zero group is not shortened
        "2001:db8::1:1:1:1:1, 2001:db8:0:1:1:1:1:1",
        "2001:0:0:1:0:0:0:1, 2001:0:0:1::1", // the longest run
        "2001:db8:0:0:1:0:0:1, 2001:db8::1:0:0:1", // the first of equal runs
        "0:0:1:0:0:0:0:0, 0:0:1::",
        "2001:DB8::ABCD, 2001:db8::abcd", // lower case
        "1:2:3:4:5:6:7:8, 1:2:3:4:5:6:7:8",
        "1:2:3:4:5:6:7::, 1:2:3:4:5:6:7:0",
        "::2:3:4:5:6:7:8, 0:2:3:4:5:6:7:8",
        "64:ff9b::192.0.2.33, 64:ff9b::c000:221",
        "1:2:3:4:5:6:1.2.3.4, 1:2:3:4:5:6:102:304",
        "::fffe:10.1.2.3, ::fffe:a01:203",
        "1::ffff:10.1.2.3, 1::ffff:a01:203",
    })
    void parsesIpv6(String text, String canonical) {
        IpAddress address = ip(text);
        assertThat(address.family()).isEqualTo(Family.IPV6);
        assertThat(address).hasToString(canonical);
        assertThat(ip(canonical)).isEqualTo(address);
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "",
                " ",
                ".",
                ":",
                "1",
                "1.2.3",
                "1.2.3.",
                "1.2.3.4.",
                "1.2.3.4.5",
                "1..2.3",
                ".1.2.3.4",
                "256.1.1.1",
                "1.2.3.99999999999",
                "-1.2.3.4",
                "1.2.3.4 ",
                " 1.2.3.4",
                "0x1.2.3.4",
                "1.2.3.a",
                "localhost",
                ":::",
                "1:",
                ":1",
                "1::2::3",
                "1:2:3:4:5:6:7",
                "1:2:3:4:5:6:7:",
                "1:2:3:4:5:6:7:8:",
                "1:2:3:4:5:6:7:8:9",
                "::1:2:3:4:5:6:7:8",
                "1:2:3:4::5:6:7:8",
                "1:2:3:4:5:6:7:8::",
                "12345::",
                "g::",
                "::1%eth0",
                "[::1]",
                "1.2.3.4::",
                "::1.2.3",
                "::1.2.3.4.5",
                "::1.2.3.4:5",
                "1:2:3:4:5:6:7:1.2.3.4",
                "::256.1.1.1",
                "1:::2",
                "::\uff11",
                "\u0661.2.3.4"
            })
    void rejectsInvalidAddresses(String text) {
        assertThat(IpAddress.parse(text)).isNull();
    }

    @Test
    void agreesWithTheJdk() throws UnknownHostException {
        Random random = new Random(7);
        for (int i = 0; i < 20_000; i++) {
            byte[] bytes = new byte[random.nextBoolean() ? 4 : 16];
            random.nextBytes(bytes);
            for (int b = 0; b < bytes.length; b++) {
                // Mostly zeros, because the short forms are about zeros.
                bytes[b] = random.nextInt(3) == 0 ? bytes[b] : 0;
            }
            InetAddress jdk = InetAddress.getByAddress(bytes);
            IpAddress address = IpAddress.of(bytes, 0, bytes.length);
            assertThat(address).isEqualTo(IpAddress.of(jdk)).isEqualTo(ip(jdk.getHostAddress()));
            assertThat(ip(address.toString())).isEqualTo(address);
            assertThat(address.toInetAddress()).isEqualTo(jdk);
            assertThat(InetAddress.getByName(address.toString())).isEqualTo(jdk);
            assertThat(address.family()).isEqualTo(jdk instanceof Inet6Address ? Family.IPV6 : Family.IPV4);
            assertThat(address.toBytes()).isEqualTo(jdk.getAddress());
            assertThat(address.isLoopback()).isEqualTo(jdk.isLoopbackAddress());
            assertThat(address.isUnspecified()).isEqualTo(jdk.isAnyLocalAddress());
        }
    }

    @Test
    void readsBytesAtAnOffset() {
        assertThat(IpAddress.of(new byte[] {9, 10, 0, 0, (byte) 200, 9}, 1, 4)).hasToString("10.0.0.200");
        assertThatIllegalArgumentException().isThrownBy(() -> IpAddress.of(new byte[5], 0, 5));
    }

    @Test
    void ordersByFamilyThenUnsignedValue() {
        List<IpAddress> ordered = List.of(
                ip("0.0.0.0"),
                ip("9.255.255.255"),
                ip("10.0.0.0"),
                ip("127.0.0.1"),
                ip("128.0.0.0"),
                ip("::"),
                ip("::1"),
                ip("::8000:0:0:0"),
                ip("1::"),
                ip("7fff::"),
                ip("8000::"),
                ip("ffff::1"));
        List<IpAddress> shuffled = new ArrayList<>(ordered);
        Collections.shuffle(shuffled, new Random(3));
        assertThat(shuffled.stream().sorted()).containsExactlyElementsOf(ordered);
    }

    @Test
    void printsWithAPort() {
        assertThat(ip("10.0.0.1").withPort(80)).isEqualTo("10.0.0.1:80");
        assertThat(ip("fd00::1").withPort(80)).isEqualTo("[fd00::1]:80");
        assertThat(ip("fd00::1").toSocketAddress(80).getPort()).isEqualTo(80);
    }
}
