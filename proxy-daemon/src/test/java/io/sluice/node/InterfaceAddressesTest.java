package io.sluice.node;

import static java.util.Objects.requireNonNull;
import static org.assertj.core.api.Assertions.assertThat;

import io.sluice.model.IpAddress;
import java.io.IOException;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

final class InterfaceAddressesTest {
    private final Set<IpAddress> unusable = new HashSet<>();
    private final List<List<IpAddress>> changes = new ArrayList<>();
    private List<IpAddress> listed = List.of();
    private boolean failing;

    private final InterfaceAddresses addresses = new InterfaceAddresses(
            new InterfaceAddresses.Source() {
                @Override
                public List<IpAddress> addresses() throws IOException {
                    if (failing) {
                        throw new IOException("no");
                    }
                    return listed;
                }

                @Override
                public boolean isUsable(IpAddress address) {
                    return !unusable.contains(address);
                }
            },
            changes::add);

    @AfterEach
    void close() {
        addresses.close();
    }

    private static List<IpAddress> of(String... texts) {
        return Stream.of(texts)
                .map(text -> requireNonNull(IpAddress.parse(text)))
                .toList();
    }

    private void poll(String... texts) {
        listed = of(texts);
        addresses.poll();
    }

    @Test
    void reportsAChangeOnceWithNewAddressesLast() {
        poll("198.18.0.9", "2001:db8::1", "198.18.0.9");
        poll("198.18.0.9", "2001:db8::1");
        poll("2001:db8::1", "198.18.0.1", "198.18.0.9");
        poll("198.18.0.1");
        assertThat(changes)
                .containsExactly(
                        of("198.18.0.9", "2001:db8::1"),
                        of("198.18.0.9", "2001:db8::1", "198.18.0.1"),
                        of("198.18.0.1"));
    }

    @Test
    void leavesOutLoopbackLinkLocalAndTentativeAddresses() {
        unusable.addAll(of("2001:db8::1"));
        poll("127.0.0.1", "::1", "fe80::1", "224.0.0.1", "169.254.1.1", "2001:db8::1");
        assertThat(changes).containsExactly(of("169.254.1.1"));
        unusable.clear();
        poll("169.254.1.1", "2001:db8::1");
        assertThat(changes).last().isEqualTo(of("169.254.1.1", "2001:db8::1"));
    }

    @Test
    void keepsTheLastKnownAddressesWhileListingFails() {
        poll("198.18.0.9");
        failing = true;
        poll();
        assertThat(changes).hasSize(1);
        failing = false;
        poll();
        assertThat(changes).last().isEqualTo(of());
    }

    @Test
    void listsOnlyAddressesThatThisMachineCanBind() throws IOException {
        for (IpAddress address : InterfaceAddresses.ofThisMachine()) {
            assertThat(address.isLoopback()).isFalse();
            assertThat(InterfaceAddresses.THIS_MACHINE.isUsable(address)).isTrue();
        }
        assertThat(InterfaceAddresses.THIS_MACHINE.isUsable(requireNonNull(IpAddress.parse("192.0.2.254"))))
                .isFalse();
    }
}
