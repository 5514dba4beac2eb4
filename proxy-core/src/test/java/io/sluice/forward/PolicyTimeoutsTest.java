package io.sluice.forward;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import io.sluice.model.Endpoint;
import io.sluice.model.FrontendAddress;
import io.sluice.model.Protocol;
import io.sluice.model.TrafficPolicy;
import io.sluice.model.TrafficPolicy.Timeouts;
import io.sluice.stats.Counter;
import java.io.IOException;
import java.net.DatagramPacket;
import java.net.DatagramSocket;
import java.net.InetAddress;
import java.net.Socket;
import java.net.SocketException;
import java.time.Duration;
import org.junit.jupiter.api.Test;

/** Timeouts and the maximum age that a traffic policy sets. */
class PolicyTimeoutsTest {
    private static final Duration MINUTE = Duration.ofMinutes(1);

    private static TrafficPolicy timeouts(Duration connect, Duration deadline, Duration idle, Duration halfClosed) {
        return Policies.of(
                new Timeouts(connect.toNanos(), deadline.toNanos(), idle.toNanos(), halfClosed.toNanos(), 0, 0));
    }

    private static TrafficPolicy idle(Duration idle) {
        return timeouts(Duration.ZERO, Duration.ZERO, idle, Duration.ZERO);
    }

    private static void echo(Socket socket) throws IOException {
        socket.getOutputStream().write('x');
        assertThat(socket.getInputStream().read()).isEqualTo('x');
    }

    @Test
    void anIdleConnectionIsClosedWithAFin() throws Exception {
        try (Lab lab = new Lab()) {
            FrontendAddress address = Lab.freeAddress(Protocol.TCP);
            EndpointServer server = lab.endpointServer(EndpointServer.Kind.MANUAL);
            lab.apply(Policies.service("web", address, idle(MINUTE), server.endpoint()));
            Socket client = lab.dial(address);
            Socket endpoint = lab.closing(server.next());
            for (int i = 0; i < 5; i++) {
                lab.advance(Duration.ofSeconds(40));
                client.getOutputStream().write('x');
                assertThat(endpoint.getInputStream().read()).isEqualTo('x');
            }
            assertThat(lab.forwarder.sessions()).isEqualTo(1);
            await().untilAsserted(() ->
                    assertThat(lab.count(Counter.BYTES_TO_ENDPOINT)).isEqualTo(5));
            lab.advance(Duration.ofSeconds(61));
            Lab.assertEof(client.getInputStream());
            Lab.assertEof(endpoint.getInputStream());
            assertThat(lab.count(Counter.SESSIONS_IDLE)).isEqualTo(1);
            await().untilAsserted(() ->
                    assertThat(lab.ended).extracting(EndedConnection::end).containsExactly(EndedConnection.End.IDLE));
        }
    }

    @Test
    void theIdleTimeoutOfOpenConnectionsChangesWithThePolicy() throws Exception {
        try (Lab lab = new Lab()) {
            FrontendAddress address = Lab.freeAddress(Protocol.TCP);
            Endpoint endpoint = lab.endpointServer(EndpointServer.Kind.ECHO).endpoint();
            lab.apply(Policies.service("web", address, TrafficPolicy.DEFAULT, endpoint));
            Socket client = lab.dial(address);
            echo(client);
            lab.apply(Policies.service("web", address, idle(MINUTE), endpoint));
            lab.apply(Policies.service("web", address, idle(Duration.ofHours(1)), endpoint));
            lab.awaitApplied();
            lab.advance(Duration.ofMinutes(30));
            echo(client);
            lab.apply(Policies.service("web", address, TrafficPolicy.DEFAULT, endpoint));
            lab.awaitApplied();
            lab.advance(Duration.ofHours(2));
            echo(client);
            lab.apply(Policies.service("web", address, idle(MINUTE), endpoint));
            await().untilAsserted(() -> {
                lab.advance(MINUTE);
                assertThat(lab.count(Counter.SESSIONS_IDLE)).isEqualTo(1);
            });
            Lab.assertEof(client.getInputStream());
        }
    }

    @Test
    void aHalfClosedConnectionHasTheTimeoutOfItsService() throws Exception {
        try (Lab lab = new Lab()) {
            FrontendAddress address = Lab.freeAddress(Protocol.TCP);
            EndpointServer server = lab.endpointServer(EndpointServer.Kind.MANUAL);
            lab.apply(Policies.service(
                    "web",
                    address,
                    timeouts(Duration.ZERO, Duration.ZERO, Duration.ZERO, Duration.ofHours(1)),
                    server.endpoint()));
            Socket client = lab.dial(address);
            Socket endpoint = lab.closing(server.next());
            client.shutdownOutput();
            Lab.assertEof(endpoint.getInputStream());
            lab.advance(Duration.ofMinutes(50));
            endpoint.getOutputStream().write('x');
            assertThat(client.getInputStream().read()).isEqualTo('x');
            await().untilAsserted(
                            () -> assertThat(lab.count(Counter.BYTES_TO_CLIENT)).isEqualTo(1));
            lab.advance(Duration.ofMinutes(61));
            assertThatThrownBy(() -> client.getInputStream().read()).isInstanceOf(SocketException.class);
            assertThat(lab.count(Counter.SESSIONS_TIMED_OUT)).isEqualTo(1);
        }
    }

    @Test
    void anEndpointIsGivenUpAfterTheConnectTimeoutOfItsService() throws Exception {
        try (Lab lab = new Lab(1)) {
            FrontendAddress address = Lab.freeAddress(Protocol.TCP);
            Endpoint silent = lab.silent();
            EndpointServer server = lab.endpointServer("up");
            lab.apply(Policies.service(
                    "web",
                    address,
                    timeouts(Duration.ofSeconds(30), MINUTE, Duration.ZERO, Duration.ZERO),
                    silent,
                    server.endpoint()));
            Socket first = lab.dial(address);
            Socket second = lab.dial(address);
            await().until(() -> lab.count(Counter.SESSIONS_OPENED) == 2);
            // One of the two is served immediately.
            await().untilAsserted(() -> assertThat(server.accepted).hasValue(1));
            lab.advance(Duration.ofSeconds(20));
            assertThat(lab.count(Counter.CONNECT_TIMEOUT)).isZero();
            lab.advance(Duration.ofSeconds(11));
            assertThat(Lab.read(first) + Lab.read(second)).isEqualTo("upup");
            assertThat(lab.count(Counter.CONNECT_TIMEOUT)).isEqualTo(1);
        }
    }

    @Test
    void aClientIsResetAtTheConnectDeadlineOfItsService() throws Exception {
        try (Lab lab = new Lab(1)) {
            FrontendAddress address = Lab.freeAddress(Protocol.TCP);
            lab.apply(Policies.service(
                    "web",
                    address,
                    timeouts(Duration.ZERO, Duration.ofMinutes(2), Duration.ZERO, Duration.ZERO),
                    lab.silent()));
            Socket client = lab.dial(address);
            await().until(() -> lab.forwarder.sessions() == 1);
            lab.advance(Duration.ofSeconds(119));
            assertThat(lab.forwarder.sessions()).isEqualTo(1);
            lab.advance(Duration.ofSeconds(2));
            assertThatThrownBy(() -> client.getInputStream().read()).isInstanceOf(SocketException.class);
        }
    }

    private static void ask(DatagramSocket client, FrontendAddress address) throws IOException {
        InetAddress to = address.address().toInetAddress();
        client.send(new DatagramPacket(new byte[] {1}, 1, to, address.port()));
    }

    @Test
    void flowsHaveTheTimeoutsOfTheirService() throws Exception {
        try (Lab lab = new Lab(1);
                DatagramSocket server = new DatagramSocket(0, InetAddress.getLoopbackAddress());
                DatagramSocket client = new DatagramSocket()) {
            FrontendAddress address = Lab.freeAddress(Protocol.UDP);
            Endpoint endpoint = new Endpoint(Lab.ip("127.0.0.1"), server.getLocalPort());
            Timeouts timeouts = new Timeouts(
                    0,
                    0,
                    0,
                    0,
                    Duration.ofHours(1).toNanos(),
                    Duration.ofMinutes(10).toNanos());
            lab.apply(Policies.service("dns", address, Policies.of(timeouts), endpoint));
            ask(client, address);
            await().until(() -> lab.forwarder.openFlows() == 1);
            lab.advance(Duration.ofMinutes(9));
            assertThat(lab.forwarder.openFlows()).isEqualTo(1);
            lab.advance(Duration.ofMinutes(2));
            await().until(() -> lab.forwarder.openFlows() == 0);
            // The default timeouts apply to an open flow from its next datagram on.
            ask(client, address);
            await().until(() -> lab.count(Counter.FLOWS_OPENED) == 2);
            lab.apply(Policies.service("dns", address, TrafficPolicy.DEFAULT, endpoint));
            ask(client, address);
            await().until(() -> lab.count(Counter.DATAGRAMS_TO_ENDPOINT) == 3);
            assertThat(lab.count(Counter.FLOWS_OPENED)).isEqualTo(2);
            lab.advance(Duration.ofSeconds(31));
            await().until(() -> lab.forwarder.openFlows() == 0);
        }
    }

    @Test
    void aConnectionThatReachedItsMaximumAgeIsClosedOnceItIsQuiet() throws Exception {
        try (Lab lab = new Lab(1)) {
            FrontendAddress address = Lab.freeAddress(Protocol.TCP);
            Endpoint endpoint = lab.endpointServer(EndpointServer.Kind.ECHO).endpoint();
            TrafficPolicy policy = Policies.of(Policies.maxAge(Duration.ofHours(1)));
            lab.apply(Policies.service("web", address, policy, endpoint));
            Socket client = lab.dial(address);
            echo(client);
            lab.advance(Duration.ofMinutes(53));
            echo(client);
            await().untilAsserted(
                            () -> assertThat(lab.count(Counter.BYTES_TO_CLIENT)).isEqualTo(2));
            assertThat(lab.forwarder.sessions()).isEqualTo(1);
            // Data within the last second keeps the connection open, however old it is.
            for (int i = 0; i < 40; i++) {
                lab.advance(Duration.ofMillis(700));
                echo(client);
            }
            lab.advance(Duration.ofMinutes(14));
            Lab.assertEof(client.getInputStream());
            assertThat(lab.count(Counter.SESSIONS_TOO_OLD)).isEqualTo(1);
            await().untilAsserted(() ->
                    assertThat(lab.ended).extracting(EndedConnection::end).containsExactly(EndedConnection.End.AGE));
        }
    }

    /** Bytes that the client has not read are not lost to the maximum age. */
    @Test
    void aConnectionWithUnreadBytesIsNotClosedForItsAge() throws Exception {
        try (Lab lab = new Lab(1)) {
            FrontendAddress address = Lab.freeAddress(Protocol.TCP);
            EndpointServer server = lab.endpointServer(EndpointServer.Kind.MANUAL);
            lab.apply(Policies.service(
                    "web", address, Policies.of(Policies.maxAge(Duration.ofMinutes(1))), server.endpoint()));
            Socket client = lab.dial(address);
            Socket endpoint = lab.closing(server.next());
            byte[] sent = Lab.bytes(32 << 20);
            Thread writer = new Thread(() -> write(endpoint, sent), "writer");
            writer.start();
            await().until(() -> lab.forwarder.bufferedBytes() > 0);
            lab.advance(Duration.ofMinutes(2));
            await().during(Duration.ofMillis(200)).until(() -> lab.forwarder.sessions() == 1);
            assertThat(client.getInputStream().readNBytes(sent.length)).isEqualTo(sent);
            writer.join();
            await().untilAsserted(() -> {
                lab.advance(Duration.ofSeconds(2));
                assertThat(lab.count(Counter.SESSIONS_TOO_OLD)).isEqualTo(1);
            });
            Lab.assertEof(client.getInputStream());
        }
    }

    private static void write(Socket socket, byte[] bytes) {
        try {
            socket.getOutputStream().write(bytes);
        } catch (IOException e) {
            throw new AssertionError(e);
        }
    }

    /** A reader that takes longer than the idle timeout gets all bytes, because some are written all the time. */
    @Test
    void aSlowReaderIsNotIdle() throws Exception {
        try (Lab lab = new Lab(1)) {
            FrontendAddress address = Lab.freeAddress(Protocol.TCP);
            EndpointServer server = lab.endpointServer(EndpointServer.Kind.MANUAL);
            lab.apply(Policies.service("web", address, idle(MINUTE), server.endpoint()));
            Socket client = lab.dial(address);
            Socket endpoint = lab.closing(server.next());
            byte[] sent = Lab.bytes(32 << 20);
            Thread writer = new Thread(() -> write(endpoint, sent), "writer");
            writer.start();
            int read = 0;
            while (read < sent.length - (8 << 20)) {
                await().until(() -> lab.forwarder.bufferedBytes() > 0);
                lab.advance(Duration.ofSeconds(50));
                read += client.getInputStream().readNBytes(4 << 20).length;
            }
            assertThat(client.getInputStream().readNBytes(sent.length - read)).hasSize(sent.length - read);
            assertThat(lab.count(Counter.SESSIONS_IDLE)).isZero();
            writer.join();
        }
    }

    /** A FIN would look as if the reader had all bytes. */
    @Test
    void anIdleConnectionWithUnreadBytesIsReset() throws Exception {
        try (Lab lab = new Lab(1)) {
            FrontendAddress address = Lab.freeAddress(Protocol.TCP);
            EndpointServer server = lab.endpointServer(EndpointServer.Kind.MANUAL);
            lab.apply(Policies.service("web", address, idle(MINUTE), server.endpoint()));
            Socket client = lab.dial(address);
            Socket endpoint = lab.closing(server.next());
            Thread writer = new Thread(() -> writeUntilReset(endpoint), "writer");
            writer.start();
            await().until(() -> lab.forwarder.bufferedBytes() > 0);
            await().untilAsserted(() -> {
                lab.advance(MINUTE);
                assertThat(lab.count(Counter.SESSIONS_IDLE)).isEqualTo(1);
            });
            assertThatThrownBy(() -> client.getInputStream().readAllBytes()).isInstanceOf(SocketException.class);
            writer.join();
        }
    }

    private static void writeUntilReset(Socket socket) {
        byte[] bytes = new byte[1 << 20];
        try {
            while (true) {
                socket.getOutputStream().write(bytes);
            }
        } catch (IOException reset) {
            assertThat(reset).isInstanceOf(SocketException.class);
        }
    }

    @Test
    void aHalfClosedConnectionHasNoIdleTimeout() throws Exception {
        try (Lab lab = new Lab(1)) {
            FrontendAddress address = Lab.freeAddress(Protocol.TCP);
            EndpointServer server = lab.endpointServer(EndpointServer.Kind.MANUAL);
            lab.apply(Policies.service("web", address, idle(Duration.ofSeconds(10)), server.endpoint()));
            Socket client = lab.dial(address);
            Socket endpoint = lab.closing(server.next());
            client.shutdownOutput();
            Lab.assertEof(endpoint.getInputStream());
            lab.advance(Duration.ofSeconds(30));
            await().during(Duration.ofMillis(200)).until(() -> lab.forwarder.sessions() == 1);
            endpoint.getOutputStream().write('x');
            assertThat(client.getInputStream().read()).isEqualTo('x');
            assertThat(lab.count(Counter.SESSIONS_IDLE)).isZero();
        }
    }
}
