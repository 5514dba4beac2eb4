package io.sluice.forward;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import io.sluice.balance.EndpointHealth;
import io.sluice.balance.EndpointStatus;
import io.sluice.model.Endpoint;
import io.sluice.model.Frontend;
import io.sluice.model.FrontendAddress;
import io.sluice.model.Protocol;
import io.sluice.model.ServicePort;
import io.sluice.model.TrafficPolicy;
import io.sluice.model.TrafficPolicy.Removal;
import io.sluice.stats.Counter;
import java.io.IOException;
import java.net.Socket;
import java.net.SocketException;
import java.time.Duration;
import java.util.List;
import java.util.Set;
import org.junit.jupiter.api.Test;

/** What happens to established connections of an endpoint that is removed. */
class EndpointRemovalTest {
    private static final TrafficPolicy RESET = Policies.of(Policies.onRemoval(Removal.RESET, Duration.ZERO));
    private static final TrafficPolicy DRAIN = Policies.of(Policies.onRemoval(Removal.DRAIN, Duration.ofMinutes(5)));

    private static void echo(Socket socket) throws IOException {
        socket.getOutputStream().write('x');
        assertThat(socket.getInputStream().read()).isEqualTo('x');
    }

    private static void assertReset(Socket socket) {
        assertThatThrownBy(() -> socket.getInputStream().read()).isInstanceOf(SocketException.class);
    }

    @Test
    void onlyConnectionsOfTheRemovedEndpointAreReset() throws Exception {
        try (Lab lab = new Lab()) {
            FrontendAddress address = Lab.freeAddress(Protocol.TCP);
            EndpointServer removed = lab.endpointServer(EndpointServer.Kind.ECHO);
            EndpointServer kept = lab.endpointServer(EndpointServer.Kind.ECHO);
            lab.apply(Policies.service("web", address, RESET, removed.endpoint()));
            Socket first = lab.dial(address);
            echo(first);
            lab.apply(Policies.service("web", address, RESET, removed.endpoint(), kept.endpoint()));
            Socket second = lab.dial(address);
            Socket third = lab.dial(address);
            echo(second);
            echo(third);
            boolean secondIsKept = kept.accepted.get() == 1 && removed.accepted.get() == 2;
            assertThat(secondIsKept).isTrue();
            lab.apply(Policies.service("web", address, RESET, kept.endpoint()));
            assertReset(first);
            await().untilAsserted(() ->
                    assertThat(lab.count(Counter.SESSIONS_REMOVED)).isEqualTo(2));
            await().until(() -> lab.forwarder.sessions() == 1);
            await().untilAsserted(() -> assertThat(lab.ended)
                    .extracting(EndedConnection::end)
                    .containsExactly(EndedConnection.End.REMOVED, EndedConnection.End.REMOVED));
        }
    }

    @Test
    void connectionsDrainForAWhile() throws Exception {
        try (Lab lab = new Lab()) {
            FrontendAddress address = Lab.freeAddress(Protocol.TCP);
            Endpoint removed = lab.endpointServer(EndpointServer.Kind.ECHO).endpoint();
            Endpoint kept = lab.endpointServer(EndpointServer.Kind.ECHO).endpoint();
            lab.apply(Policies.service("web", address, DRAIN, removed));
            Socket client = lab.dial(address);
            echo(client);
            ServicePort later = Policies.service("web", address, DRAIN, kept);
            lab.apply(later);
            lab.awaitApplied();
            // The report of what drains.
            EndpointStatus draining = lab.forwarder.endpoints(later.name()).stream()
                    .filter(status -> status.endpoint().equals(removed))
                    .findFirst()
                    .orElseThrow();
            assertThat(draining.health().state()).isEqualTo(EndpointHealth.State.DRAINING);
            assertThat(draining.stats().active()).isEqualTo(1);
            assertThat(draining.until()).isEqualTo(draining.health().since().plus(Duration.ofMinutes(5)));
            lab.advance(Duration.ofMinutes(4));
            echo(client);
            lab.advance(Duration.ofSeconds(61));
            assertReset(client);
            assertThat(lab.count(Counter.SESSIONS_REMOVED)).isEqualTo(1);
        }
    }

    @Test
    void anEndpointThatReturnsKeepsItsConnections() throws Exception {
        try (Lab lab = new Lab()) {
            FrontendAddress address = Lab.freeAddress(Protocol.TCP);
            Endpoint endpoint = lab.endpointServer(EndpointServer.Kind.ECHO).endpoint();
            lab.apply(Policies.service("web", address, DRAIN, endpoint));
            Socket client = lab.dial(address);
            echo(client);
            lab.apply(Policies.service("web", address, DRAIN));
            lab.awaitApplied();
            lab.advance(Duration.ofMinutes(4));
            echo(client);
            lab.apply(Policies.service("web", address, DRAIN, endpoint));
            lab.awaitApplied();
            lab.advance(Duration.ofMinutes(4));
            echo(client);
            // Removed again, it has the whole time again.
            lab.apply(Policies.service("web", address, DRAIN));
            lab.awaitApplied();
            lab.advance(Duration.ofMinutes(4));
            echo(client);
            lab.advance(Duration.ofSeconds(61));
            assertReset(client);
        }
    }

    @Test
    void connectionsOfARemovedServiceEndAsThePolicySays() throws Exception {
        try (Lab lab = new Lab()) {
            FrontendAddress one = Lab.freeAddress(Protocol.TCP);
            FrontendAddress other = Lab.freeAddress(Protocol.TCP);
            FrontendAddress plain = Lab.freeAddress(Protocol.TCP);
            Endpoint endpoint = lab.endpointServer(EndpointServer.Kind.ECHO).endpoint();
            lab.apply(
                    Policies.service("reset", one, RESET, endpoint),
                    Policies.service("drain", other, DRAIN, endpoint),
                    Policies.service("keep", plain, TrafficPolicy.DEFAULT, endpoint));
            Socket reset = lab.dial(one);
            Socket drained = lab.dial(other);
            Socket kept = lab.dial(plain);
            echo(reset);
            echo(drained);
            echo(kept);
            lab.apply();
            assertReset(reset);
            lab.advance(Duration.ofMinutes(4));
            echo(drained);
            lab.advance(Duration.ofSeconds(61));
            assertReset(drained);
            echo(kept);
        }
    }

    @Test
    void aPolicyThatKeepsConnectionsStopsTheDrain() throws Exception {
        try (Lab lab = new Lab()) {
            FrontendAddress address = Lab.freeAddress(Protocol.TCP);
            Endpoint removed = lab.endpointServer(EndpointServer.Kind.ECHO).endpoint();
            Endpoint kept = lab.endpointServer(EndpointServer.Kind.ECHO).endpoint();
            lab.apply(Policies.service("web", address, DRAIN, removed));
            Socket client = lab.dial(address);
            echo(client);
            lab.apply(Policies.service("web", address, DRAIN, kept));
            lab.awaitApplied();
            lab.apply(Policies.service("web", address, TrafficPolicy.DEFAULT, kept));
            lab.awaitApplied();
            lab.advance(Duration.ofHours(1));
            await().during(Duration.ofMillis(200)).until(() -> lab.forwarder.sessions() == 1);
            echo(client);
            assertThat(lab.count(Counter.SESSIONS_REMOVED)).isZero();
        }
    }

    @Test
    void anEndpointThatIsRemovedAgainHasTheWholeTimeAgain() throws Exception {
        try (Lab lab = new Lab()) {
            FrontendAddress address = Lab.freeAddress(Protocol.TCP);
            Endpoint endpoint = lab.endpointServer(EndpointServer.Kind.ECHO).endpoint();
            lab.apply(Policies.service("web", address, DRAIN, endpoint));
            Socket client = lab.dial(address);
            echo(client);
            lab.apply(Policies.service("web", address, DRAIN));
            lab.awaitApplied();
            lab.advance(Duration.ofMinutes(2));
            lab.apply(Policies.service("web", address, DRAIN, endpoint));
            lab.apply(Policies.service("web", address, DRAIN));
            lab.awaitApplied();
            lab.advance(Duration.ofMinutes(4));
            await().during(Duration.ofMillis(200)).until(() -> lab.forwarder.sessions() == 1);
            echo(client);
            lab.advance(Duration.ofSeconds(61));
            assertReset(client);
        }
    }

    /** The endpoint still serves, although the address that the client has connected to is gone. */
    @Test
    void connectionsOfARemovedAddressAreKept() throws Exception {
        try (Lab lab = new Lab()) {
            FrontendAddress one = Lab.freeAddress(Protocol.TCP);
            FrontendAddress other = Lab.freeAddress(Protocol.TCP);
            Endpoint endpoint = lab.endpointServer(EndpointServer.Kind.ECHO).endpoint();
            ServicePort first = Policies.service("web", one, RESET, endpoint);
            ServicePort second = Policies.service("web", other, RESET, endpoint);
            List<Frontend> both =
                    List.of(first.frontends().get(0), second.frontends().get(0));
            lab.apply(new ServicePort(first.name(), first.affinity(), RESET, first.servingEndpoints(), Set.of(), both));
            Socket client = lab.dial(one);
            echo(client);
            lab.apply(second);
            lab.apply(Policies.service("web", other, DRAIN, endpoint));
            lab.apply(second);
            lab.awaitApplied();
            echo(client);
            assertThat(lab.count(Counter.SESSIONS_REMOVED)).isZero();
            lab.apply(Policies.service("web", other, RESET));
            assertReset(client);
        }
    }
}
