package io.sluice.forward;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import io.sluice.model.Endpoint;
import io.sluice.model.FrontendAddress;
import io.sluice.model.Protocol;
import io.sluice.model.ServicePort;
import io.sluice.model.TrafficPolicy;
import io.sluice.model.TrafficPolicy.Limits;
import io.sluice.model.TrafficPolicy.Removal;
import io.sluice.socket.Descriptors;
import io.sluice.socket.UnixListener;
import io.sluice.socket.UnixSocket;
import io.sluice.stats.Counter;
import java.io.IOException;
import java.net.Socket;
import java.net.SocketException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * Open TCP connections that move from one forwarder to another. Both run in this process, but descriptors are sent over
 * a Unix socket.
 */
class ConnectionHandoverTest {
    private static final Duration LIMIT = Duration.ofSeconds(10);

    @TempDir
    private Path directory;

    private final FrontendAddress address = Lab.freeAddress(Protocol.TCP);

    /** Moves all connections that can be moved; returns their number. */
    private int move(Lab from, Lab to) throws IOException {
        int moved = 0;
        while (true) {
            List<MovedConnection> released = from.forwarder.releaseConnections(64);
            if (released.isEmpty()) {
                return moved;
            }
            moved += released.size();
            List<MovedConnection> received = received(released);
            UnixSocket.closeAll(MovedConnection.descriptors(released));
            to.forwarder.receiveConnections(() -> received);
        }
    }

    /** Duplicates the descriptors, as another process would receive them. */
    private List<MovedConnection> received(List<MovedConnection> released) throws IOException {
        Path path = directory.resolve("socket");
        try (UnixListener listening = UnixListener.bind(path);
                UnixSocket sending = UnixSocket.connect(path, LIMIT);
                UnixSocket receiving = Objects.requireNonNull(listening.accept(LIMIT))) {
            List<Integer> copies = new ArrayList<>();
            for (int descriptor : MovedConnection.descriptors(released)) {
                sending.send(List.of(descriptor));
                copies.addAll(receiving.receive(1));
            }
            return MovedConnection.withDescriptors(released, copies);
        }
    }

    private static void assertExchange(Socket client, Socket endpoint) throws IOException {
        for (int i = 0; i < 3; i++) {
            client.getOutputStream().write('?');
            assertThat(endpoint.getInputStream().read()).isEqualTo('?');
            endpoint.getOutputStream().write('!');
            assertThat(client.getInputStream().read()).isEqualTo('!');
        }
    }

    private static void assertReset(Socket socket) {
        assertThatThrownBy(() -> socket.getInputStream().read()).isInstanceOf(SocketException.class);
    }

    private static void awaitOpen(Lab lab, int connections) {
        await().untilAsserted(() -> assertThat(
                        lab.forwarder.connections(ConnectionFilter.ALL, null, 100).items().stream()
                                .filter(each -> each.state() == ConnectionStatus.State.OPEN))
                .hasSize(connections));
    }

    @Test
    void aConnectionContinuesInTheOtherForwarder() throws Exception {
        try (Lab before = new Lab();
                Lab after = new Lab(1)) {
            EndpointServer server = before.endpointServer(EndpointServer.Kind.MANUAL);
            ServicePort web = Lab.service("web", address, server.endpoint());
            before.apply(web);
            Socket client = before.dial(address);
            Socket endpoint = before.closing(server.next());
            assertExchange(client, endpoint);
            before.advance(Duration.ofSeconds(60));
            before.forwarder.stopAccepting();
            after.apply(web);
            int descriptors = Descriptors.open();
            assertThat(move(before, after)).isEqualTo(1);
            assertExchange(client, endpoint);
            assertThat(before.forwarder.sessions()).isZero();
            assertThat(before.count(Counter.SESSIONS_ACTIVE)).isZero();
            assertThat(before.ended).isEmpty();
            assertThat(before.forwarder.endpoints().get(0).stats().active()).isZero();
            assertThat(Descriptors.open()).isEqualTo(descriptors);
            assertThat(after.count(Counter.SESSIONS_OPENED)).isZero();
            assertThat(after.count(Counter.SESSIONS_RECEIVED)).isEqualTo(1);
            assertThat(after.count(Counter.SESSIONS_ACTIVE)).isEqualTo(1);
            assertThat(after.forwarder.endpoints().get(0).stats().active()).isEqualTo(1);
            assertThat(after.forwarder.endpoints().get(0).stats().opened()).isZero();
            ConnectionStatus status = after.forwarder
                    .connections(ConnectionFilter.ALL, null, 10)
                    .items()
                    .get(0);
            assertThat(status.clientPort()).isEqualTo(client.getLocalPort());
            assertThat(status.ageNanos())
                    .isGreaterThanOrEqualTo(Duration.ofSeconds(60).toNanos());
            assertThat(status.bytesToEndpoint()).isEqualTo(6);
            client.close();
            assertThat(endpoint.getInputStream().read()).isEqualTo(-1);
            endpoint.close();
            await().untilAsserted(() -> assertThat(after.ended).hasSize(1));
            EndedConnection end = after.ended.get(0);
            assertThat(end.end()).isEqualTo(EndedConnection.End.CLIENT_CLOSED);
            assertThat(end.bytesToEndpoint()).isEqualTo(6);
            assertThat(end.connectNanos()).isPositive();
            assertThat(end.tries()).isEqualTo(1);
        }
    }

    @Test
    void bufferedBytesAreNeitherLostNorDoubled() throws Exception {
        byte[] sent = Lab.bytes(16 << 20);
        try (Lab before = new Lab(1);
                Lab between = new Lab(1);
                Lab after = new Lab(1)) {
            EndpointServer server = before.endpointServer(EndpointServer.Kind.MANUAL);
            ServicePort web = Lab.service("web", address, server.endpoint());
            before.apply(web);
            Socket client = before.dial(address);
            Socket endpoint = before.closing(server.next());
            Thread sending = new Thread(() -> {
                try {
                    endpoint.getOutputStream().write(sent);
                    endpoint.shutdownOutput();
                } catch (IOException e) {
                    throw new AssertionError(e);
                }
            });
            sending.start();
            await().until(() -> before.forwarder.bufferedBytes() > 0);
            before.forwarder.stopAccepting();
            between.apply(web);
            assertThat(move(before, between)).isEqualTo(1);
            assertThat(before.forwarder.bufferedBytes()).isZero();
            await().until(() -> between.forwarder.bufferedBytes() > 0);
            client.getOutputStream().write('?');
            assertThat(endpoint.getInputStream().read()).isEqualTo('?');
            between.forwarder.stopAccepting();
            after.apply(web);
            assertThat(move(between, after)).isEqualTo(1);
            assertThat(client.getInputStream().readNBytes(sent.length)).isEqualTo(sent);
            Lab.assertEof(client.getInputStream());
            sending.join();
            client.getOutputStream().write('!');
            assertThat(endpoint.getInputStream().read()).isEqualTo('!');
            client.shutdownOutput();
            Lab.assertEof(endpoint.getInputStream());
            await().until(() -> after.forwarder.sessions() == 0);
            assertThat(after.forwarder.bufferedBytes()).isZero();
        }
    }

    @Test
    void aConnectionThatIsClosedInOneDirectionStaysSo() throws Exception {
        try (Lab before = new Lab(1);
                Lab after = new Lab(1)) {
            EndpointServer server = before.endpointServer(EndpointServer.Kind.MANUAL);
            ServicePort web = Lab.service("web", address, server.endpoint());
            before.apply(web);
            List<Socket> clients = new ArrayList<>();
            List<Socket> endpoints = new ArrayList<>();
            for (int i = 0; i < 3; i++) {
                clients.add(before.dial(address));
                endpoints.add(before.closing(server.next()));
            }
            clients.get(0).shutdownOutput();
            Lab.assertEof(endpoints.get(0).getInputStream());
            endpoints.get(1).shutdownOutput();
            Lab.assertEof(clients.get(1).getInputStream());
            clients.get(2).shutdownOutput();
            Lab.assertEof(endpoints.get(2).getInputStream());
            before.forwarder.stopAccepting();
            after.apply(web);
            assertThat(move(before, after)).isEqualTo(3);
            endpoints.get(0).getOutputStream().write('!');
            assertThat(clients.get(0).getInputStream().read()).isEqualTo('!');
            endpoints.get(0).close();
            Lab.assertEof(clients.get(0).getInputStream());
            clients.get(1).getOutputStream().write('?');
            assertThat(endpoints.get(1).getInputStream().read()).isEqualTo('?');
            clients.get(1).close();
            Lab.assertEof(endpoints.get(1).getInputStream());
            await().until(() -> after.forwarder.sessions() == 1);
            after.advance(ForwarderConfig.defaults().halfClosedTimeout().plusSeconds(1));
            assertReset(clients.get(2));
            assertThat(after.count(Counter.SESSIONS_TIMED_OUT)).isEqualTo(1);
        }
    }

    @Test
    void whatHappensBetweenReleaseAndReceiptIsForwarded() throws Exception {
        try (Lab before = new Lab(1);
                Lab after = new Lab(1)) {
            EndpointServer server = before.endpointServer(EndpointServer.Kind.MANUAL);
            ServicePort web = Lab.service("web", address, server.endpoint());
            before.apply(web);
            List<Socket> clients = new ArrayList<>();
            List<Socket> endpoints = new ArrayList<>();
            for (int i = 0; i < 4; i++) {
                clients.add(before.dial(address));
                endpoints.add(before.closing(server.next()));
            }
            awaitOpen(before, 4);
            before.forwarder.stopAccepting();
            after.apply(web);
            List<MovedConnection> released = before.forwarder.releaseConnections(64);
            List<MovedConnection> received = received(released);
            UnixSocket.closeAll(MovedConnection.descriptors(released));
            clients.get(0).getOutputStream().write('?');
            clients.get(1).getOutputStream().write('?');
            clients.get(1).close();
            clients.get(2).setSoLinger(true, 0);
            clients.get(2).close();
            endpoints.get(3).sendUrgentData('!');
            after.forwarder.receiveConnections(() -> received);
            assertThat(endpoints.get(0).getInputStream().read()).isEqualTo('?');
            assertThat(endpoints.get(1).getInputStream().read()).isEqualTo('?');
            Lab.assertEof(endpoints.get(1).getInputStream());
            assertReset(endpoints.get(2));
            assertThat(clients.get(3).getInputStream().read()).isEqualTo('!');
        }
    }

    @Test
    void aForwarderResumesWhatTheOtherDidNotTake() throws Exception {
        try (Lab lab = new Lab()) {
            EndpointServer server = lab.endpointServer(EndpointServer.Kind.MANUAL);
            lab.apply(Lab.service("web", address, server.endpoint()));
            Socket client = lab.dial(address);
            Socket endpoint = lab.closing(server.next());
            assertExchange(client, endpoint);
            lab.forwarder.stopAccepting();
            List<MovedConnection> released = lab.forwarder.releaseConnections(64);
            client.getOutputStream().write('?');
            lab.forwarder.takeBackConnections(released);
            assertThat(endpoint.getInputStream().read()).isEqualTo('?');
            assertExchange(client, endpoint);
            assertThat(lab.count(Counter.SESSIONS_RECEIVED)).isZero();
            assertThat(lab.count(Counter.SESSIONS_ACTIVE)).isEqualTo(1);
        }
    }

    @Test
    void connectionsOfRemovedServicesAndEndpointsContinue() throws Exception {
        FrontendAddress other = Lab.freeAddress(Protocol.TCP);
        try (Lab before = new Lab();
                Lab after = new Lab(1)) {
            EndpointServer server = before.endpointServer(EndpointServer.Kind.MANUAL);
            EndpointServer another = before.endpointServer("another");
            before.apply(
                    Lab.service("web", address, server.endpoint()), Lab.service("removed", other, server.endpoint()));
            Socket client = before.dial(address);
            Socket endpoint = before.closing(server.next());
            Socket orphan = before.dial(other);
            Socket orphanEndpoint = before.closing(server.next());
            awaitOpen(before, 2);
            before.forwarder.stopAccepting();
            after.apply(Lab.service("web", address, another.endpoint()));
            assertThat(move(before, after)).isEqualTo(2);
            assertExchange(client, endpoint);
            assertExchange(orphan, orphanEndpoint);
            assertThat(after.forwarder.endpoints())
                    .as("listed while it has connections")
                    .extracting(status -> status.endpoint())
                    .containsExactlyInAnyOrder(another.endpoint(), server.endpoint());
            after.apply(Lab.service("web", address, another.endpoint()), Lab.service("new", other, server.endpoint()));
            assertExchange(client, endpoint);
            assertExchange(orphan, orphanEndpoint);
            client.close();
            orphan.close();
            Lab.assertEof(endpoint.getInputStream());
            Lab.assertEof(orphanEndpoint.getInputStream());
            endpoint.close();
            orphanEndpoint.close();
            await().until(() -> after.forwarder.sessions() == 0);
        }
    }

    @Test
    void aDrainingConnectionGetsNoMoreTime() throws Exception {
        TrafficPolicy policy = Policies.of(Policies.onRemoval(Removal.DRAIN, Duration.ofSeconds(100)));
        try (Lab before = new Lab(1);
                Lab after = new Lab(1)) {
            EndpointServer server = before.endpointServer(EndpointServer.Kind.MANUAL);
            Endpoint another = before.endpointServer("another").endpoint();
            before.apply(Policies.service("web", address, policy, server.endpoint()));
            Socket client = before.dial(address);
            Socket endpoint = before.closing(server.next());
            assertExchange(client, endpoint);
            ServicePort web = Policies.service("web", address, policy, another);
            before.apply(web);
            before.awaitApplied();
            before.advance(Duration.ofSeconds(60));
            before.forwarder.stopAccepting();
            after.apply(web);
            assertThat(move(before, after)).isEqualTo(1);
            after.advance(Duration.ofSeconds(35));
            assertExchange(client, endpoint);
            after.advance(Duration.ofSeconds(10));
            assertReset(client);
            assertThat(after.count(Counter.SESSIONS_REMOVED)).isEqualTo(1);
        }
    }

    @Test
    void limitsCountConnectionsThatMoved() throws Exception {
        TrafficPolicy policy = Policies.of(new Limits(2, 0, 0, 0, 0));
        try (Lab before = new Lab();
                Lab after = new Lab()) {
            EndpointServer server = before.endpointServer(EndpointServer.Kind.ECHO);
            ServicePort web = Policies.service("web", address, policy, server.endpoint());
            before.apply(web);
            Socket one = before.dial(address);
            before.dial(address);
            awaitOpen(before, 2);
            before.forwarder.stopAccepting();
            after.apply(web);
            assertThat(move(before, after)).isEqualTo(2);
            // The reset may arrive before connect returns.
            assertThatThrownBy(() -> after.dial(address).getInputStream().read())
                    .isInstanceOf(SocketException.class);
            assertThat(after.count(Counter.SESSIONS_OVER_SERVICE_LIMIT)).isEqualTo(1);
            one.close();
            await().until(() -> after.forwarder.sessions() == 1);
            Socket again = after.dial(address);
            again.getOutputStream().write('?');
            assertThat(again.getInputStream().read()).isEqualTo('?');
        }
    }

    @Test
    void ageCountsFromTheStartOfTheConnection() throws Exception {
        TrafficPolicy policy = Policies.of(Policies.maxAge(Duration.ofSeconds(100)));
        try (Lab before = new Lab(1);
                Lab after = new Lab(1)) {
            EndpointServer server = before.endpointServer(EndpointServer.Kind.MANUAL);
            ServicePort web = Policies.service("web", address, policy, server.endpoint());
            before.apply(web);
            Socket client = before.dial(address);
            Socket endpoint = before.closing(server.next());
            assertExchange(client, endpoint);
            before.advance(Duration.ofSeconds(85));
            before.forwarder.stopAccepting();
            after.apply(web);
            assertThat(move(before, after)).isEqualTo(1);
            assertExchange(client, endpoint);
            after.advance(Duration.ofSeconds(30));
            Lab.assertEof(client.getInputStream());
            await().untilAsserted(() ->
                    assertThat(after.count(Counter.SESSIONS_TOO_OLD)).isEqualTo(1));
        }
    }

    @Test
    void aConnectionThatWaitsForAnEndpointWaitsInTheOtherForwarder() throws Exception {
        TrafficPolicy policy = Policies.of(Policies.hold(Duration.ofMinutes(1), 3));
        try (Lab before = new Lab();
                Lab after = new Lab()) {
            EndpointServer server = before.endpointServer(EndpointServer.Kind.ECHO);
            ServicePort withoutEndpoint = Policies.service("web", address, policy);
            before.apply(withoutEndpoint);
            Socket client = before.dial(address);
            client.getOutputStream().write('?');
            client.shutdownOutput();
            Socket reset = before.dial(address);
            await().untilAsserted(() ->
                    assertThat(before.count(Counter.SESSIONS_HOLDING)).isEqualTo(2));
            ForwarderHandover sockets = before.forwarder.release();
            before.forwarder.closeReleased(sockets);
            after.apply(withoutEndpoint);
            assertThat(move(before, after)).isEqualTo(2);
            assertThat(before.count(Counter.SESSIONS_HOLDING)).isZero();
            assertThat(after.count(Counter.SESSIONS_HOLDING)).isEqualTo(2);
            reset.setSoLinger(true, 0);
            reset.close();
            await().untilAsserted(() ->
                    assertThat(after.count(Counter.SESSIONS_HOLDING)).isEqualTo(1));
            after.apply(Policies.service("web", address, policy, server.endpoint()));
            assertThat(Lab.read(client)).isEqualTo("?");
        }
    }

    @Test
    void aConnectionThatIsBeingEstablishedIsNotReleased() throws Exception {
        try (Lab lab = new Lab()) {
            lab.apply(Lab.service("web", address, lab.silent()));
            lab.dial(address);
            await().until(() -> lab.forwarder.sessions() == 1);
            assertThat(lab.forwarder.releaseConnections(64)).isEmpty();
            assertThat(lab.forwarder.sessions()).isEqualTo(1);
        }
    }

    @Test
    void ipv6ConnectionsMove() throws Exception {
        FrontendAddress ipv6 = new FrontendAddress(Protocol.TCP, Lab.ip("::1"), address.port());
        try (Lab before = new Lab();
                Lab after = new Lab()) {
            EndpointServer server = before.closing(new EndpointServer(
                    "", EndpointServer.Kind.MANUAL, Lab.ip("::1").toInetAddress()));
            ServicePort web = Lab.service("web", ipv6, server.endpoint());
            before.apply(web);
            Socket client = before.dial(ipv6);
            Socket endpoint = before.closing(server.next());
            assertExchange(client, endpoint);
            before.forwarder.stopAccepting();
            after.apply(web);
            assertThat(move(before, after)).isEqualTo(1);
            assertExchange(client, endpoint);
        }
    }
}
