package io.sluice.model;

import static java.util.Objects.requireNonNull;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;

import java.math.BigInteger;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class CidrTest {
    @ParameterizedTest
    @CsvSource({
        "0.0.0.0/0, 0.0.0.0/1, 128.0.0.0/1",
        "198.18.0.0/15, 198.18.0.0/16, 198.19.0.0/16",
        "198.18.0.0/31, 198.18.0.0/32, 198.18.0.1/32",
        "::/0, ::/1, 8000::/1",
        "2001:db8::/63, 2001:db8::/64, 2001:db8:0:1::/64",
        "2001:db8::/64, 2001:db8::/65, 2001:db8:0:0:8000::/65",
        "::/127, ::/128, ::1/128",
    })
    void splitsIntoTwoHalvesThatItCovers(String whole, String lower, String upper) {
        Cidr range = requireNonNull(Cidr.parse(whole));
        assertThat(range.half(false)).isEqualTo(Cidr.parse(lower));
        assertThat(range.half(true)).isEqualTo(Cidr.parse(upper));
        assertThat(range.covers(range.half(true))).isTrue();
        assertThat(range.half(true).covers(range)).isFalse();
        assertThat(range.half(true).covers(range.half(false))).isFalse();
    }

    @Test
    void aSingleAddressHasNoHalves() {
        Cidr one = requireNonNull(Cidr.parse("::1/128"));
        assertThatIllegalArgumentException().isThrownBy(() -> one.half(true));
    }

    private static IpAddress ip(String text) {
        return requireNonNull(IpAddress.parse(text), text);
    }

    private static Cidr cidr(String text) {
        return requireNonNull(Cidr.parse(text), text);
    }

    @ParameterizedTest
    @CsvSource({
        "10.96.0.0/12, 10.96.0.0/12",
        "10.99.1.2/12, 10.96.0.0/12",
        "10.1.2.3/32, 10.1.2.3/32",
        "10.1.2.3/0, 0.0.0.0/0",
        "fd00:1:2:3:4:5:6:7/64, fd00:1:2:3::/64",
        "fd00:1:2:3:4:5:6:7/65, fd00:1:2:3::/65",
        "fd00::1/128, fd00::1/128",
        "ffff::1/0, ::/0",
        "fd00::/008, fd00::/8",
    })
    void parsesRanges(String text, String canonical) {
        assertThat(cidr(text)).hasToString(canonical);
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "",
                "/",
                "10.0.0.0",
                "10.0.0.0/",
                "/8",
                "10.0.0.0/33",
                "fd00::/129",
                "10.0.0.0/-1",
                "10.0.0.0/+8",
                "10.0.0.0/8/8",
                "10.0.0/8",
                "10.0.0.0/ 8",
                "10.0.0.0/0008",
                "10.0.0.0/\u0668"
            })
    void rejectsInvalidRanges(String text) {
        assertThat(Cidr.parse(text)).isNull();
    }

    @Test
    void containsExactlyTheAddressesWithItsPrefix() {
        Random random = new Random(11);
        for (int i = 0; i < 20_000; i++) {
            byte[] bytes = new byte[random.nextBoolean() ? 4 : 16];
            random.nextBytes(bytes);
            IpAddress address = IpAddress.of(bytes, 0, bytes.length);
            int prefix = random.nextInt(address.family().bits() + 1);
            byte[] other = bytes.clone();
            int flipped = random.nextInt(address.family().bits());
            other[flipped / 8] ^= (byte) (0x80 >> flipped % 8);
            Cidr range = new Cidr(address, prefix);
            assertThat(range.contains(address)).isTrue();
            assertThat(range.contains(IpAddress.of(other, 0, other.length))).isEqualTo(flipped >= prefix);
        }
    }

    @Test
    void containsNoAddressOfTheOtherFamily() {
        assertThat(cidr("0.0.0.0/0").contains(ip("::1"))).isFalse();
        assertThat(cidr("::/0").contains(ip("0.0.0.1"))).isFalse();
    }

    @Test
    void translatesAnAddressToTheSameOffsetInAnotherRange() {
        assertThat(cidr("10.96.0.0/12").translate(ip("10.97.3.4"), cidr("127.96.0.0/12")))
                .hasToString("127.97.3.4");
        assertThat(cidr("fd00::/64").translate(ip("fd00::1:2"), cidr("fd01:2::/64")))
                .hasToString("fd01:2::1:2");
        Random random = new Random(5);
        for (int i = 0; i < 5_000; i++) {
            int prefix = random.nextInt(33);
            Cidr from = new Cidr(IpAddress.v4(random.nextInt()), prefix);
            Cidr to = new Cidr(IpAddress.v4(random.nextInt()), prefix);
            int offset = prefix == 32 ? 0 : random.nextInt() >>> prefix;
            IpAddress address = IpAddress.v4((int) from.network().low() | offset);
            IpAddress moved = from.translate(address, to);
            assertThat(to.contains(moved)).isTrue();
            assertThat(distance(to, moved)).isEqualTo(distance(from, address));
            assertThat(to.translate(moved, from)).isEqualTo(address);
        }
    }

    private static BigInteger distance(Cidr range, IpAddress address) {
        return new BigInteger(1, address.toBytes())
                .subtract(new BigInteger(1, range.network().toBytes()));
    }

    @Test
    void rejectsInvalidTranslationsAndPrefixes() {
        Cidr from = cidr("10.96.0.0/12");
        IpAddress inside = ip("10.96.0.1");
        assertThatIllegalArgumentException().isThrownBy(() -> from.translate(ip("10.0.0.1"), from));
        assertThatIllegalArgumentException().isThrownBy(() -> from.translate(inside, cidr("127.0.0.0/8")));
        assertThatIllegalArgumentException().isThrownBy(() -> from.translate(inside, cidr("fd00::/12")));
        assertThatIllegalArgumentException().isThrownBy(() -> new Cidr(inside, 33));
        assertThatIllegalArgumentException().isThrownBy(() -> new Cidr(inside, -1));
    }
}
