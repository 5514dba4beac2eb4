package io.sluice.ops;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import ch.qos.logback.classic.Logger;
import ch.qos.logback.classic.spi.ILoggingEvent;
import ch.qos.logback.core.read.ListAppender;
import io.sluice.http.HttpPort;
import io.sluice.http.HttpServer;
import io.sluice.model.Family;
import io.sluice.model.HealthCheck;
import io.sluice.model.IpAddress;
import io.sluice.thread.Supervisor;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.ConnectException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.awaitility.core.ConditionFactory;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.slf4j.LoggerFactory;

/** Health check node ports while Services are added, changed and removed: the cases of kube-proxy, over real sockets. */
@Timeout(60)
final class HealthCheckPortsTest {
    private static final IpAddress LOOPBACK = IpAddress.v4(0x7f000001);

    private final HttpClient client = HttpClient.newHttpClient();
    private volatile boolean healthy = true;
    private final HttpServer server = new HttpServer(new Supervisor(), 256);
    private final HealthCheckPorts ports = new HealthCheckPorts(server, () -> healthy, Duration.ofMillis(20));

    private final Logger log = (Logger) LoggerFactory.getLogger(HttpPort.class);
    private final ListAppender<ILoggingEvent> logged = new ListAppender<>();

    @BeforeEach
    void start() {
        logged.start();
        log.addAppender(logged);
    }

    @AfterEach
    void close() {
        ports.close();
        server.close();
        log.detachAppender(logged);
    }

    private static HealthCheck everywhere(int port, int localEndpoints) {
        return new HealthCheck(List.of(), port, localEndpoints);
    }

    private static HealthCheck on(IpAddress address, int port, int localEndpoints) {
        return new HealthCheck(List.of(address), port, localEndpoints);
    }

    private InetSocketAddress address(String service) {
        soon().until(() -> !ports.addresses(service).isEmpty());
        return ports.addresses(service).get(0);
    }

    private HttpResponse<String> send(int port, String method, String path) throws Exception {
        return client.send(
                HttpRequest.newBuilder(URI.create("http://127.0.0.1:" + port + path))
                        .method(method, BodyPublishers.noBody())
                        .build(),
                BodyHandlers.ofString());
    }

    private void expect(String service, int status, int weight) {
        // Connections may be refused until the ports match the last change.
        soon().ignoreExceptionsInstanceOf(IOException.class).untilAsserted(() -> {
            HttpResponse<String> answer = send(address(service).getPort(), "GET", "/healthz");
            assertThat(answer.statusCode()).as(service).isEqualTo(status);
            assertThat(answer.headers().firstValue("X-Load-Balancing-Endpoint-Weight"))
                    .as(service)
                    .hasValue(Integer.toString(weight));
        });
    }

    private static ConditionFactory soon() {
        return await().pollDelay(Duration.ZERO).pollInterval(Duration.ofMillis(5));
    }

    @Test
    void respondsExactlyAsKubeProxy() throws Exception {
        ports.apply(Map.of("ns/svc", everywhere(0, 1)));
        int port = address("ns/svc").getPort();
        HttpResponse<String> answer = send(port, "GET", "/healthz");
        assertThat(answer.statusCode()).isEqualTo(200);
        assertThat(answer.body()).isEqualTo("""
                {
                \t"service": {
                \t\t"namespace": "ns",
                \t\t"name": "svc"
                \t},
                \t"localEndpoints": 1,
                \t"serviceProxyHealthy": true
                }""");
        assertThat(answer.headers().firstValue("Content-Type")).hasValue("application/json");
        assertThat(answer.headers().firstValue("X-Content-Type-Options")).hasValue("nosniff");
        assertThat(answer.headers().firstValue("X-Load-Balancing-Endpoint-Weight"))
                .hasValue("1");
    }

    @Test
    void listensOnBothFamiliesWithoutAddresses() throws Exception {
        ports.apply(Map.of("ns/svc", everywhere(0, 1)));
        int port = address("ns/svc").getPort();
        expect("ns/svc", 200, 1);
        try (ServerSocket v6 = new ServerSocket()) {
            v6.bind(new IpAddress(0, 1, Family.IPV6).toSocketAddress(0));
        } catch (IOException e) {
            assumeTrue(false, "this machine has no IPv6: " + e.getMessage());
        }
        URI uri = URI.create("http://[::1]:" + port + "/");
        assertThat(client.send(HttpRequest.newBuilder(uri).build(), BodyHandlers.ofString())
                        .statusCode())
                .isEqualTo(200);
    }

    @Test
    void acceptsAnyPathAndMethod() throws Exception {
        ports.apply(Map.of("ns/svc", everywhere(0, 1)));
        int port = address("ns/svc").getPort();
        for (String method : List.of("GET", "POST", "PUT", "DELETE", "OPTIONS", "HEAD")) {
            HttpResponse<String> answer = send(port, method, "/some/where?else=1");
            assertThat(answer.statusCode()).as(method).isEqualTo(200);
            assertThat(answer.body().isEmpty()).as(method).isEqualTo(method.equals("HEAD"));
        }
        HttpResponse<String> posted = client.send(
                HttpRequest.newBuilder(URI.create("http://127.0.0.1:" + port + "/"))
                        .POST(BodyPublishers.ofString("x".repeat(20_000)))
                        .build(),
                BodyHandlers.ofString());
        assertThat(posted.statusCode()).isEqualTo(200);
    }

    /** Corresponds to kube-proxy's TestServer, which updates Services and endpoints separately. */
    @Test
    void followsAddedChangedAndRemovedServices() throws Exception {
        assertThat(ports.addresses("a/b")).isEmpty();
        ports.apply(Map.of("a/b", everywhere(0, 0)));
        expect("a/b", 503, 0);
        InetSocketAddress kept = address("a/b");
        assertThat(kept.getAddress().isAnyLocalAddress()).isTrue();
        for (int count : new int[] {18, 0, 11, 0, 18}) {
            ports.apply(Map.of("a/b", everywhere(0, count)));
            expect("a/b", count == 0 ? 503 : 200, count);
        }
        assertThat(ports.addresses("a/b")).containsExactly(kept);
        ports.apply(Map.of());
        awaitRefused(kept);

        int first = freePort();
        Map<String, HealthCheck> three =
                Map.of("a/b", everywhere(0, 9), "c/d", everywhere(0, 3), "e/f", everywhere(first, 7));
        ports.apply(three);
        expect("a/b", 200, 9);
        expect("c/d", 200, 3);
        expect("e/f", 200, 7);
        InetSocketAddress ab = address("a/b");
        InetSocketAddress cd = address("c/d");
        InetSocketAddress ef = address("e/f");
        // a/b removed, c/d unchanged, e/f on another port, g/h new.
        Map<String, HealthCheck> next =
                new HashMap<>(Map.of("c/d", everywhere(0, 3), "e/f", everywhere(0, 0), "g/h", everywhere(0, 0)));
        ports.apply(next);
        awaitRefused(ab);
        awaitRefused(ef);
        assertThat(address("c/d")).isEqualTo(cd);
        expect("c/d", 200, 3);
        expect("e/f", 503, 0);
        expect("g/h", 503, 0);
        ports.apply(Map.of("c/d", everywhere(0, 0), "e/f", everywhere(0, 7), "g/h", everywhere(0, 6)));
        expect("c/d", 503, 0);
        expect("e/f", 200, 7);
        expect("g/h", 200, 6);

        healthy = false;
        expect("c/d", 503, 0);
        expect("e/f", 503, 7);
        expect("g/h", 503, 6);
        assertThat(send(address("e/f").getPort(), "GET", "/").body())
                .contains("\"localEndpoints\": 7", "\"serviceProxyHealthy\": false");
        healthy = true;
        expect("c/d", 503, 0);
        expect("e/f", 200, 7);
        expect("g/h", 200, 6);
    }

    /** Corresponds to kube-proxy's TestServerWithSelectiveListeningAddress. */
    @Test
    void listensOnlyOnTheGivenAddresses() throws Exception {
        IpAddress other = IpAddress.v4(0x7f60_0301);
        ports.apply(Map.of("a/b", new HealthCheck(List.of(LOOPBACK, other), 0, 0)));
        soon().until(() -> ports.addresses("a/b").size() == 2);
        assertThat(ports.addresses("a/b"))
                .extracting(InetSocketAddress::getAddress)
                .containsExactlyInAnyOrder(LOOPBACK.toInetAddress(), other.toInetAddress());
        InetSocketAddress gone = ports.addresses("a/b").stream()
                .filter(address -> address.getAddress().equals(other.toInetAddress()))
                .findFirst()
                .orElseThrow();
        ports.apply(Map.of("a/b", on(LOOPBACK, 0, 0)));
        awaitRefused(gone);
        expect("a/b", 503, 0);
    }

    @Test
    void retriesAPortInUseWithoutDelayingOthers() throws Exception {
        String expected;
        try (ServerSocket owner = new ServerSocket(0, 50, LOOPBACK.toInetAddress())) {
            ports.apply(Map.of("a/b", on(LOOPBACK, owner.getLocalPort(), 1), "c/d", on(LOOPBACK, 0, 1)));
            expect("c/d", 200, 1);
            // Each change triggers another attempt to open the port.
            for (int i = 2; i < 5; i++) {
                ports.apply(Map.of("a/b", on(LOOPBACK, owner.getLocalPort(), i), "c/d", on(LOOPBACK, 0, i)));
                expect("c/d", 200, i);
            }
            assertThat(ports.addresses("a/b")).isEmpty();
            expected = "cannot serve health check of Service a/b on 127.0.0.1:" + owner.getLocalPort();
        }
        expect("a/b", 200, 4);
        assertThat(logged.list)
                .extracting(ILoggingEvent::getFormattedMessage)
                .filteredOn(line -> line.startsWith(expected))
                .hasSize(1);
    }

    @Test
    void listensOnLocalAddressesIfOneIsNotLocal() throws Exception {
        IpAddress notLocal = IpAddress.v4(0xc000_0201);
        ports.apply(Map.of("a/b", new HealthCheck(List.of(notLocal, LOOPBACK), 0, 1)));
        expect("a/b", 200, 1);
        assertThat(ports.addresses("a/b")).hasSize(1);
    }

    @Test
    void reusesAPortForAnotherService() throws Exception {
        int port = freePort();
        ports.apply(Map.of("a/b", everywhere(port, 1)));
        expect("a/b", 200, 1);
        ports.apply(Map.of("c/d", everywhere(port, 2)));
        expect("c/d", 200, 2);
        assertThat(ports.addresses("a/b")).isEmpty();
    }

    @Test
    void respondsWithoutEndpointsToARequestDuringRemoval() throws Exception {
        ports.apply(Map.of("a/b", everywhere(0, 4)));
        InetSocketAddress address = address("a/b");
        try (Socket early = new Socket(LOOPBACK.toInetAddress(), address.getPort())) {
            early.getOutputStream().write("GET / HTTP/1.1\r\n".getBytes(StandardCharsets.US_ASCII));
            // Once this is answered, the earlier connection has been accepted as well.
            expect("a/b", 200, 4);
            ports.apply(Map.of());
            awaitRefused(address);
            early.getOutputStream().write("\r\n".getBytes(StandardCharsets.US_ASCII));
            assertThat(new String(early.getInputStream().readAllBytes(), StandardCharsets.US_ASCII))
                    .startsWith("HTTP/1.1 503 Service Unavailable\r\n")
                    .contains("X-Load-Balancing-Endpoint-Weight: 0\r\n")
                    .contains("\"localEndpoints\": 0");
        }
    }

    @Test
    void servesAThousandServicesOnOneThread() throws Exception {
        int before = Thread.activeCount();
        Map<String, HealthCheck> many = new HashMap<>();
        for (int i = 0; i < 1000; i++) {
            many.put("many/s" + i, on(LOOPBACK, 0, i));
        }
        ports.apply(many);
        await().until(() -> !ports.addresses("many/s0").isEmpty()
                && !ports.addresses("many/s999").isEmpty());
        assertThat(Thread.activeCount()).isLessThan(before + 10);
        expect("many/s0", 503, 0);
        expect("many/s999", 200, 999);
    }

    @Test
    void servesOthersDespiteSilentClients() throws Exception {
        ports.apply(Map.of("a/b", everywhere(0, 1)));
        int port = address("a/b").getPort();
        List<Socket> silent = new ArrayList<>();
        try {
            for (int i = 0; i < 300; i++) {
                silent.add(new Socket(LOOPBACK.toInetAddress(), port));
            }
            expect("a/b", 200, 1);
            assertThat(silent.get(0).getInputStream().read())
                    .as("the oldest was closed")
                    .isEqualTo(-1);
        } finally {
            for (Socket socket : silent) {
                socket.close();
            }
        }
    }

    @Test
    void closesAllPorts() {
        ports.apply(Map.of("a/b", everywhere(0, 1)));
        InetSocketAddress address = address("a/b");
        ports.close();
        assertThat(isRefused(address)).isTrue();
        assertThat(ports.addresses("a/b")).isEmpty();
        ports.close();
    }

    private static void awaitRefused(InetSocketAddress address) {
        soon().until(() -> isRefused(address));
    }

    private static boolean isRefused(InetSocketAddress address) {
        InetAddress at = address.getAddress().isAnyLocalAddress() ? LOOPBACK.toInetAddress() : address.getAddress();
        try (Socket socket = new Socket(at, address.getPort())) {
            return !socket.isConnected();
        } catch (ConnectException e) {
            return true;
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private static int freePort() throws IOException {
        try (ServerSocket socket = new ServerSocket(0)) {
            return socket.getLocalPort();
        }
    }
}
