package io.sluice.rules;

import static java.util.Objects.requireNonNull;
import static org.assertj.core.api.Assertions.assertThat;

import io.sluice.model.Cidr;
import io.sluice.model.IpAddress;
import io.sluice.rules.NodePortAddresses.Keyword;
import java.util.List;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Checks that the ranges for the kernel and the selection of addresses agree. */
final class NodePortAddressesTest {
    private static final List<IpAddress> NODE = List.of(ip("198.18.0.2"), ip("2001:db8::2"));

    private static IpAddress ip(String text) {
        return requireNonNull(IpAddress.parse(text));
    }

    private static NodePortAddresses parse(String text) {
        Keyword keyword = Keyword.parse(text);
        return keyword == null
                ? new NodePortAddresses(Set.of(), List.of(requireNonNull(Cidr.parse(text))))
                : new NodePortAddresses(Set.of(keyword), List.of());
    }

    @ParameterizedTest
    @CsvSource({
        "all, 198.18.0.2, true",
        "all, 0.0.0.1, true",
        "all, 126.255.255.255, true",
        "all, 127.0.0.1, false",
        "all, 128.0.0.0, true",
        "all, 255.255.255.254, true",
        "all, ::2, true",
        "all, ::1, false",
        "all, fe7f:ffff::1, true",
        "all, fe80::1, false",
        "all, febf:ffff::1, false",
        "all, fec0::1, true",
        "primary, 198.18.0.2, true",
        "primary, 2001:db8::2, true",
        "primary, 198.18.0.3, false",
        "localhost, 127.0.0.1, true",
        "localhost, ::1, true",
        "localhost, 198.18.0.2, false",
        "198.18.0.0/16, 198.18.255.1, true",
        "198.18.0.0/16, 198.19.0.1, false",
        "198.18.0.0/16, 2001:db8::7, true",
        "64.0.0.0/2, 126.0.0.1, true",
        "64.0.0.0/2, 127.0.0.1, false",
        "127.0.0.0/8, 127.0.0.1, true",
        "fe80::/10, fe80::1, false",
        "2001:db8::/32, 2001:db8:ffff::1, true",
    })
    void rangesContainExactlyTheSelectedAddresses(String given, String address, boolean served) {
        NodePortAddresses addresses = parse(given);
        IpAddress ip = ip(address);
        assertThat(addresses.select(NODE, List.of(ip)).contains(ip)).isEqualTo(served);
        assertThat(addresses.allRanges(NODE).stream().anyMatch(range -> range.contains(ip)))
                .isEqualTo(served);
    }

    @Test
    void limitsTheNumberOfRanges() {
        assertThat(parse("all").allRanges(NODE)).hasSizeLessThan(150);
        assertThat(parse("198.18.0.0/16").allRanges(NODE)).hasSizeLessThan(150);
    }
}
