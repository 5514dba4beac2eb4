package io.sluice.forward;

import static io.sluice.forward.ProxyProtocolLab.await;
import static org.assertj.core.api.Assertions.assertThat;

import io.sluice.model.Endpoint;
import io.sluice.model.FrontendAddress;
import io.sluice.model.Protocol;
import io.sluice.model.TrafficPolicy;
import io.sluice.model.TrafficPolicy.ProxyHeader;
import io.sluice.stats.Counter;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.net.DatagramPacket;
import java.net.DatagramSocket;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

/** PROXY headers that endpoints receive. */
class ProxyProtocolSendTest {
    private static final int MAX_PAYLOAD = 65_507;
    private static final int INET_HEADER = 28;
    private static final int INET6_HEADER = 52;

    private final FrontendAddress tcp = Lab.freeAddress(Protocol.TCP);
    private final FrontendAddress udp = Lab.freeAddress(Protocol.UDP);
    private final Lab lab = new Lab(1);

    @AfterEach
    void close() throws IOException {
        lab.close();
    }

    // ---- TCP

    @ParameterizedTest
    @EnumSource(names = "NONE", mode = EnumSource.Mode.EXCLUDE)
    void sendsHeaderBeforeThePayload(ProxyHeader version) throws Exception {
        EndpointServer server = lab.endpointServer(EndpointServer.Kind.MANUAL);
        lab.apply(ProxyProtocolLab.service(tcp, ProxyProtocolLab.send(version), server.endpoint()));
        Socket client = lab.dial(tcp, "127.0.0.9");
        client.getOutputStream().write(Lab.bytes(100_000));
        client.shutdownOutput();
        try (Socket endpoint = server.next()) {
            assertThat(ReceivedHeader.read(endpoint.getInputStream())).isEqualTo(ReceivedHeader.of(version, client));
            assertThat(endpoint.getInputStream().readAllBytes()).isEqualTo(Lab.bytes(100_000));
            endpoint.getOutputStream().write(Lab.bytes(50_000));
        }
        assertThat(client.getInputStream().readAllBytes()).isEqualTo(Lab.bytes(50_000));
        await().until(() -> lab.ended.size() == 1);
        assertThat(lab.ended.get(0).bytesToEndpoint()).isEqualTo(100_000);
        await().until(() -> lab.count(Counter.BYTES_TO_ENDPOINT) == 100_000);
    }

    @ParameterizedTest
    @EnumSource(names = "NONE", mode = EnumSource.Mode.EXCLUDE)
    void sendsHeaderOverIpv6(ProxyHeader version) throws Exception {
        FrontendAddress v6 = new FrontendAddress(Protocol.TCP, Lab.ip("::1"), tcp.port());
        EndpointServer server = lab.endpointServer(EndpointServer.Kind.MANUAL);
        lab.apply(ProxyProtocolLab.service(v6, ProxyProtocolLab.send(version), server.endpoint()));
        Socket client = lab.dial(v6);
        try (Socket endpoint = server.next()) {
            assertThat(ReceivedHeader.read(endpoint.getInputStream())).isEqualTo(ReceivedHeader.of(version, client));
        }
    }

    /** In SMTP or MySQL the server sends the first byte, and the client may send none for a long time. */
    @ParameterizedTest
    @EnumSource(names = "NONE", mode = EnumSource.Mode.EXCLUDE)
    void sendsHeaderToAnEndpointThatSpeaksFirst(ProxyHeader version) throws Exception {
        EndpointServer server = lab.endpointServer(EndpointServer.Kind.MANUAL);
        lab.apply(ProxyProtocolLab.service(tcp, ProxyProtocolLab.send(version), server.endpoint()));
        Socket client = lab.dial(tcp);
        try (Socket endpoint = server.next()) {
            endpoint.setSoTimeout(5_000);
            endpoint.getOutputStream().write(7);
            assertThat(client.getInputStream().read()).isEqualTo(7);
            assertThat(ReceivedHeader.read(endpoint.getInputStream())).isEqualTo(ReceivedHeader.of(version, client));
            client.getOutputStream().write(8);
            assertThat(endpoint.getInputStream().read()).isEqualTo(8);
        }
    }

    /** The loop sees connect, greeting, payload and FIN in one round. */
    @ParameterizedTest
    @EnumSource(names = "NONE", mode = EnumSource.Mode.EXCLUDE)
    void sendsHeaderFirstIfEverythingArrivesAtOnce(ProxyHeader version) throws Exception {
        EndpointServer server = lab.endpointServer(EndpointServer.Kind.MANUAL);
        lab.apply(ProxyProtocolLab.service(tcp, ProxyProtocolLab.send(version), server.endpoint()));
        CountDownLatch release = lab.stopLoop();
        Socket client = lab.dial(tcp);
        client.getOutputStream().write(Lab.bytes(1_000));
        client.shutdownOutput();
        release.countDown();
        try (Socket endpoint = server.next()) {
            assertThat(ReceivedHeader.read(endpoint.getInputStream())).isEqualTo(ReceivedHeader.of(version, client));
            assertThat(endpoint.getInputStream().readAllBytes()).isEqualTo(Lab.bytes(1_000));
        }
    }

    @Test
    void sendsOneHeaderToTheNextEndpointIfTheFirstRefuses() throws Exception {
        EndpointServer server = lab.endpointServer(EndpointServer.Kind.MANUAL);
        lab.apply(ProxyProtocolLab.service(
                tcp, ProxyProtocolLab.send(ProxyHeader.V2), Lab.closedPort(), Lab.closedPort(), server.endpoint()));
        Socket client = lab.dial(tcp);
        client.getOutputStream().write(7);
        client.shutdownOutput();
        try (Socket endpoint = server.next()) {
            assertThat(ReceivedHeader.read(endpoint.getInputStream()))
                    .isEqualTo(ReceivedHeader.of(ProxyHeader.V2, client));
            assertThat(endpoint.getInputStream().readAllBytes()).containsExactly(7);
        }
    }

    @Test
    void aChangeOfThePolicyAppliesToNewConnections() throws Exception {
        EndpointServer server = lab.endpointServer(EndpointServer.Kind.MANUAL);
        for (ProxyHeader version : List.of(ProxyHeader.V1, ProxyHeader.NONE, ProxyHeader.V2)) {
            lab.apply(ProxyProtocolLab.service(tcp, ProxyProtocolLab.send(version), server.endpoint()));
            Socket client = lab.dial(tcp);
            client.getOutputStream().write(7);
            try (Socket endpoint = server.next()) {
                endpoint.setSoTimeout(5_000);
                if (version != ProxyHeader.NONE) {
                    assertThat(ReceivedHeader.read(endpoint.getInputStream()))
                            .isEqualTo(ReceivedHeader.of(version, client));
                }
                assertThat(endpoint.getInputStream().read()).isEqualTo(7);
            }
        }
    }

    // ---- UDP

    private DatagramSocket endpoint() throws IOException {
        return socket("127.0.0.1");
    }

    private DatagramSocket socket(String ip) throws IOException {
        DatagramSocket socket =
                lab.closing(new DatagramSocket(new InetSocketAddress(Lab.ip(ip).toInetAddress(), 0)));
        socket.setReceiveBufferSize(1 << 20);
        socket.setSendBufferSize(1 << 20);
        socket.setSoTimeout(5_000);
        return socket;
    }

    private void serve(FrontendAddress address, DatagramSocket endpoint) {
        lab.apply(ProxyProtocolLab.service(
                address,
                ProxyProtocolLab.send(ProxyHeader.V2),
                new Endpoint(Lab.ip(endpoint.getLocalAddress().getHostAddress()), endpoint.getLocalPort())));
    }

    /** Not connected, because the JDK does not send empty datagrams on a connected socket. */
    private static void send(DatagramSocket from, FrontendAddress to, byte[] payload) throws IOException {
        from.send(new DatagramPacket(payload, payload.length, to.address().toSocketAddress(to.port())));
    }

    private static DatagramPacket receivePacket(DatagramSocket socket) throws IOException {
        DatagramPacket packet = new DatagramPacket(new byte[65_536], 65_536);
        socket.receive(packet);
        return packet;
    }

    private static byte[] receive(DatagramSocket socket) throws IOException {
        DatagramPacket packet = receivePacket(socket);
        return Arrays.copyOf(packet.getData(), packet.getLength());
    }

    /** Asserts that the datagram has the header of the client, and returns the rest. */
    private static byte[] payload(DatagramSocket client, FrontendAddress frontend, byte[] datagram) throws IOException {
        ByteArrayInputStream in = new ByteArrayInputStream(datagram);
        assertThat(ReceivedHeader.read(in))
                .isEqualTo(new ReceivedHeader(
                        ProxyHeader.V2,
                        true,
                        ReceivedHeader.text(client.getLocalAddress(), client.getLocalPort()),
                        ReceivedHeader.text(frontend.address().toInetAddress(), frontend.port())));
        return in.readAllBytes();
    }

    @ParameterizedTest
    @ValueSource(strings = {"127.0.0.9", "::1"})
    void sendsHeaderBeforeEveryDatagram(String ip) throws Exception {
        boolean ipv6 = ip.equals("::1");
        FrontendAddress address = ipv6 ? new FrontendAddress(Protocol.UDP, Lab.ip("::1"), udp.port()) : udp;
        DatagramSocket endpoint = endpoint();
        serve(address, endpoint);
        DatagramSocket client = socket(ip);
        for (int length : new int[] {1, 0, 512, 1_472, 9_000, MAX_PAYLOAD - (ipv6 ? INET6_HEADER : INET_HEADER)}) {
            send(client, address, Lab.bytes(length));
            DatagramPacket received = receivePacket(endpoint);
            byte[] datagram = Arrays.copyOf(received.getData(), received.getLength());
            assertThat(payload(client, address, datagram)).isEqualTo(Lab.bytes(length));
            // The reply has no header.
            endpoint.send(new DatagramPacket(Lab.bytes(length), length, received.getSocketAddress()));
            assertThat(receive(client)).isEqualTo(Lab.bytes(length));
        }
        assertThat(lab.count(Counter.FLOWS_OPENED)).isEqualTo(1);
    }

    /** Several datagrams of equal size are sent with one system call; each needs a header of its own. */
    @Test
    void sendsHeadersBeforeTheDatagramsOfABatch() throws Exception {
        DatagramSocket endpoint = endpoint();
        serve(udp, endpoint);
        List<DatagramSocket> clients = List.of(socket("127.0.0.9"), socket("127.0.0.10"));
        List<byte[]> sent = new ArrayList<>();
        CountDownLatch release = lab.stopLoop();
        for (DatagramSocket client : clients) {
            for (int i = 0; i < 10; i++) {
                byte[] payload = Lab.bytes(i < 7 ? 700 : 100 * i);
                sent.add(payload);
                send(client, udp, payload);
            }
        }
        release.countDown();
        int received = 0;
        for (DatagramSocket client : clients) {
            for (int i = 0; i < 10; i++) {
                assertThat(payload(client, udp, receive(endpoint))).isEqualTo(sent.get(received++));
            }
        }
        await().until(() -> lab.count(Counter.DATAGRAMS_TO_ENDPOINT) == 20);
    }

    @Test
    void dropsAndCountsDatagramsWithoutRoomForTheHeader() throws Exception {
        DatagramSocket endpoint = endpoint();
        serve(udp, endpoint);
        DatagramSocket client = socket("127.0.0.9");
        send(client, udp, Lab.bytes(MAX_PAYLOAD));
        send(client, udp, Lab.bytes(MAX_PAYLOAD - INET_HEADER + 1));
        send(client, udp, Lab.bytes(MAX_PAYLOAD - INET_HEADER));
        send(client, udp, Lab.bytes(5));
        assertThat(payload(client, udp, receive(endpoint))).isEqualTo(Lab.bytes(MAX_PAYLOAD - INET_HEADER));
        assertThat(payload(client, udp, receive(endpoint))).isEqualTo(Lab.bytes(5));
        await().until(() -> lab.count(Counter.DATAGRAMS_TOO_LONG) == 2);
        await().until(() -> lab.count(Counter.DATAGRAMS_TO_ENDPOINT) == 2);
    }

    /** The batch is sent again with the headers of the new flow. */
    @Test
    void sendsHeadersToTheNextEndpointIfTheFirstIsDead() throws Exception {
        DatagramSocket endpoint = endpoint();
        DatagramSocket dead = endpoint();
        Endpoint deadEndpoint = new Endpoint(Lab.ip("127.0.0.1"), dead.getLocalPort());
        Endpoint live = new Endpoint(Lab.ip("127.0.0.1"), endpoint.getLocalPort());
        dead.close();
        lab.apply(ProxyProtocolLab.service(udp, ProxyProtocolLab.send(ProxyHeader.V2), deadEndpoint, live));
        DatagramSocket client = socket("127.0.0.9");
        // The first datagram can be lost; its ICMP error is reported with the next one.
        for (int i = 1; i <= 4; i++) {
            send(client, udp, Lab.bytes(40));
            int sent = i;
            await().until(() ->
                    lab.count(Counter.DATAGRAMS_TO_ENDPOINT) + lab.count(Counter.DATAGRAMS_DROPPED) >= sent);
        }
        assertThat(payload(client, udp, receive(endpoint))).isEqualTo(Lab.bytes(40));
    }

    /** The flow of a datagram that is dropped has a timeout like any other. */
    @Test
    void aFlowThatOnlyHadTooLongADatagramEnds() throws Exception {
        try (Lab lab = new Lab(1);
                DatagramSocket server = new DatagramSocket(0, InetAddress.getLoopbackAddress());
                DatagramSocket client = new DatagramSocket()) {
            FrontendAddress address = Lab.freeAddress(Protocol.UDP);
            Endpoint endpoint = new Endpoint(Lab.ip("127.0.0.1"), server.getLocalPort());
            TrafficPolicy policy =
                    Policies.of(new TrafficPolicy.ProxyProtocol(TrafficPolicy.ProxyHeader.V2, List.of()));
            lab.apply(Policies.service("dns", address, policy, endpoint));
            InetAddress to = address.address().toInetAddress();
            client.send(new DatagramPacket(new byte[65_507], 65_507, to, address.port()));
            await().until(() -> lab.count(Counter.DATAGRAMS_TOO_LONG) == 1);
            assertThat(lab.forwarder.openFlows()).isEqualTo(1);
            lab.advance(Duration.ofMinutes(5));
            await().until(() -> lab.forwarder.openFlows() == 0);
        }
    }

    @Test
    void anOpenFlowSendsHeadersAsThePolicyChanges() throws Exception {
        try (Lab lab = new Lab(1);
                DatagramSocket server = new DatagramSocket(0, InetAddress.getLoopbackAddress());
                DatagramSocket client = new DatagramSocket()) {
            server.setSoTimeout(5_000);
            FrontendAddress address = Lab.freeAddress(Protocol.UDP);
            Endpoint endpoint = new Endpoint(Lab.ip("127.0.0.1"), server.getLocalPort());
            TrafficPolicy headers =
                    Policies.of(new TrafficPolicy.ProxyProtocol(TrafficPolicy.ProxyHeader.V2, List.of()));
            InetAddress to = address.address().toInetAddress();
            DatagramPacket received = new DatagramPacket(new byte[100], 100);
            int[] lengths = new int[3];
            for (int i = 0; i < 3; i++) {
                lab.apply(Policies.service("dns", address, i == 1 ? headers : TrafficPolicy.DEFAULT, endpoint));
                lab.awaitApplied();
                lab.forwarder.flows(ConnectionFilter.ALL, null, 1);
                client.send(new DatagramPacket(new byte[1], 1, to, address.port()));
                received.setLength(100);
                server.receive(received);
                lengths[i] = received.getLength();
            }
            assertThat(lengths).containsExactly(1, 1 + 28, 1);
            assertThat(lab.count(Counter.FLOWS_OPENED)).isEqualTo(1);
        }
    }
}
