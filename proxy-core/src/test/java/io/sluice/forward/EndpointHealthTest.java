package io.sluice.forward;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import io.sluice.balance.EndpointHealth.State;
import io.sluice.balance.EndpointStatus;
import io.sluice.forward.EndpointControl.Outcome;
import io.sluice.model.Endpoint;
import io.sluice.model.FrontendAddress;
import io.sluice.model.Protocol;
import io.sluice.model.ServicePort;
import io.sluice.model.ServicePortName;
import io.sluice.model.SessionAffinity;
import io.sluice.stats.EndpointStats;
import java.io.IOException;
import java.net.DatagramPacket;
import java.net.DatagramSocket;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.net.SocketException;
import java.time.Duration;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import org.junit.jupiter.api.Test;

/** Health of endpoints as seen in forwarded traffic, and its changes by operators. */
class EndpointHealthTest {
    private final FrontendAddress tcp = Lab.freeAddress(Protocol.TCP);

    private static EndpointStatus status(Lab lab, ServicePort service, Endpoint endpoint) {
        return lab.forwarder.endpoints(service.name()).stream()
                .filter(status -> status.endpoint().equals(endpoint))
                .findFirst()
                .orElseThrow();
    }

    private static void awaitState(Lab lab, ServicePort service, Endpoint endpoint, State state) {
        await().untilAsserted(() ->
                assertThat(status(lab, service, endpoint).health().state()).isEqualTo(state));
    }

    @Test
    void refusesAndRecovers() throws Exception {
        try (Lab lab = new Lab()) {
            Endpoint endpoint = Lab.closedPort();
            ServicePort web = Lab.service("web", tcp, endpoint);
            lab.apply(web);
            assertThat(status(lab, web, endpoint).health().state()).isEqualTo(State.UNKNOWN);
            for (int i = 0; i < 3; i++) {
                assertThatThrownBy(() -> lab.ask(tcp)).isInstanceOf(SocketException.class);
            }
            EndpointStatus failing = status(lab, web, endpoint);
            assertThat(failing.health().state()).isEqualTo(State.REFUSING);
            assertThat(failing.health().lastError()).isEqualTo("connection refused");
            assertThat(failing.health().consecutiveFailures()).isEqualTo(3);
            assertThat(failing.stats().failed()).isEqualTo(3);
            assertThat(failing.stats().opened()).isZero();
            assertThat(failing.stats().connectMillis(50)).isNegative();
            try (ServerSocket server =
                    new ServerSocket(endpoint.port(), 10, endpoint.address().toInetAddress())) {
                Socket client = lab.dial(tcp);
                server.accept().close();
                Lab.assertEof(client.getInputStream());
                EndpointStatus up = status(lab, web, endpoint);
                assertThat(up.health().state()).isEqualTo(State.UP);
                assertThat(up.health().consecutiveFailures()).isZero();
                assertThat(up.health().lastError()).isEqualTo("connection refused");
                assertThat(up.stats().opened()).isEqualTo(1);
                assertThat(up.stats().connectMillis(99)).isPositive();
            }
            assertThat(lab.endpointChanges)
                    .extracting(change -> change.after().state())
                    .containsExactly(State.REFUSING, State.UP);
        }
    }

    @Test
    void isSilent() throws Exception {
        try (Lab lab = new Lab()) {
            Endpoint silent = lab.silent();
            ServicePort web =
                    Lab.service("web", tcp, silent, lab.endpointServer("a").endpoint());
            lab.apply(web);
            // The first connection may try either endpoint.
            while (status(lab, web, silent).health().consecutiveFailures() == 0) {
                assertThat(lab.ask(tcp)).isEqualTo("a");
            }
            EndpointStatus status = status(lab, web, silent);
            assertThat(status.health().state()).isEqualTo(State.SILENT);
            assertThat(status.health().lastError()).isEqualTo("connect timeout");
        }
    }

    @Test
    void ejectsUntilTheTrialConnectionSucceeds() throws Exception {
        try (Lab lab = new Lab()) {
            Endpoint endpoint = Lab.closedPort();
            ServicePort web =
                    Lab.service("web", tcp, endpoint, lab.endpointServer("a").endpoint());
            lab.apply(web);
            assertThat(asked(lab, tcp, 6)).containsExactly("a");
            assertThat(status(lab, web, endpoint).health().state()).isEqualTo(State.EJECTED);
            assertThat(asked(lab, tcp, 6)).containsExactly("a");
            assertThat(status(lab, web, endpoint).stats().failed()).isEqualTo(3);
            lab.advance(Duration.ofSeconds(10));
            assertThat(asked(lab, tcp, 6)).containsExactly("a");
            assertThat(status(lab, web, endpoint).stats().failed()).isEqualTo(4);
            lab.advance(Duration.ofSeconds(20));
            try (ServerSocket server =
                    new ServerSocket(endpoint.port(), 10, endpoint.address().toInetAddress())) {
                List<Socket> clients = List.of(lab.dial(tcp), lab.dial(tcp));
                server.accept();
                awaitState(lab, web, endpoint, State.UP);
                clients.get(0).close();
                clients.get(1).close();
            }
            assertThat(lab.endpointChanges)
                    .filteredOn(change -> change.endpoint().equals(endpoint))
                    .extracting(change -> change.after().state())
                    .containsExactly(State.REFUSING, State.EJECTED, State.UP);
        }
    }

    @Test
    void ejectsASilentEndpointAfterTwoTimeouts() throws Exception {
        try (Lab lab = new Lab()) {
            Endpoint silent = lab.silent();
            ServicePort web =
                    Lab.service("web", tcp, silent, lab.endpointServer("a").endpoint());
            lab.apply(web);
            assertThat(asked(lab, tcp, 4)).containsExactly("a");
            assertThat(status(lab, web, silent).health().state()).isEqualTo(State.EJECTED);
            assertThat(asked(lab, tcp, 4)).containsExactly("a");
            assertThat(status(lab, web, silent).stats().failed()).isEqualTo(2);
        }
    }

    @Test
    void ejectsAUdpEndpoint() throws Exception {
        FrontendAddress udp = Lab.freeAddress(Protocol.UDP);
        try (Lab lab = new Lab();
                DatagramSocket other = new DatagramSocket(Lab.ip("127.0.0.1").toSocketAddress(0))) {
            Endpoint closed;
            try (DatagramSocket server = new DatagramSocket(Lab.ip("127.0.0.1").toSocketAddress(0))) {
                closed = new Endpoint(Lab.ip("127.0.0.1"), server.getLocalPort());
            }
            ServicePort dns = Lab.service("dns", udp, closed, new Endpoint(Lab.ip("127.0.0.1"), other.getLocalPort()));
            lab.apply(dns);
            DatagramPacket datagram =
                    new DatagramPacket(new byte[10], 10, udp.address().toSocketAddress(udp.port()));
            await().untilAsserted(() -> {
                // Each socket is a new flow.
                try (DatagramSocket client =
                        new DatagramSocket(Lab.ip("127.0.0.1").toSocketAddress(0))) {
                    client.send(datagram);
                }
                assertThat(status(lab, dns, closed).health().state()).isEqualTo(State.EJECTED);
            });
        }
    }

    @Test
    void countsPerEndpoint() throws Exception {
        try (Lab lab = new Lab()) {
            EndpointServer server = lab.endpointServer(EndpointServer.Kind.ECHO);
            ServicePort web = Lab.service("web", tcp, server.endpoint());
            lab.apply(web);
            Socket client = lab.dial(tcp);
            client.getOutputStream().write(Lab.bytes(1_000));
            client.getInputStream().readNBytes(1_000);
            // The loop counts bytes after the write that the client may already have read.
            await().untilAsserted(() -> {
                EndpointStats stats = status(lab, web, server.endpoint()).stats();
                assertThat(stats.active()).isEqualTo(1);
                assertThat(stats.bytesToEndpoint()).isEqualTo(1_000);
                assertThat(stats.bytesToClient()).isEqualTo(1_000);
            });
            client.close();
            await().untilAsserted(() -> assertThat(
                            status(lab, web, server.endpoint()).stats().active())
                    .isZero());
        }
    }

    @Test
    void keepsHealthAcrossChangesOfTheService() throws Exception {
        try (Lab lab = new Lab()) {
            Endpoint closed = Lab.closedPort();
            Endpoint a = lab.endpointServer("a").endpoint();
            lab.apply(Lab.service("web", tcp, closed));
            assertThatThrownBy(() -> lab.ask(tcp)).isInstanceOf(SocketException.class);
            ServicePort more = Lab.service("web", tcp, closed, a);
            lab.apply(more);
            assertThat(status(lab, more, closed).health().state()).isEqualTo(State.REFUSING);
        }
    }

    /** A removed endpoint is listed as draining until its last connection has ended. */
    @Test
    void drainsAfterRemoval() throws Exception {
        try (Lab lab = new Lab()) {
            EndpointServer old = lab.endpointServer(EndpointServer.Kind.ECHO);
            lab.apply(Lab.service("web", tcp, old.endpoint()));
            Socket client = lab.dial(tcp);
            client.getOutputStream().write(1);
            assertThat(client.getInputStream().read()).isEqualTo(1);
            ServicePort changed =
                    Lab.service("web", tcp, lab.endpointServer("b").endpoint());
            lab.apply(changed);
            assertThat(lab.ask(tcp)).isEqualTo("b");
            assertThat(status(lab, changed, old.endpoint()).health().state()).isEqualTo(State.DRAINING);
            client.close();
            await().untilAsserted(() ->
                    assertThat(lab.forwarder.endpoints(changed.name())).hasSize(1));
        }
    }

    @Test
    void udpEndpointIsRefusingOrUp() throws Exception {
        FrontendAddress udp = Lab.freeAddress(Protocol.UDP);
        try (Lab lab = new Lab();
                DatagramSocket client = new DatagramSocket(Lab.ip("127.0.0.1").toSocketAddress(0))) {
            Endpoint endpoint;
            try (DatagramSocket server = new DatagramSocket(Lab.ip("127.0.0.1").toSocketAddress(0))) {
                endpoint = new Endpoint(Lab.ip("127.0.0.1"), server.getLocalPort());
            }
            ServicePort dns = Lab.service("dns", udp, endpoint);
            lab.apply(dns);
            InetSocketAddress to = udp.address().toSocketAddress(udp.port());
            client.send(new DatagramPacket(new byte[10], 10, to));
            awaitState(lab, dns, endpoint, State.REFUSING);
            try (DatagramSocket server = new DatagramSocket(Lab.ip("127.0.0.1").toSocketAddress(endpoint.port()))) {
                client.send(new DatagramPacket(new byte[10], 10, to));
                DatagramPacket request = new DatagramPacket(new byte[100], 100);
                server.receive(request);
                server.send(new DatagramPacket(new byte[7], 7, request.getSocketAddress()));
                awaitState(lab, dns, endpoint, State.UP);
            }
        }
    }

    /** A log server, for example, never replies. */
    @Test
    void udpEndpointThatNeverRepliesDoesNotStayRefusing() throws Exception {
        FrontendAddress udp = Lab.freeAddress(Protocol.UDP);
        try (Lab lab = new Lab();
                DatagramSocket client = new DatagramSocket(Lab.ip("127.0.0.1").toSocketAddress(0))) {
            Endpoint endpoint;
            try (DatagramSocket server = new DatagramSocket(Lab.ip("127.0.0.1").toSocketAddress(0))) {
                endpoint = new Endpoint(Lab.ip("127.0.0.1"), server.getLocalPort());
            }
            ServicePort logs = Lab.service("logs", udp, endpoint);
            lab.apply(logs);
            DatagramPacket datagram =
                    new DatagramPacket(new byte[10], 10, udp.address().toSocketAddress(udp.port()));
            client.send(datagram);
            awaitState(lab, logs, endpoint, State.REFUSING);
            try (DatagramSocket server = new DatagramSocket(Lab.ip("127.0.0.1").toSocketAddress(endpoint.port()))) {
                client.send(datagram);
                server.receive(new DatagramPacket(new byte[100], 100));
                lab.advance(Duration.ofSeconds(9));
                client.send(datagram);
                server.receive(new DatagramPacket(new byte[100], 100));
                assertThat(status(lab, logs, endpoint).health().state()).isEqualTo(State.REFUSING);
                lab.advance(Duration.ofSeconds(1));
                client.send(datagram);
                awaitState(lab, logs, endpoint, State.UNKNOWN);
                assertThat(status(lab, logs, endpoint).health().lastError()).isEqualTo("connection refused");
            }
        }
    }

    /** The result of an attempt that began before the endpoint was removed does not concern the Service any more. */
    @Test
    void doesNotReportEndpointsThatWereRemoved() throws Exception {
        try (Lab lab = new Lab()) {
            Endpoint silent = lab.silent();
            ServicePort web = Lab.service("web", tcp, silent);
            lab.apply(web);
            Socket client = lab.dial(tcp);
            await().until(() -> lab.forwarder.sessions() == 1);
            lab.apply(Lab.service("web", tcp, lab.endpointServer("a").endpoint()));
            lab.advance(Duration.ofSeconds(60));
            assertThatThrownBy(() -> client.getInputStream().read()).isInstanceOf(SocketException.class);
            assertThat(lab.endpointChanges).isEmpty();
        }
    }

    private static Set<String> asked(Lab lab, FrontendAddress address, int times) throws IOException {
        Set<String> names = new TreeSet<>();
        for (int i = 0; i < times; i++) {
            names.add(lab.ask(address));
        }
        return names;
    }

    @Test
    void aDrainedEndpointGetsNoNewConnections() throws Exception {
        try (Lab lab = new Lab()) {
            EndpointServer a = lab.endpointServer("a");
            EndpointServer b = lab.endpointServer("b");
            ServicePort web = Lab.service("web", tcp, new SessionAffinity(60), a.endpoint(), b.endpoint());
            lab.apply(web);
            String first = lab.ask(tcp);
            Endpoint sticky = first.equals("a") ? a.endpoint() : b.endpoint();
            assertThat(lab.forwarder.takeOut("test/web", sticky, State.DRAINING, null, false))
                    .isEqualTo(Outcome.DONE);
            assertThat(asked(lab, tcp, 6)).hasSize(1).doesNotContain(first);
            assertThat(status(lab, web, sticky).health().state()).isEqualTo(State.DRAINING);
            // Also after a change of the Service.
            ServicePort changed = Lab.service("web", tcp, a.endpoint(), b.endpoint());
            lab.apply(changed);
            assertThat(asked(lab, tcp, 6)).hasSize(1).doesNotContain(first);
            assertThat(lab.forwarder.putBack("test/web", sticky)).isEqualTo(Outcome.DONE);
            assertThat(asked(lab, tcp, 6)).hasSize(2);
            assertThat(status(lab, changed, sticky).health().state()).isEqualTo(State.UP);
        }
    }

    @Test
    void drainingKeepsConnectionsAndDisablingResetsThem() throws Exception {
        try (Lab lab = new Lab()) {
            EndpointServer a = lab.endpointServer(EndpointServer.Kind.ECHO);
            EndpointServer b = lab.endpointServer(EndpointServer.Kind.ECHO);
            ServicePort web = Lab.service("web", tcp, a.endpoint(), b.endpoint());
            lab.apply(web);
            Socket one = lab.dial(tcp);
            Socket two = lab.dial(tcp);
            for (Socket socket : List.of(one, two)) {
                socket.getOutputStream().write(1);
                socket.getInputStream().read();
            }
            lab.forwarder.takeOut("test/web", a.endpoint(), State.DRAINING, null, false);
            for (Socket socket : List.of(one, two)) {
                socket.getOutputStream().write(2);
                assertThat(socket.getInputStream().read()).isEqualTo(2);
            }
            lab.forwarder.takeOut("test/web", a.endpoint(), State.DISABLED, null, false);
            await().until(() -> lab.forwarder.sessions() == 1);
            assertThat(status(lab, web, a.endpoint()).health().state()).isEqualTo(State.DISABLED);
            await().untilAsserted(() -> assertThat(lab.ended)
                    .extracting(EndedConnection::end)
                    .containsExactly(EndedConnection.End.REMOVED));
        }
    }

    @Test
    void theLastUsableEndpointNeedsForce() throws Exception {
        try (Lab lab = new Lab()) {
            Endpoint a = lab.endpointServer("a").endpoint();
            Endpoint closed = Lab.closedPort();
            lab.apply(Lab.service("web", tcp, a, closed));
            // Both answer as far as is known.
            assertThat(lab.forwarder.takeOut("test/web", closed, State.DRAINING, null, false))
                    .isEqualTo(Outcome.DONE);
            assertThat(lab.forwarder.takeOut("test/web", a, State.DRAINING, null, false))
                    .isEqualTo(Outcome.LAST_USABLE);
            lab.forwarder.putBack("test/web", closed);
            lab.ask(tcp);
            lab.ask(tcp);
            // The other one is known to refuse connections.
            assertThat(lab.forwarder.takeOut("test/web", a, State.DRAINING, null, false))
                    .isEqualTo(Outcome.LAST_USABLE);
            assertThat(lab.forwarder.takeOut("test/web", closed, State.DRAINING, null, false))
                    .isEqualTo(Outcome.DONE);
            assertThat(lab.forwarder.takeOut("test/web", a, State.DRAINING, null, true))
                    .isEqualTo(Outcome.DONE);
            assertThatThrownBy(() -> lab.ask(tcp)).isInstanceOf(SocketException.class);
            assertThat(lab.forwarder.takeOut("test/none", a, State.DRAINING, null, true))
                    .isEqualTo(Outcome.NO_SUCH_ENDPOINT);
            assertThat(lab.forwarder.putBack("test/web", new Endpoint(Lab.ip("127.0.0.1"), 1)))
                    .isEqualTo(Outcome.NO_SUCH_ENDPOINT);
        }
    }

    @Test
    void expires() throws Exception {
        try (Lab lab = new Lab()) {
            Endpoint a = lab.endpointServer("a").endpoint();
            lab.apply(Lab.service("web", tcp, a, lab.endpointServer("b").endpoint()));
            lab.forwarder.takeOut("test/web", a, State.DRAINING, Duration.ofMinutes(10), false);
            lab.advance(Duration.ofMinutes(9));
            lab.forwarder.runHousekeeping();
            assertThat(asked(lab, tcp, 4)).containsExactly("b");
            lab.advance(Duration.ofMinutes(1));
            lab.forwarder.runHousekeeping();
            assertThat(asked(lab, tcp, 4)).containsExactly("a", "b");
            assertThat(lab.putBack).containsExactly("test/web " + a);
        }
    }

    /** Otherwise it would be a surprise that the endpoint gets no connections when it returns. */
    @Test
    void listsADrainedEndpointAlsoWhileItIsAbsent() throws Exception {
        try (Lab lab = new Lab()) {
            Endpoint a = lab.endpointServer("a").endpoint();
            Endpoint b = lab.endpointServer("b").endpoint();
            ServicePort both = Lab.service("web", tcp, a, b);
            ServicePort other = Lab.service(
                    "web",
                    Lab.freeAddress(Protocol.TCP),
                    lab.endpointServer("m").endpoint());
            ServicePort metrics = new ServicePort(
                    new ServicePortName("test", "web", "metrics", Protocol.TCP),
                    other.affinity(),
                    Set.of(),
                    other.frontends());
            lab.apply(both, metrics);
            lab.forwarder.takeOut("test/web", a, State.DRAINING, null, false);
            lab.apply(Lab.service("web", tcp, b), metrics);
            assertThat(status(lab, both, a).health().state()).isEqualTo(State.DRAINING);
            assertThat(lab.forwarder.endpoints(metrics.name())).hasSize(1);
            lab.apply(both, metrics);
            assertThat(asked(lab, tcp, 4)).containsExactly("b");
            lab.apply(Lab.service("web", tcp, b), metrics);
            assertThat(lab.forwarder.putBack("test/web", a)).isEqualTo(Outcome.DONE);
            assertThat(lab.forwarder.endpoints(both.name())).hasSize(1);
        }
    }
}
