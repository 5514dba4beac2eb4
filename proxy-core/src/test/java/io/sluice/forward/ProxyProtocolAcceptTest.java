package io.sluice.forward;

import static io.sluice.forward.ProxyProtocolLab.await;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.sluice.model.Cidr;
import io.sluice.model.Endpoint;
import io.sluice.model.FrontendAddress;
import io.sluice.model.Protocol;
import io.sluice.model.SessionAffinity;
import io.sluice.model.TrafficPolicy.Limits;
import io.sluice.model.TrafficPolicy.ProxyHeader;
import io.sluice.proxyprotocol.ProxiedAddresses;
import io.sluice.proxyprotocol.ProxyHeaderWriter;
import io.sluice.stats.Counter;
import java.io.IOException;
import java.io.OutputStream;
import java.net.Socket;
import java.net.SocketException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashSet;
import java.util.HexFormat;
import java.util.List;
import java.util.Set;
import java.util.concurrent.CountDownLatch;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Named;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/** PROXY headers that trusted peers send. */
class ProxyProtocolAcceptTest {
    private static final Duration HEADER_TIMEOUT = Duration.ofSeconds(5);
    private static final String LOCAL_HEADER = "0d0a0d0a000d0a515549540a20000000";

    private final FrontendAddress address = Lab.freeAddress(Protocol.TCP);
    private final Lab lab = new Lab(1);

    @AfterEach
    void allConnectionsEnd() throws IOException {
        try {
            await().until(() -> {
                lab.advance(Duration.ofSeconds(10));
                return lab.forwarder.sessions() == 0;
            });
            await().until(() -> lab.forwarder.clients().areEmpty());
            assertThat(lab.forwarder.bufferedBytes()).isZero();
            assertThat(lab.count(Counter.SESSIONS_ACTIVE)).isZero();
        } finally {
            lab.close();
        }
    }

    private EndpointServer echo() throws IOException {
        return lab.endpointServer(EndpointServer.Kind.ECHO);
    }

    private static byte[] header(ProxyHeader version, String client, int port) {
        ByteBuffer into = ByteBuffer.allocate(ProxyHeaderWriter.MAX_BYTES);
        int length = ProxyHeaderWriter.write(
                version, new ProxiedAddresses(Lab.ip(client), port, Lab.ip("198.51.100.1"), 443), false, into, 0);
        return Arrays.copyOf(into.array(), length);
    }

    private static byte[] local() {
        return HexFormat.of().parseHex(LOCAL_HEADER);
    }

    private static byte[] unknown() {
        return "PROXY UNKNOWN\r\n".getBytes(StandardCharsets.US_ASCII);
    }

    private static byte[] concat(byte[] first, byte[] second) {
        byte[] both = Arrays.copyOf(first, first.length + second.length);
        System.arraycopy(second, 0, both, first.length, second.length);
        return both;
    }

    private static void write(Socket socket, byte[] bytes) throws IOException {
        socket.getOutputStream().write(bytes);
    }

    private static void assertReset(Socket socket) {
        assertThatThrownBy(() -> socket.getInputStream().read()).isInstanceOf(SocketException.class);
    }

    private void assertRejectedForItsHeader() {
        await().until(() -> lab.ended.size() == 1);
        assertThat(lab.ended.get(0).end()).isEqualTo(EndedConnection.End.REFUSED);
        assertThat(lab.ended.get(0).tries()).isZero();
        assertThat(lab.count(Counter.SESSIONS_WITHOUT_HEADER)).isEqualTo(1);
        assertThat(lab.count(Counter.SESSIONS_OPENED)).isEqualTo(1);
    }

    /** Sends a header with the port 4242 and returns what the endpoint sends. */
    private String ask(String client) throws IOException {
        try (Socket socket = lab.dial(address)) {
            write(socket, header(ProxyHeader.V2, client, 4242));
            return Lab.read(socket);
        }
    }

    private ConnectionStatus onlyConnection() {
        List<ConnectionStatus> open =
                lab.forwarder.connections(ConnectionFilter.ALL, null, 10).items();
        assertThat(open).hasSize(1);
        return open.get(0);
    }

    // ---- valid headers

    static Stream<Arguments> headers() {
        return Stream.of("192.0.2.1 4242", "2001:db8::1 65535").flatMap(client -> {
            String[] fields = client.split(" ");
            return Stream.of(ProxyHeader.V1, ProxyHeader.V2).map(version -> {
                byte[] header = header(version, fields[0], Integer.parseInt(fields[1]));
                return Arguments.of(Named.of(version.name(), header), client);
            });
        });
    }

    @ParameterizedTest
    @MethodSource("headers")
    void believesTheHeader(byte[] header, String client) throws Exception {
        lab.apply(ProxyProtocolLab.service(address, ProxyProtocolLab.ACCEPT, echo().endpoint()));
        Socket socket = lab.dial(address);
        write(socket, header);
        write(socket, new byte[] {7});
        assertThat(socket.getInputStream().read()).isEqualTo(7);
        Listing<ConnectionStatus> listing = lab.forwarder.connections(ConnectionFilter.ALL, null, 10);
        assertThat(listing.items()).hasSize(1);
        assertThat(listing.items().get(0).client() + " "
                        + listing.items().get(0).clientPort())
                .isEqualTo(client);
        socket.shutdownOutput();
        Lab.assertEof(socket.getInputStream());
        assertThat(ProxyProtocolLab.endedClient(lab)).isEqualTo(client);
        await().until(() -> lab.count(Counter.BYTES_TO_ENDPOINT) == 1);
    }

    @ParameterizedTest
    @MethodSource("headers")
    void forwardsThePayloadInTheSegmentOfTheHeader(byte[] header, String client) throws Exception {
        lab.apply(ProxyProtocolLab.service(address, ProxyProtocolLab.ACCEPT, echo().endpoint()));
        for (int length : new int[] {1, 100, 16_000}) {
            Socket socket = lab.dial(address);
            write(socket, concat(header, Lab.bytes(length)));
            socket.shutdownOutput();
            assertThat(socket.getInputStream().readAllBytes()).isEqualTo(Lab.bytes(length));
        }
        await().until(() -> lab.ended.size() == 3);
        assertThat(lab.ended).allMatch(each -> (each.client() + " " + each.clientPort()).equals(client));
    }

    /** The loop reads each part on its own: it is awaited before the next part is sent. */
    @ParameterizedTest
    @MethodSource("headers")
    void forwardsThePayloadBehindASplitHeader(byte[] header, String client) throws Exception {
        lab.apply(ProxyProtocolLab.service(address, ProxyProtocolLab.ACCEPT, echo().endpoint()));
        Socket socket = lab.dial(address);
        socket.setTcpNoDelay(true);
        for (int i = 0; i < header.length - 1; i++) {
            write(socket, new byte[] {header[i]});
            if (i % 8 == 0) {
                awaitRead();
            }
        }
        write(socket, concat(new byte[] {header[header.length - 1]}, Lab.bytes(5_000)));
        socket.shutdownOutput();
        assertThat(socket.getInputStream().readAllBytes()).isEqualTo(Lab.bytes(5_000));
        assertThat(ProxyProtocolLab.endedClient(lab)).isEqualTo(client);
    }

    /** Waits until the loop has handled what was sent so far. */
    private void awaitRead() throws InterruptedException {
        for (int i = 0; i < 2; i++) {
            lab.stopLoop().countDown();
        }
    }

    @ParameterizedTest
    @MethodSource("headers")
    void forwardsManyBytesBehindTheHeader(byte[] header, String client) throws Exception {
        EndpointServer server = lab.endpointServer(EndpointServer.Kind.MANUAL);
        lab.apply(ProxyProtocolLab.service(address, ProxyProtocolLab.ACCEPT, server.endpoint()));
        byte[] payload = Lab.bytes(4 << 20);
        Socket socket = lab.dial(address);
        Thread writer = new Thread(() -> {
            try {
                OutputStream out = socket.getOutputStream();
                out.write(concat(header, payload));
                socket.shutdownOutput();
            } catch (IOException e) {
                throw new AssertionError(e);
            }
        });
        writer.start();
        try (Socket endpoint = server.next()) {
            assertThat(endpoint.getInputStream().readAllBytes()).isEqualTo(payload);
        }
        writer.join();
        Lab.assertEof(socket.getInputStream());
        assertThat(ProxyProtocolLab.endedClient(lab)).isEqualTo(client);
    }

    @Test
    void thePayloadReachesTheNextEndpointIfTheFirstRefuses() throws Exception {
        lab.apply(ProxyProtocolLab.service(
                address, ProxyProtocolLab.ACCEPT, Lab.closedPort(), Lab.closedPort(), echo().endpoint()));
        Socket socket = lab.dial(address);
        write(socket, concat(header(ProxyHeader.V2, "192.0.2.1", 4242), Lab.bytes(3_000)));
        socket.shutdownOutput();
        assertThat(socket.getInputStream().readAllBytes()).isEqualTo(Lab.bytes(3_000));
    }

    /** The client's socket is registered by then, because the header did not arrive at once. */
    @Test
    void forwardsWhatArrivesWhileConnecting() throws Exception {
        lab.apply(ProxyProtocolLab.service(address, ProxyProtocolLab.ACCEPT, lab.silent(), echo().endpoint()));
        byte[] header = header(ProxyHeader.V2, "192.0.2.1", 4242);
        // At least one of the two connections tries the silent endpoint first.
        for (int i = 0; i < 2; i++) {
            Socket socket = lab.dial(address);
            write(socket, Arrays.copyOf(header, 10));
            awaitRead();
            write(socket, Arrays.copyOfRange(concat(header, Lab.bytes(30)), 10, header.length + 10));
            awaitRead();
            write(socket, Arrays.copyOfRange(Lab.bytes(30), 10, 30));
            socket.shutdownOutput();
            awaitRead();
            lab.advance(Duration.ofSeconds(2));
            assertThat(socket.getInputStream().readAllBytes()).isEqualTo(Lab.bytes(30));
        }
        assertThat(lab.count(Counter.CONNECT_TIMEOUT)).isPositive();
    }

    @Test
    void endsAConnectionThatIsResetAfterTheHeaderWhileConnecting() throws Exception {
        lab.apply(ProxyProtocolLab.service(address, ProxyProtocolLab.ACCEPT, lab.silent()));
        try (Socket socket = lab.dial(address)) {
            byte[] header = header(ProxyHeader.V2, "192.0.2.1", 4242);
            write(socket, Arrays.copyOf(header, 10));
            awaitRead();
            write(socket, Arrays.copyOfRange(header, 10, header.length));
            await().until(() -> onlyConnection().state() == ConnectionStatus.State.CONNECTING);
            socket.setSoLinger(true, 0);
        }
        await().until(() -> lab.ended.size() == 1);
        assertThat(lab.ended.get(0).end()).isEqualTo(EndedConnection.End.CLIENT_RESET);
    }

    /** A Service that allows no client has ranges that contain only these addresses. */
    @Test
    void doesNotBelieveAnUnspecifiedAddress() throws Exception {
        lab.apply(ProxyProtocolLab.service(
                address, ProxyProtocolLab.ACCEPT, lab.endpointServer("up").endpoint()));
        for (String line : List.of("PROXY TCP4 0.0.0.0 1.1.1.1 1 2\r\n", "PROXY TCP6 :: ::1 1 2\r\n")) {
            try (Socket socket = lab.dial(address)) {
                write(socket, line.getBytes(StandardCharsets.US_ASCII));
                assertThatThrownBy(() -> Lab.read(socket)).isInstanceOf(SocketException.class);
            }
        }
        assertThat(lab.count(Counter.SESSIONS_WITHOUT_HEADER)).isEqualTo(2);
    }

    /** The loop sees both in one event, which is reported only once. */
    @Test
    void endsAConnectionThatIsResetTogetherWithTheEndOfTheHeader() throws Exception {
        lab.apply(ProxyProtocolLab.service(address, ProxyProtocolLab.ACCEPT, lab.silent()));
        byte[] header = header(ProxyHeader.V2, "192.0.2.1", 4242);
        CountDownLatch release;
        try (Socket socket = lab.dial(address)) {
            write(socket, Arrays.copyOf(header, 10));
            awaitRead();
            release = lab.stopLoop();
            write(socket, Arrays.copyOfRange(header, 10, header.length));
            socket.setSoLinger(true, 0);
        }
        release.countDown();
        await().atMost(Duration.ofSeconds(2)).until(() -> lab.ended.size() == 1);
        assertThat(lab.ended.get(0).end()).isEqualTo(EndedConnection.End.CLIENT_RESET);
    }

    @Test
    void believesTheHeaderOfAnIpv6Peer() throws Exception {
        FrontendAddress ipv6 = new FrontendAddress(Protocol.TCP, Lab.ip("::1"), address.port());
        lab.apply(ProxyProtocolLab.service(
                ipv6, ProxyProtocolLab.accept("::1/128", ProxyHeader.NONE), echo().endpoint()));
        Socket socket = lab.dial(ipv6);
        write(socket, concat(header(ProxyHeader.V2, "192.0.2.1", 4242), Lab.bytes(10)));
        socket.shutdownOutput();
        assertThat(socket.getInputStream().readAllBytes()).isEqualTo(Lab.bytes(10));
        assertThat(ProxyProtocolLab.endedClient(lab)).isEqualTo("192.0.2.1 4242");
    }

    /** A health check of a load balancer, for example. */
    @ParameterizedTest
    @ValueSource(booleans = {true, false})
    void withoutAddressesInTheHeaderThePeerIsTheClient(boolean local) throws Exception {
        lab.apply(ProxyProtocolLab.service(address, ProxyProtocolLab.ACCEPT, echo().endpoint()));
        Socket socket = lab.dial(address, "127.0.0.9");
        write(socket, concat(local ? local() : unknown(), Lab.bytes(10)));
        socket.shutdownOutput();
        assertThat(socket.getInputStream().readAllBytes()).isEqualTo(Lab.bytes(10));
        assertThat(ProxyProtocolLab.endedClient(lab)).isEqualTo("127.0.0.9 " + socket.getLocalPort());
    }

    @Test
    void aHeaderFromAnotherPeerIsPayload() throws Exception {
        lab.apply(ProxyProtocolLab.service(
                address, ProxyProtocolLab.accept("127.0.0.8/32", ProxyHeader.NONE), echo().endpoint()));
        Socket socket = lab.dial(address, "127.0.0.9");
        byte[] header = header(ProxyHeader.V1, "192.0.2.1", 4242);
        write(socket, header);
        socket.shutdownOutput();
        assertThat(socket.getInputStream().readAllBytes()).isEqualTo(header);
        assertThat(ProxyProtocolLab.endedClient(lab)).isEqualTo("127.0.0.9 " + socket.getLocalPort());
    }

    /** The endpoint would wait forever if Sluice waited for a header of this peer. */
    @Test
    void anotherPeerNeedNotSendAnything() throws Exception {
        lab.apply(ProxyProtocolLab.service(
                address,
                ProxyProtocolLab.accept("127.0.0.8/32", ProxyHeader.NONE),
                lab.endpointServer("greeting").endpoint()));
        assertThat(lab.ask(address, "127.0.0.9")).isEqualTo("greeting");
    }

    // ---- missing and malformed headers

    static Stream<Named<byte[]>> beginnings() {
        return Stream.of(
                Named.of("nothing", new byte[0]),
                Named.of("part of V1", Arrays.copyOf(header(ProxyHeader.V1, "192.0.2.1", 4242), 20)),
                Named.of("part of V2", Arrays.copyOf(header(ProxyHeader.V2, "192.0.2.1", 4242), 27)));
    }

    @ParameterizedTest
    @MethodSource("beginnings")
    void resetsAConnectionWithoutHeaderAfterFiveSeconds(byte[] beginning) throws Exception {
        EndpointServer server = echo();
        lab.apply(ProxyProtocolLab.service(address, ProxyProtocolLab.ACCEPT, server.endpoint()));
        Socket socket = lab.dial(address);
        write(socket, beginning);
        await().until(() -> lab.forwarder.sessions() == 1);
        lab.advance(HEADER_TIMEOUT.dividedBy(2));
        awaitRead();
        assertThat(lab.forwarder.sessions()).isEqualTo(1);
        lab.advance(HEADER_TIMEOUT.dividedBy(2));
        assertReset(socket);
        assertRejectedForItsHeader();
        assertThat(server.accepted).hasValue(0);
    }

    /** The timeout applies to the whole header, so a peer cannot extend it by sending single bytes. */
    @Test
    void slowBytesDoNotExtendTheTimeout() throws Exception {
        lab.apply(ProxyProtocolLab.service(address, ProxyProtocolLab.ACCEPT, echo().endpoint()));
        Socket socket = lab.dial(address);
        for (byte each : "PROXY".getBytes(StandardCharsets.US_ASCII)) {
            write(socket, new byte[] {each});
            awaitRead();
            lab.advance(HEADER_TIMEOUT.dividedBy(6));
        }
        lab.advance(HEADER_TIMEOUT.dividedBy(6));
        assertReset(socket);
        assertRejectedForItsHeader();
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "GET / HTTP/1.1\r\n\r\n",
                "\u0016\u0003\u0001",
                "PR0XY",
                "PROXY TCP4 192.0.2.1 198.51.100.1 4242 65536\r\n",
                "PROXY TCP4 2001:db8::1 2001:db8::2 4242 443\r\n",
                "PROXY TCP4 192.0.2.1 198.51.100.1 4242 443\nGET / HTTP/1.1\r\n\r\n",
                "\r\n\r\n\0\r\nQUIT\n\u0011"
            })
    void resetsAConnectionWithAMalformedHeaderImmediately(String bytes) throws Exception {
        EndpointServer server = echo();
        lab.apply(ProxyProtocolLab.service(address, ProxyProtocolLab.ACCEPT, server.endpoint()));
        Socket socket = lab.dial(address);
        write(socket, bytes.getBytes(StandardCharsets.ISO_8859_1));
        assertReset(socket);
        assertRejectedForItsHeader();
        assertThat(server.accepted).hasValue(0);
    }

    @ParameterizedTest
    @MethodSource("beginnings")
    void endsAConnectionThatIsClosedBeforeTheEndOfTheHeader(byte[] beginning) throws Exception {
        EndpointServer server = echo();
        lab.apply(ProxyProtocolLab.service(address, ProxyProtocolLab.ACCEPT, server.endpoint()));
        try (Socket socket = lab.dial(address)) {
            write(socket, beginning);
        }
        await().until(() -> lab.ended.size() == 1);
        assertThat(lab.forwarder.sessions()).isZero();
        assertThat(server.accepted).hasValue(0);
    }

    @ParameterizedTest
    @MethodSource("beginnings")
    void endsAConnectionThatIsResetBeforeTheEndOfTheHeader(byte[] beginning) throws Exception {
        lab.apply(ProxyProtocolLab.service(address, ProxyProtocolLab.ACCEPT, echo().endpoint()));
        try (Socket socket = lab.dial(address)) {
            write(socket, beginning);
            await().until(() -> lab.forwarder.sessions() == 1);
            socket.setSoLinger(true, 0);
        }
        await().until(() -> lab.ended.size() == 1);
        assertThat(lab.forwarder.sessions()).isZero();
    }

    @Test
    void endsWaitingConnectionsWhenTheForwarderIsClosed() throws Exception {
        try (Lab closed = new Lab(1)) {
            closed.apply(ProxyProtocolLab.service(address, ProxyProtocolLab.ACCEPT, echo().endpoint()));
            Socket socket = lab.dial(address);
            write(socket, new byte[] {'P'});
            await().until(() -> closed.forwarder.sessions() == 1);
            closed.forwarder.close();
            assertReset(socket);
            assertThat(closed.forwarder.clients().areEmpty()).isTrue();
        }
    }

    /** Such a connection holds a descriptor before any limit of the Service applies. */
    @Test
    void limitsTheConnectionsOfOnePeerThatWait() throws Exception {
        lab.apply(ProxyProtocolLab.service(
                address, ProxyProtocolLab.ACCEPT, lab.endpointServer("a").endpoint()));
        int most = 1024;
        List<Socket> waiting = new ArrayList<>();
        for (int i = 0; i < most; i++) {
            waiting.add(lab.dial(address, "127.0.0.9"));
        }
        await().until(() -> lab.forwarder.sessions() == most);
        // The reset may arrive before connect returns.
        assertThatThrownBy(() -> lab.dial(address, "127.0.0.9").getInputStream().read())
                .isInstanceOf(SocketException.class);
        // Another peer, and connections whose header has arrived, are not affected.
        try (Socket other = lab.dial(address, "127.0.0.10")) {
            write(other, local());
            assertThat(Lab.read(other)).isEqualTo("a");
        }
        write(waiting.get(0), local());
        assertThat(Lab.read(waiting.get(0))).isEqualTo("a");
        waiting.get(0).close();
        try (Socket again = lab.dial(address, "127.0.0.9")) {
            write(again, local());
            assertThat(Lab.read(again)).isEqualTo("a");
        }
        for (Socket each : waiting) {
            each.close();
        }
    }

    // ---- what the client's address decides

    @Test
    void judgesSourceRangesByTheHeader() throws Exception {
        List<Cidr> ranges = List.of(ProxyProtocolLab.cidr("192.0.2.0/24"), ProxyProtocolLab.cidr("127.0.0.9/32"));
        lab.apply(ProxyProtocolLab.service(
                address,
                ProxyProtocolLab.ACCEPT,
                SessionAffinity.NONE,
                Limits.NONE,
                ranges,
                lab.endpointServer("a").endpoint()));
        assertThat(ask("192.0.2.1")).isEqualTo("a");
        assertThatThrownBy(() -> ask("203.0.113.1")).isInstanceOf(SocketException.class);
        assertThatThrownBy(() -> ask("2001:db8::1")).isInstanceOf(SocketException.class);
        assertThat(lab.count(Counter.SESSIONS_REFUSED)).isEqualTo(2);
        for (String peer : List.of("127.0.0.9", "127.0.0.10")) {
            Socket socket = lab.dial(address, peer);
            write(socket, local());
            if (peer.equals("127.0.0.9")) {
                assertThat(Lab.read(socket)).isEqualTo("a");
            } else {
                assertReset(socket);
            }
        }
        assertThat(lab.count(Counter.SESSIONS_REFUSED)).isEqualTo(3);
    }

    @Test
    void sessionAffinityFollowsTheHeader() throws Exception {
        Endpoint[] endpoints = {
            lab.endpointServer("a").endpoint(),
            lab.endpointServer("b").endpoint(),
            lab.endpointServer("c").endpoint()
        };
        lab.apply(ProxyProtocolLab.service(
                address, ProxyProtocolLab.ACCEPT, new SessionAffinity(3600), Limits.NONE, List.of(), endpoints));
        Set<String> names = new HashSet<>();
        for (int i = 1; i <= 3; i++) {
            String client = "192.0.2." + i;
            String name = ask(client);
            names.add(name);
            assertThat(ask(client)).isEqualTo(name);
        }
        assertThat(names).containsExactlyInAnyOrder("a", "b", "c");
    }

    @Test
    void limitsPerClientFollowTheHeader() throws Exception {
        lab.apply(ProxyProtocolLab.service(
                address,
                ProxyProtocolLab.ACCEPT,
                SessionAffinity.NONE,
                new Limits(0, 1, 0, 0, 0),
                List.of(),
                echo().endpoint()));
        List<Socket> open = new ArrayList<>();
        for (String client : List.of("192.0.2.1", "192.0.2.2")) {
            Socket socket = lab.dial(address);
            write(socket, concat(header(ProxyHeader.V2, client, 4242), new byte[] {7}));
            assertThat(socket.getInputStream().read()).isEqualTo(7);
            open.add(socket);
        }
        Socket third = lab.dial(address);
        write(third, header(ProxyHeader.V2, "192.0.2.2", 4243));
        assertReset(third);
        assertThat(lab.count(Counter.SESSIONS_OVER_CLIENT_LIMIT)).isEqualTo(1);
        for (Socket each : open) {
            each.close();
        }
    }

    // ---- the next header

    @ParameterizedTest
    @EnumSource(names = "NONE", mode = EnumSource.Mode.EXCLUDE)
    void sendsTheClientOfTheHeaderToTheEndpoint(ProxyHeader version) throws Exception {
        EndpointServer server = lab.endpointServer(EndpointServer.Kind.MANUAL);
        lab.apply(
                ProxyProtocolLab.service(address, ProxyProtocolLab.accept("127.0.0.0/8", version), server.endpoint()));
        Socket socket = lab.dial(address);
        write(socket, concat(header(ProxyHeader.V1, "192.0.2.1", 4242), Lab.bytes(100)));
        socket.shutdownOutput();
        try (Socket endpoint = server.next()) {
            assertThat(ReceivedHeader.read(endpoint.getInputStream()))
                    .isEqualTo(new ReceivedHeader(
                            version, false, "192.0.2.1 4242", address.address() + " " + address.port()));
            assertThat(endpoint.getInputStream().readAllBytes()).isEqualTo(Lab.bytes(100));
        }
    }
}
