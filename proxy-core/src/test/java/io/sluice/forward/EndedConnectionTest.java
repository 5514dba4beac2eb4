package io.sluice.forward;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import io.sluice.forward.EndedConnection.End;
import io.sluice.model.Endpoint;
import io.sluice.model.FrontendAddress;
import io.sluice.model.Protocol;
import java.net.DatagramPacket;
import java.net.DatagramSocket;
import java.net.Socket;
import java.net.SocketException;
import java.time.Duration;
import org.junit.jupiter.api.Test;

/** What is reported about a finished connection or flow. */
class EndedConnectionTest {
    private final FrontendAddress tcp = Lab.freeAddress(Protocol.TCP);

    private static EndedConnection only(Lab lab) {
        await().untilAsserted(() -> assertThat(lab.ended).hasSize(1));
        return lab.ended.get(0);
    }

    @Test
    void clientClosesFirst() throws Exception {
        try (Lab lab = new Lab()) {
            EndpointServer server = lab.endpointServer(EndpointServer.Kind.ECHO);
            lab.apply(Lab.service("web", tcp, Lab.closedPort(), server.endpoint()));
            int port;
            // The first or the second connection tries the closed port first.
            for (int i = 0; i < 2; i++) {
                try (Socket client = lab.dial(tcp)) {
                    port = client.getLocalPort();
                    client.getOutputStream().write(Lab.bytes(100));
                    client.shutdownOutput();
                    assertThat(client.getInputStream().readAllBytes()).hasSize(100);
                }
                int number = i + 1;
                await().untilAsserted(() -> assertThat(lab.ended).hasSize(number));
                EndedConnection ended = lab.ended.get(i);
                assertThat(ended.end()).isEqualTo(End.CLIENT_CLOSED);
                assertThat(ended.clientPort()).isEqualTo(port);
                assertThat(ended.endpoint()).isEqualTo(server.endpoint());
                assertThat(ended.bytesToEndpoint()).isEqualTo(100);
                assertThat(ended.bytesToClient()).isEqualTo(100);
                assertThat(ended.connectNanos()).isPositive().isLessThanOrEqualTo(ended.durationNanos());
            }
            assertThat(lab.ended).extracting(EndedConnection::tries).contains(2).isSubsetOf(1, 2);
        }
    }

    @Test
    void endpointClosesFirst() throws Exception {
        try (Lab lab = new Lab()) {
            lab.apply(Lab.service("web", tcp, lab.endpointServer("a").endpoint()));
            lab.ask(tcp);
            assertThat(only(lab).end()).isEqualTo(End.ENDPOINT_CLOSED);
        }
    }

    @Test
    void clientResets() throws Exception {
        try (Lab lab = new Lab()) {
            EndpointServer server = lab.endpointServer(EndpointServer.Kind.MANUAL);
            lab.apply(Lab.service("web", tcp, server.endpoint()));
            Socket client = lab.dial(tcp);
            server.next();
            client.setSoLinger(true, 0);
            client.close();
            assertThat(only(lab).end()).isEqualTo(End.CLIENT_RESET);
        }
    }

    @Test
    void endpointResets() throws Exception {
        try (Lab lab = new Lab()) {
            EndpointServer server = lab.endpointServer(EndpointServer.Kind.MANUAL);
            lab.apply(Lab.service("web", tcp, server.endpoint()));
            lab.dial(tcp);
            Socket accepted = server.next();
            accepted.setSoLinger(true, 0);
            accepted.close();
            assertThat(only(lab).end()).isEqualTo(End.ENDPOINT_RESET);
        }
    }

    @Test
    void noEndpointAccepts() throws Exception {
        try (Lab lab = new Lab()) {
            Endpoint closed = Lab.closedPort();
            lab.apply(Lab.service("web", tcp, closed));
            assertThatThrownBy(() -> lab.ask(tcp)).isInstanceOf(SocketException.class);
            EndedConnection ended = only(lab);
            assertThat(ended.end()).isEqualTo(End.CONNECT_FAILED);
            assertThat(ended.endpoint()).isEqualTo(closed);
            assertThat(ended.connectNanos()).isNegative();
            assertThat(ended.tries()).isEqualTo(1);
        }
    }

    @Test
    void halfClosedTimeoutExpires() throws Exception {
        try (Lab lab = new Lab()) {
            EndpointServer server = lab.endpointServer(EndpointServer.Kind.MANUAL);
            lab.apply(Lab.service("web", tcp, server.endpoint()));
            Socket client = lab.dial(tcp);
            Socket accepted = server.next();
            client.shutdownOutput();
            Lab.assertEof(accepted.getInputStream());
            // The timeout may start only after the endpoint has seen the FIN.
            await().until(() -> {
                lab.advance(Duration.ofSeconds(61));
                return !lab.ended.isEmpty();
            });
            assertThat(only(lab).end()).isEqualTo(End.HALF_CLOSED_TIMEOUT);
        }
    }

    @Test
    void forwarderCloses() throws Exception {
        Lab lab = new Lab();
        try (lab) {
            EndpointServer server = lab.endpointServer(EndpointServer.Kind.MANUAL);
            lab.apply(Lab.service("web", tcp, server.endpoint()));
            lab.dial(tcp);
            server.next();
        }
        assertThat(only(lab).end()).isEqualTo(End.SHUTDOWN);
    }

    @Test
    void flowExpires() throws Exception {
        FrontendAddress udp = Lab.freeAddress(Protocol.UDP);
        try (Lab lab = new Lab();
                DatagramSocket server = new DatagramSocket(Lab.ip("127.0.0.1").toSocketAddress(0));
                DatagramSocket client = new DatagramSocket(Lab.ip("127.0.0.1").toSocketAddress(0))) {
            lab.apply(Lab.service("dns", udp, new Endpoint(Lab.ip("127.0.0.1"), server.getLocalPort())));
            client.send(new DatagramPacket(new byte[40], 40, udp.address().toSocketAddress(udp.port())));
            server.receive(new DatagramPacket(new byte[100], 100));
            lab.advance(Duration.ofSeconds(31));
            EndedConnection ended = only(lab);
            assertThat(ended.end()).isEqualTo(End.IDLE);
            assertThat(ended.frontend()).isEqualTo(udp);
            assertThat(ended.bytesToEndpoint()).isEqualTo(40);
        }
    }
}
