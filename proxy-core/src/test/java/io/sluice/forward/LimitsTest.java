package io.sluice.forward;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import io.sluice.model.Endpoint;
import io.sluice.model.FrontendAddress;
import io.sluice.model.Protocol;
import io.sluice.model.ServicePort;
import io.sluice.model.TrafficPolicy;
import io.sluice.model.TrafficPolicy.Limits;
import io.sluice.stats.Counter;
import java.io.IOException;
import java.net.DatagramPacket;
import java.net.DatagramSocket;
import java.net.InetAddress;
import java.net.Socket;
import java.net.SocketException;
import java.net.SocketTimeoutException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;

/** The limits of connections, flows and rates that a traffic policy sets. */
class LimitsTest {
    private static final long SECOND = TimeUnit.SECONDS.toNanos(1);

    private static TrafficPolicy connections(int connections, int perClient, int perEndpoint) {
        return Policies.of(new Limits(connections, perClient, perEndpoint, 0, 0));
    }

    private static boolean echoes(Socket socket) throws IOException {
        try {
            socket.getOutputStream().write('x');
            return socket.getInputStream().read() == 'x';
        } catch (SocketException reset) {
            return false;
        }
    }

    private static boolean isServed(Lab lab, FrontendAddress address, String from) throws IOException {
        try {
            return echoes(lab.dial(address, from));
        } catch (SocketException reset) {
            return false;
        }
    }

    @Test
    void aServiceHasAMaximumOfConnections() throws Exception {
        try (Lab lab = new Lab()) {
            FrontendAddress address = Lab.freeAddress(Protocol.TCP);
            Endpoint endpoint = lab.endpointServer(EndpointServer.Kind.ECHO).endpoint();
            lab.apply(Policies.service("web", address, connections(3, 0, 0), endpoint));
            List<Socket> open = new ArrayList<>();
            for (int i = 0; i < 3; i++) {
                open.add(lab.dial(address));
                assertThat(echoes(open.get(i))).isTrue();
            }
            assertThat(isServed(lab, address, "127.0.0.1")).isFalse();
            assertThat(lab.count(Counter.SESSIONS_OVER_SERVICE_LIMIT)).isEqualTo(1);
            await().untilAsserted(() ->
                    assertThat(lab.ended).extracting(EndedConnection::end).containsExactly(EndedConnection.End.LIMIT));
            open.get(0).close();
            await().untilAsserted(() ->
                    assertThat(isServed(lab, address, "127.0.0.1")).isTrue());
        }
    }

    @Test
    void aClientHasAMaximumOfConnections() throws Exception {
        try (Lab lab = new Lab()) {
            FrontendAddress address = Lab.freeAddress(Protocol.TCP);
            Endpoint endpoint = lab.endpointServer(EndpointServer.Kind.ECHO).endpoint();
            lab.apply(Policies.service("web", address, connections(0, 2, 0), endpoint));
            assertThat(isServed(lab, address, "127.0.5.1")).isTrue();
            assertThat(isServed(lab, address, "127.0.5.1")).isTrue();
            assertThat(isServed(lab, address, "127.0.5.1")).isFalse();
            assertThat(isServed(lab, address, "127.0.5.2")).isTrue();
            assertThat(lab.count(Counter.SESSIONS_OVER_CLIENT_LIMIT)).isEqualTo(1);
        }
    }

    @Test
    void anEndpointThatIsFullIsPassedOver() throws Exception {
        try (Lab lab = new Lab()) {
            FrontendAddress address = Lab.freeAddress(Protocol.TCP);
            EndpointServer one = lab.endpointServer(EndpointServer.Kind.ECHO);
            EndpointServer other = lab.endpointServer(EndpointServer.Kind.ECHO);
            lab.apply(Policies.service("web", address, connections(0, 0, 2), one.endpoint(), other.endpoint()));
            List<Socket> open = new ArrayList<>();
            for (int i = 0; i < 4; i++) {
                open.add(lab.dial(address));
                assertThat(echoes(open.get(i))).isTrue();
            }
            assertThat(one.accepted).hasValue(2);
            assertThat(other.accepted).hasValue(2);
            assertThat(isServed(lab, address, "127.0.0.1")).isFalse();
            assertThat(lab.count(Counter.SESSIONS_OVER_ENDPOINT_LIMIT)).isEqualTo(1);
            open.get(0).close();
            await().untilAsserted(() ->
                    assertThat(isServed(lab, address, "127.0.0.1")).isTrue());
        }
    }

    /** An attempt that fails does not count for its endpoint. */
    @Test
    void aFailedAttemptIsNotCounted() throws Exception {
        try (Lab lab = new Lab(1)) {
            FrontendAddress address = Lab.freeAddress(Protocol.TCP);
            Endpoint closed = Lab.closedPort();
            Endpoint endpoint = lab.endpointServer(EndpointServer.Kind.ECHO).endpoint();
            lab.apply(Policies.service("web", address, connections(0, 0, 1), closed, endpoint));
            for (int i = 0; i < 10; i++) {
                try (Socket socket = lab.dial(address)) {
                    assertThat(echoes(socket)).isTrue();
                }
                await().until(() -> lab.forwarder.sessions() == 0);
            }
            assertThat(lab.count(Counter.CONNECT_REFUSED)).isPositive();
            assertThat(lab.count(Counter.SESSIONS_OVER_ENDPOINT_LIMIT)).isZero();
        }
    }

    @Test
    void aClientHasAMaximumRate() throws Exception {
        try (Lab lab = new Lab()) {
            FrontendAddress address = Lab.freeAddress(Protocol.TCP);
            Endpoint endpoint = lab.endpointServer(EndpointServer.Kind.ECHO).endpoint();
            lab.apply(Policies.service("web", address, Policies.of(new Limits(0, 0, 0, 3, 60 * SECOND)), endpoint));
            for (int i = 0; i < 3; i++) {
                assertThat(isServed(lab, address, "127.0.5.1")).isTrue();
            }
            assertThat(isServed(lab, address, "127.0.5.1")).isFalse();
            assertThat(isServed(lab, address, "127.0.5.2")).isTrue();
            assertThat(lab.count(Counter.SESSIONS_OVER_CLIENT_RATE)).isEqualTo(1);
            lab.advance(Duration.ofSeconds(21));
            assertThat(isServed(lab, address, "127.0.5.1")).isTrue();
            assertThat(isServed(lab, address, "127.0.5.1")).isFalse();
        }
    }

    /** Connections that were open before the limits count, and nothing is counted once all have ended. */
    @Test
    void aChangedPolicyCountsOpenConnections() throws Exception {
        try (Lab lab = new Lab()) {
            FrontendAddress address = Lab.freeAddress(Protocol.TCP);
            Endpoint endpoint = lab.endpointServer(EndpointServer.Kind.ECHO).endpoint();
            ServicePort before = Policies.service("web", address, TrafficPolicy.DEFAULT, endpoint);
            lab.apply(before);
            Socket first = lab.dial(address);
            Socket second = lab.dial(address);
            assertThat(echoes(first) && echoes(second)).isTrue();
            lab.apply(Policies.service("web", address, connections(2, 2, 2), endpoint));
            await().untilAsserted(() ->
                    assertThat(isServed(lab, address, "127.0.0.1")).isFalse());
            assertThat(echoes(first) && echoes(second)).isTrue();
            lab.apply(before);
            assertThat(isServed(lab, address, "127.0.0.1")).isTrue();
            lab.apply(Policies.service("web", address, connections(1, 1, 1), endpoint));
            first.close();
            second.close();
            await().until(() -> lab.forwarder.sessions() == 1);
            assertThat(isServed(lab, address, "127.0.0.1")).isFalse();
            assertThat(Objects.requireNonNull(lab.forwarder.endpoints(before.name()))
                            .get(0)
                            .stats()
                            .active())
                    .isEqualTo(1);
        }
    }

    private static boolean answers(DatagramSocket client, FrontendAddress address) throws IOException {
        InetAddress to = address.address().toInetAddress();
        client.send(new DatagramPacket(new byte[] {1}, 1, to, address.port()));
        try {
            client.receive(new DatagramPacket(new byte[8], 8));
            return true;
        } catch (SocketTimeoutException dropped) {
            return false;
        }
    }

    @Test
    void flowsCountAsConnections() throws Exception {
        try (Lab lab = new Lab(1)) {
            DatagramSocket server = lab.closing(new DatagramSocket(0, InetAddress.getLoopbackAddress()));
            Thread echo = new Thread(() -> echo(server), "udp-echo");
            echo.setDaemon(true);
            echo.start();
            FrontendAddress address = Lab.freeAddress(Protocol.UDP);
            Endpoint endpoint = new Endpoint(Lab.ip("127.0.0.1"), server.getLocalPort());
            lab.apply(Policies.service("dns", address, connections(0, 2, 0), endpoint));
            List<DatagramSocket> clients = new ArrayList<>();
            for (int i = 0; i < 3; i++) {
                DatagramSocket client = lab.closing(new DatagramSocket());
                client.setSoTimeout(i < 2 ? 5_000 : 200);
                clients.add(client);
                assertThat(answers(client, address)).isEqualTo(i < 2);
            }
            await().until(() -> lab.count(Counter.DATAGRAMS_OVER_CLIENT_LIMIT) == 1);
            lab.apply(Policies.service("dns", address, connections(0, 0, 1), endpoint));
            clients.get(2).setSoTimeout(200);
            await().untilAsserted(() -> {
                assertThat(answers(clients.get(2), address)).isFalse();
                assertThat(lab.count(Counter.DATAGRAMS_OVER_ENDPOINT_LIMIT)).isPositive();
            });
            // The two flows end, and make room for one.
            lab.advance(Duration.ofSeconds(200));
            await().until(() -> lab.forwarder.openFlows() == 0);
            clients.get(2).setSoTimeout(5_000);
            assertThat(answers(clients.get(2), address)).isTrue();
        }
    }

    private static void echo(DatagramSocket server) {
        DatagramPacket packet = new DatagramPacket(new byte[2048], 2048);
        try {
            while (true) {
                server.receive(packet);
                server.send(packet);
            }
        } catch (IOException closed) {
            assertThat(server.isClosed()).isTrue();
        }
    }
}
