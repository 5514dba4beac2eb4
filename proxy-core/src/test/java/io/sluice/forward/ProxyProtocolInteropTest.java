package io.sluice.forward;

import static io.sluice.forward.ProxyProtocolLab.await;
import static org.assertj.core.api.Assertions.assertThat;

import io.sluice.model.Endpoint;
import io.sluice.model.FrontendAddress;
import io.sluice.model.Protocol;
import io.sluice.model.TrafficPolicy.ProxyHeader;
import io.sluice.stats.Counter;
import java.io.IOException;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/** PROXY headers exchanged with HAProxy, nginx and a Go library that many proxies and servers use. */
@Tag("one-jdk")
@Timeout(120) // The first build of the Go program compiles the standard library.
class ProxyProtocolInteropTest {
    private static final String CLIENT = "127.0.0.9";

    private final FrontendAddress frontend = Lab.freeAddress(Protocol.TCP);
    private final FrontendAddress peer = Lab.freeAddress(Protocol.TCP);
    private final Lab lab = new Lab();
    private ProxyProtocolPeers peers;

    @BeforeEach
    void open(@TempDir Path directory) {
        peers = new ProxyProtocolPeers(lab, directory);
    }

    @AfterEach
    void close() throws IOException {
        lab.close();
    }

    private static FrontendAddress loopbackIpv6(FrontendAddress portOf) {
        return new FrontendAddress(Protocol.TCP, Lab.ip("::1"), portOf.port());
    }

    // ---- peers that send

    private void acceptHeaders() throws IOException {
        lab.apply(ProxyProtocolLab.service(
                frontend,
                ProxyProtocolLab.ACCEPT,
                lab.endpointServer(EndpointServer.Kind.ECHO).endpoint()));
    }

    /** Connects through the peer, which must tell Sluice the address of the connection. */
    private void assertClientIsBelieved() throws IOException {
        Socket client = lab.dial(peer, CLIENT);
        client.getOutputStream().write(Lab.bytes(100_000));
        client.shutdownOutput();
        assertThat(client.getInputStream().readAllBytes()).isEqualTo(Lab.bytes(100_000));
        await().untilAsserted(() -> assertThat(lab.ended)
                .anyMatch(each -> each.client().equals(Lab.ip(CLIENT))
                        && each.clientPort() == client.getLocalPort()
                        && each.bytesToEndpoint() == 100_000));
        assertThat(lab.count(Counter.SESSIONS_WITHOUT_HEADER)).isZero();
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "send-proxy",
                "send-proxy-v2",
                // With TLVs
                "send-proxy-v2 proxy-v2-options crc32c,unique-id"
            })
    void acceptsHeadersOfHaproxy(String options) throws Exception {
        acceptHeaders();
        peers.haproxySends(peer, frontend, options);
        assertClientIsBelieved();
    }

    /** HAProxy connects from its own address for a health check, and says so with the command LOCAL. */
    @Test
    void acceptsHealthChecksOfHaproxy() throws Exception {
        acceptHeaders();
        peers.haproxySends(peer, frontend, "send-proxy-v2 check inter 50ms");
        await().until(() -> lab.ended.stream()
                        .filter(each -> each.client().isLoopback() && each.tries() == 1)
                        .count()
                >= 3);
        assertThat(lab.count(Counter.SESSIONS_WITHOUT_HEADER)).isZero();
        assertClientIsBelieved();
    }

    @Test
    void acceptsHeadersOfNginx() throws Exception {
        acceptHeaders();
        peers.nginxSends(peer, frontend);
        assertClientIsBelieved();
    }

    @ParameterizedTest
    @CsvSource({
        "V1, 192.0.2.1:4242, 198.51.100.1:443, 192.0.2.1:4242",
        "V1, [2001:db8::1]:4242, [2001:db8::2]:443, [2001:db8::1]:4242",
        "V2, 192.0.2.1:4242, 198.51.100.1:443, 192.0.2.1:4242",
        "V2, [2001:db8::1]:4242, [2001:db8::2]:443, [2001:db8::1]:4242",
    })
    void acceptsHeadersOfGoProxyproto(String version, String source, String destination, String client)
            throws Exception {
        acceptHeaders();
        assertThat(peers.goSends(frontend, version, source, destination)).isEqualTo("ping");
        await().until(() -> lab.ended.size() == 1);
        EndedConnection ended = lab.ended.get(0);
        assertThat(ended.client().withPort(ended.clientPort())).isEqualTo(client);
    }

    // ---- peers that receive

    private enum Receiver {
        HAPROXY,
        NGINX,
        GO_PROXYPROTO
    }

    static Stream<Arguments> receivers() {
        return Stream.of(Receiver.values())
                .flatMap(receiver ->
                        Stream.of(ProxyHeader.V1, ProxyHeader.V2).map(version -> Arguments.of(receiver, version)));
    }

    private Endpoint start(Receiver receiver) throws IOException {
        switch (receiver) {
            case HAPROXY -> peers.haproxyReceives(peer);
            case NGINX -> peers.nginxReceives(peer);
            case GO_PROXYPROTO -> peers.goReceives(peer);
        }
        return new Endpoint(peer.address(), peer.port());
    }

    /** Sends a request, possibly after a header, and returns the body of the response. */
    private String get(Socket client, String header) throws IOException {
        client.getOutputStream().write((header + "GET / HTTP/1.0\r\n\r\n").getBytes(StandardCharsets.US_ASCII));
        String response = Lab.read(client);
        return response.substring(response.indexOf("\r\n\r\n") + 4);
    }

    @ParameterizedTest
    @MethodSource("receivers")
    void receiverAcceptsHeader(Receiver receiver, ProxyHeader version) throws Exception {
        FrontendAddress ipv6 = loopbackIpv6(frontend);
        Endpoint endpoint = start(receiver);
        lab.apply(
                ProxyProtocolLab.service(frontend, ProxyProtocolLab.send(version), endpoint),
                ProxyProtocolLab.service(ipv6, ProxyProtocolLab.send(version), endpoint));
        for (FrontendAddress each : new FrontendAddress[] {frontend, ipv6}) {
            Socket client = lab.dial(each);
            assertThat(get(client, ""))
                    .isEqualTo(
                            each.address().equals(ipv6.address())
                                    ? "::1 " + client.getLocalPort() + " ::1 " + ipv6.port()
                                    : "127.0.0.1 " + client.getLocalPort() + " " + frontend.address() + " "
                                            + frontend.port());
        }
    }

    /** The header has addresses of both families if the client in the accepted header is not IPv4. */
    @ParameterizedTest
    @MethodSource("receivers")
    void receiverAcceptsAddressesOfBothFamilies(Receiver receiver, ProxyHeader version) throws Exception {
        lab.apply(ProxyProtocolLab.service(frontend, ProxyProtocolLab.accept("127.0.0.0/8", version), start(receiver)));
        assertThat(get(lab.dial(frontend), "PROXY TCP6 2001:db8::1 ::ffff:198.51.100.1 4242 443\r\n"))
                .startsWith("2001:db8::1 4242 ");
    }
}
