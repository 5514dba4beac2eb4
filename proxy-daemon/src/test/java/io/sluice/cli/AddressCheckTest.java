package io.sluice.cli;

import static org.assertj.core.api.Assertions.assertThat;

import io.sluice.model.Endpoint;
import io.sluice.model.Frontend;
import io.sluice.model.FrontendAddress;
import io.sluice.model.IpAddress;
import io.sluice.model.Protocol;
import io.sluice.model.Route;
import io.sluice.model.ServicePort;
import io.sluice.model.ServicePortName;
import io.sluice.model.ServiceSnapshot;
import io.sluice.model.SessionAffinity;
import java.util.List;
import java.util.Objects;
import java.util.Set;
import java.util.function.Predicate;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;

/** Prediction of the addresses on which {@code sluice run} cannot listen. */
final class AddressCheckTest {
    private static final Route ROUTE =
            Route.forward(List.of(new Endpoint(address("10.0.0.1"), 8080)), Route.Source.NODE);

    private static IpAddress address(String text) {
        return Objects.requireNonNull(IpAddress.parse(text));
    }

    private static ServicePort port(String service, Route route, String... addresses) {
        return new ServicePort(
                new ServicePortName("shop", service, "", Protocol.TCP),
                new SessionAffinity(0),
                Set.of(),
                Stream.of(addresses)
                        .map(text -> Frontend.of(new FrontendAddress(Protocol.TCP, address(text), 80), route))
                        .toList());
    }

    private static Predicate<IpAddress> only(String... local) {
        return address -> List.of(local).contains(address.toString());
    }

    @Test
    void reportsNothingIfAllAddressesAreLocal() {
        ServiceSnapshot snapshot = ServiceSnapshot.of(port("web", ROUTE, "10.96.0.10", "10.96.0.11"));
        assertThat(AddressCheck.note("feed", snapshot, only("10.96.0.10", "10.96.0.11")))
                .isEmpty();
    }

    @Test
    void reportsAllNonLocalAddressesInOneNoteWithTheRemedy() {
        ServiceSnapshot snapshot = ServiceSnapshot.of(
                port("a", ROUTE, "fd00::5"),
                port("b", ROUTE, "10.96.0.55", "127.0.0.1"),
                port("c", ROUTE, "10.96.0.9"));
        assertThat(AddressCheck.note("feed", snapshot, only("127.0.0.1")).map(Object::toString))
                .hasValue(
                        "feed: 'sluice run' cannot listen on 3 of 4 addresses on this machine, for example: 10.96.0.55 is"
                                + " not an address of this machine; to listen on the same ports under 127.0.0.0/8, add"
                                + " --map-frontends 10.96.0.0/12=127.96.0.0/12");
    }

    @Test
    void ignoresFrontendsWithoutEndpoints() {
        ServiceSnapshot snapshot = ServiceSnapshot.of(port("web", Route.REJECT, "10.96.0.10"));
        assertThat(AddressCheck.note("feed", snapshot, only())).isEmpty();
    }

    @Test
    void recognizesLocalAddresses() throws Exception {
        assertThat(AddressCheck.ofThisMachine())
                .accepts(address("127.0.0.1"), address("127.97.1.5"))
                .rejects(address("198.51.100.7"), address("2001:db8::1"));
    }
}
