package io.sluice.admin;

import static java.nio.charset.StandardCharsets.ISO_8859_1;
import static org.assertj.core.api.Assertions.assertThat;

import ch.qos.logback.classic.Level;
import ch.qos.logback.classic.Logger;
import io.sluice.http.HttpPort;
import io.sluice.http.HttpServer;
import io.sluice.http.Page;
import io.sluice.http.Request;
import io.sluice.http.Response;
import io.sluice.http.Routes;
import io.sluice.thread.Supervisor;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.Channels;
import java.nio.channels.SocketChannel;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.Function;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.slf4j.LoggerFactory;

/** Attacks the admin address and the Unix socket over plain sockets. */
@Timeout(60)
final class AdminRoutesTest {
    private static final int CLIENTS = 1_000;

    @TempDir
    private Path directory;

    private final HttpServer server = new HttpServer(new Supervisor(), CLIENTS + 100);
    private final AtomicInteger changes = new AtomicInteger();
    private final CountDownLatch rendering = new CountDownLatch(1);
    private final CountDownLatch gate = new CountDownLatch(1);
    private final HttpPort port = port(AdminRoutes.readOnly(routes(), List.of("Sluice.example")));
    private final HttpPort probes = port(new Routes(Map.of(
            "/livez", query -> Page.quick(() -> Response.text(200, "alive")),
            "/metrics", query -> Page.slow(() -> Response.text(200, "metrics")))));

    private HttpPort port(Function<Request, Page> router) {
        return new HttpPort(server, "test", new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), router);
    }

    private List<AdminRoute> routes() {
        return List.of(
                AdminRoute.get("/", Set.of(), request -> Response.text(200, "start")),
                AdminRoute.get("/api/v1/echo/{a}/{b}", Set.of("n", "flag", "kind", "for", "q"), AdminRoutesTest::echo),
                AdminRoute.get("/api/v1/gated", Set.of(), this::gated),
                AdminRoute.get("/api/v1/broken", Set.of(), request -> {
                    throw new IllegalStateException("broken on purpose");
                }),
                AdminRoute.get("/api/v1/missing", Set.of(), request -> {
                    throw new ApiException(404, "there is no \"such\" thing");
                }),
                AdminRoute.get("/api/v1/level", Set.of(), request -> Response.json(200, "{}")),
                new AdminRoute("PUT", "/api/v1/level", Set.of("level"), this::change),
                new AdminRoute("POST", "/api/v1/drain/{endpoint}", Set.of("force"), this::change));
    }

    private static Response echo(ApiRequest request) {
        Map<String, Object> values = new TreeMap<>();
        values.put("a", request.path("a"));
        values.put("b", request.path("b"));
        values.put("n", request.number("n", 7, 1, 500));
        values.put("flag", request.flag("flag"));
        values.put("kind", String.valueOf(request.choice("kind", List.of("up", "down"))));
        values.put("for", String.valueOf(request.duration("for", Duration.ofSeconds(1), Duration.ofHours(1))));
        values.put("q", String.valueOf(request.text("q")));
        values.put("thread", Thread.currentThread().getName());
        return AdminRoutes.json(200, values);
    }

    private Response gated(ApiRequest request) {
        rendering.countDown();
        try {
            gate.await();
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
        return Response.text(200, "gated");
    }

    private Response change(ApiRequest request) {
        changes.incrementAndGet();
        return Response.text(200, "changed " + request.body());
    }

    @BeforeEach
    void start() {
        port.start();
        probes.start();
        new HttpPort(server, "test", UnixDomainSocketAddress.of(path()), AdminRoutes.forSocket(routes())).start();
    }

    @AfterEach
    void close() {
        gate.countDown();
        server.close();
    }

    private Path path() {
        return directory.resolve("admin.sock");
    }

    private static String request(String method, String target, String... headers) {
        StringBuilder request = new StringBuilder(method + " " + target + " HTTP/1.1\r\nConnection: close\r\n");
        for (String header : headers) {
            request.append(header).append("\r\n");
        }
        return request.append("\r\n").toString();
    }

    private static Socket send(HttpPort to, String request) throws IOException {
        Socket socket = new Socket();
        socket.setSoTimeout(20_000);
        socket.connect(to.address().orElseThrow());
        socket.getOutputStream().write(request.getBytes(ISO_8859_1));
        return socket;
    }

    private static String rest(Socket socket) throws IOException {
        return new String(socket.getInputStream().readAllBytes(), ISO_8859_1);
    }

    private String onAddress(String request) throws IOException {
        try (Socket socket = send(port, request)) {
            return rest(socket);
        }
    }

    private String onSocket(String request) throws IOException {
        try (SocketChannel client = SocketChannel.open(UnixDomainSocketAddress.of(path()))) {
            client.write(ByteBuffer.wrap(request.getBytes(ISO_8859_1)));
            return new String(Channels.newInputStream(client).readAllBytes(), ISO_8859_1);
        }
    }

    private String get(String target) throws IOException {
        return onAddress(request("GET", target, "Host: 127.0.0.1:10261"));
    }

    private static int status(String response) {
        return Integer.parseInt(response.split(" ", 3)[1]);
    }

    private static String body(String response) {
        return response.substring(response.indexOf("\r\n\r\n") + 4);
    }

    private static void assertProtected(String response) {
        assertThat(response)
                .containsIgnoringCase("\r\nContent-Security-Policy: default-src 'none'; script-src 'self'; style-src"
                        + " 'self'; connect-src 'self'; img-src 'self' data:; frame-ancestors 'none'\r\n")
                .containsIgnoringCase("\r\nCache-Control: no-store\r\n")
                .containsIgnoringCase("\r\nReferrer-Policy: no-referrer\r\n")
                .containsIgnoringCase("\r\nX-Content-Type-Options: nosniff\r\n")
                .doesNotContainIgnoringCase("Access-Control-");
    }

    // ---- responses

    @Test
    void servesGetAndHeadOnAThreadOfItsOwn() throws Exception {
        String response = get("/api/v1/echo/x/y?n=3");
        assertThat(status(response)).isEqualTo(200);
        assertThat(response).containsIgnoringCase("\r\nContent-Type: application/json\r\n");
        assertThat(body(response))
                .isEqualTo("{\"a\":\"x\",\"b\":\"y\",\"flag\":false,\"for\":\"null\",\"kind\":\"null\",\"n\":3,"
                        + "\"q\":\"null\",\"thread\":\"sluice-admin\"}");
        String head = onAddress(request("HEAD", "/api/v1/echo/x/y?n=3", "Host: localhost"));
        assertThat(head)
                .startsWith("HTTP/1.1 200 OK\r\n")
                .contains("" + body(response).length());
        assertThat(body(head)).isEmpty();
    }

    @Test
    void everyResponseHasTheHeadersThatRestrictBrowsers() throws Exception {
        Logger log = (Logger) LoggerFactory.getLogger(AdminRoutes.class);
        log.setLevel(Level.OFF);
        try {
            for (String target :
                    List.of("/", "/api/v1/missing", "/api/v1/broken", "/none", "/?x", "/api/v1/echo/x/y?n=0", "/%00")) {
                assertProtected(onAddress(request("GET", target, "Host: [::1]", "Origin: http://evil.example")));
            }
        } finally {
            log.setLevel(null);
        }
        assertProtected(onAddress(request("OPTIONS", "/", "Host: [::1]", "Origin: http://evil.example")));
        assertProtected(onAddress(request("GET", "/", "Host: evil.example")));
        assertProtected(onSocket(request("DELETE", "/")));
        assertThat(get("/" + "x".repeat(5_000)))
                .startsWith("HTTP/1.1 414 ")
                .containsIgnoringCase("\r\nContent-Security-Policy: default-src 'none'\r\n");
    }

    @Test
    void reportsErrorsAsJson() throws Exception {
        Logger log = (Logger) LoggerFactory.getLogger(AdminRoutes.class);
        log.setLevel(Level.OFF);
        try {
            assertThat(get("/api/v1/broken"))
                    .startsWith("HTTP/1.1 500 ")
                    .endsWith("{\"error\":\"internal error, see the log\"}");
        } finally {
            log.setLevel(null);
        }
        assertThat(get("/api/v1/missing"))
                .startsWith("HTTP/1.1 404 ")
                .endsWith("{\"error\":\"there is no \\\"such\\\" thing\"}");
        assertThat(body(get("/none")))
                .isEqualTo("{\"error\":\"unknown path; available: /, /api/v1/broken, /api/v1/echo/{a}/{b},"
                        + " /api/v1/gated, /api/v1/level, /api/v1/missing\"}");
    }

    // ---- web pages of other origins

    @ParameterizedTest
    @ValueSource(
            strings = {
                "Host: evil.example",
                "Host: evil.example:10261",
                "Host: 127.0.0.1.evil.example",
                "Host: localhost.evil.example",
                "Host: localhost.",
                "Host: 127.0.0.1@evil.example",
                "Host: user@127.0.0.1",
                "Host: 127.0.0.1:10261:80",
                "Host: 127.1",
                "Host: 0x7f000001",
                "Host: 2130706433",
                "Host: ::1",
                "Host: [127.0.0.1]",
                "Host: [::1].evil.example",
                "Host: []",
                "Host: 127.0.0.1:port",
                "Host: 127.0.0.1, evil.example",
                "Host: 127.0.0.1\r\nHost: evil.example",
                "Host: evil.example\r\nHost: 127.0.0.1",
                "Host: 127.0.0.1\r\nHost: 127.0.0.1",
                "Host:",
                "X-Forwarded-Host: 127.0.0.1"
            })
    void rejectsHostsThatDnsRebindingCanUse(String header) throws Exception {
        assertThat(onAddress(request("GET", "/", header))).startsWith("HTTP/1.1 421 ");
        assertThat(onSocket(request("GET", "/", header))).startsWith("HTTP/1.1 200 ");
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "127.0.0.1",
                "127.0.0.1:10261",
                "198.18.0.1:1",
                "[::1]",
                "[2001:db8::1]:10261",
                "localhost",
                "LocalHost:8001",
                "sluice.example",
                "SLUICE.EXAMPLE:80"
            })
    void acceptsAddressesLocalhostAndAllowedHosts(String host) throws Exception {
        assertThat(onAddress(request("GET", "/", "Host: " + host))).startsWith("HTTP/1.1 200 ");
    }

    @Test
    void checksTheHostOfATargetInAbsoluteForm() throws Exception {
        assertThat(onAddress(request("GET", "http://evil.example/", "Host: 127.0.0.1")))
                .startsWith("HTTP/1.1 421 ");
        assertThat(onAddress(request("GET", "http://u@127.0.0.1/", "Host: 127.0.0.1")))
                .startsWith("HTTP/1.1 421 ");
        assertThat(onAddress(request("GET", "http://127.0.0.1:1/", "Host: 127.0.0.1")))
                .startsWith("HTTP/1.1 200 ");
        assertThat(onAddress(request("GET", "https://127.0.0.1/", "Host: 127.0.0.1")))
                .startsWith("HTTP/1.1 404 ");
    }

    @Test
    void rejectsCrossSiteRequests() throws Exception {
        for (String site : List.of("cross-site", "Cross-Site", " cross-site ")) {
            assertThat(onAddress(request("GET", "/", "Host: localhost", "Sec-Fetch-Site: " + site)))
                    .startsWith("HTTP/1.1 403 ");
        }
        for (String site : List.of("same-origin", "none")) {
            assertThat(onAddress(request("GET", "/", "Host: localhost", "Sec-Fetch-Site: " + site)))
                    .startsWith("HTTP/1.1 200 ");
        }
    }

    // ---- methods

    @ParameterizedTest
    @ValueSource(strings = {"POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "get", "X"})
    void onlyReadsOnTheAddress(String method) throws Exception {
        for (String target : List.of("/", "/api/v1/level", "/api/v1/drain/x", "/none")) {
            assertThat(onAddress(request(method, target, "Host: localhost")))
                    .startsWith("HTTP/1.1 405 ")
                    .containsIgnoringCase("\r\nAllow: GET, HEAD\r\n")
                    .contains("only on the Unix socket");
        }
        assertThat(changes).hasValue(0);
    }

    @Test
    void hidesChangesOnTheAddress() throws Exception {
        assertThat(onAddress(request("GET", "/api/v1/drain/x", "Host: localhost", "X-HTTP-Method-Override: POST")))
                .startsWith("HTTP/1.1 404 ");
        assertThat(get("/api/v1/level?_method=PUT")).startsWith("HTTP/1.1 400 ");
        assertThat(changes).hasValue(0);
    }

    @Test
    void changesOnTheSocket() throws Exception {
        assertThat(onSocket(request("POST", "/api/v1/drain/[fd00::1]:80?force=true")))
                .startsWith("HTTP/1.1 200 ");
        assertThat(onSocket(request("PUT", "/api/v1/level", "Content-Length: 5") + "debug"))
                .endsWith("changed debug");
        assertThat(changes).hasValue(2);
        assertThat(onSocket(request("GET", "/api/v1/drain/x")))
                .startsWith("HTTP/1.1 405 ")
                .containsIgnoringCase("\r\nAllow: POST\r\n");
        assertThat(onSocket(request("DELETE", "/api/v1/level")))
                .startsWith("HTTP/1.1 405 ")
                .containsIgnoringCase("\r\nAllow: GET, HEAD, PUT\r\n");
        assertThat(onSocket(request("PUT", "/api/v1/level", "Content-Length: 4097") + "x".repeat(4097)))
                .startsWith("HTTP/1.1 413 ")
                .endsWith("{\"error\":\"the body must not exceed 4096 bytes\"}");
        assertThat(changes).hasValue(2);
    }

    // ---- paths and parameters

    @ParameterizedTest
    @ValueSource(
            strings = {
                "/api/v1/echo/a%2Fb/c",
                "/api/v1/echo/a/%2f",
                "/api/v1/echo/../echo/a/b",
                "/api/v1/echo/../a",
                "/api/v1/echo/a/..",
                "/api/v1/echo/a/%2e%2E",
                "/api/v1/echo/./a/b",
                "/api/v1/echo/a/.",
                "/api/v1/echo//b",
                "/api/v1//echo/a/b",
                "//api/v1/echo/a/b",
                "/api/v1/echo/a/b/",
                "/api/v1/echo/a/",
                "/api/v1/echo/a",
                "/api/v1/echo/a/b/c",
                "/api/v1/echo/a/%",
                "/api/v1/echo/a/%4",
                "/api/v1/echo/a/%zz",
                "/api/v1/echo/a/%00",
                "/api/v1/echo/a/b%0a",
                "/api/v1/echo/a/b%0D%0AX:y",
                "/api/v1/echo/a/%7f",
                "/api/v1/echo/a/%c2%85",
                "/api/v1/echo/a/%c0%af",
                "/api/v1/echo/a/%c3%28",
                "/api/v1/echo/a/%ed%a0%80",
                "/api/v1/echo/a/\u00e9",
                "/API/v1/echo/a/b",
                "/api%2Fv1/echo/a/b",
                "/api/v1/echo\\a\\b",
                "api/v1/echo/a/b",
                "*",
                "//"
            })
    void rejectsPathsThatAreNotExact(String path) throws Exception {
        assertThat(get(path)).startsWith("HTTP/1.1 404 ");
        assertThat(onSocket(request("GET", path))).startsWith("HTTP/1.1 404 ");
    }

    @Test
    void decodesEachSegmentOnce() throws Exception {
        assertThat(get("/api/v1/%65cho/%252e%252e/%25252F")).contains("\"a\":\"%2e%2e\",\"b\":\"%252F\"");
        assertThat(get("/api/v1/echo/a+b/%5Bfd00::1%5D:80?q=a+b%2Bc"))
                .contains("\"a\":\"a+b\",\"b\":\"[fd00::1]:80\"", "\"q\":\"a b+c\"");
        assertThat(get("/api/v1/echo/%c3%a9/x?q=a%2F..%3D=&n=1")).contains("\"q\":\"a/..==\"", "\"n\":1");
    }

    @Test
    void rejectsInvalidParameters() throws Exception {
        String echo = "/api/v1/echo/x/y?";
        for (String[] each : new String[][] {
            {"x=1", "unknown parameter 'x'; allowed: flag, for, kind, n, q"},
            {"n=1&n=1", "parameter 'n' is repeated; specify it once"},
            {"n=0", "n: '0' is invalid; must be a whole number from 1 to 500"},
            {"n=501", "n: '501' is invalid; must be a whole number from 1 to 500"},
            {"n=-1", "n: '-1' is invalid; must be a whole number from 1 to 500"},
            {"n=99999999999", "n: '99999999999' is invalid; must be a whole number from 1 to 500"},
            {"n", "n: '' is invalid; must be a whole number from 1 to 500"},
            {"flag=yes", "flag: 'yes' is invalid; must be one of true, false"},
            {"kind=left", "kind: 'left' is invalid; must be one of up, down"},
            {"for=10", "for: '10' is invalid; must be a duration such as 30s, 5m or 1h, from 1s to 1h"},
            {"for=2h", "for: '2h' is invalid; must be a duration such as 30s, 5m or 1h, from 1s to 1h"},
            {"q=%ff", "q: '%ff' is invalid; must be percent-encoded UTF-8 without control characters"},
            {"q=%0a", "q: '%0a' is invalid; must be percent-encoded UTF-8 without control characters"}
        }) {
            assertThat(get(echo + each[0])).startsWith("HTTP/1.1 400 ").endsWith("{\"error\":\"" + each[1] + "\"}");
        }
        assertThat(body(get("/?x"))).isEqualTo("{\"error\":\"unknown parameter 'x'; this path has no parameters\"}");
        assertThat(body(get(echo + "n=2&flag=true&kind=up&for=10m&&")))
                .contains("\"flag\":true,\"for\":\"PT10M\",\"kind\":\"up\",\"n\":2");
    }

    // ---- overload

    @Test
    void aFloodDelaysNeitherProbesNorTheSocket() throws Exception {
        String gated = request("GET", "/api/v1/gated", "Host: localhost");
        List<Socket> clients = new ArrayList<>();
        try {
            clients.add(send(port, gated));
            rendering.await();
            long start = System.nanoTime();
            while (clients.size() < CLIENTS) {
                clients.add(send(port, gated));
            }
            long livenessNanos = nanosToGet("/livez");
            assertThat(nanosToGet("/metrics")).isPositive();
            int admitted = 1 + AdminRoutes.MAX_WAITING;
            for (Socket client : clients.subList(admitted, CLIENTS)) {
                String response = rest(client);
                assertThat(response).startsWith("HTTP/1.1 503 ").containsIgnoringCase("\r\nRetry-After: 1\r\n");
                assertProtected(response);
            }
            // On a busy machine everything takes longer, but a probe must still overtake the flood.
            long floodNanos = System.nanoTime() - start;
            assertThat(Duration.ofNanos(livenessNanos))
                    .isLessThan(Duration.ofNanos(Math.max(TimeUnit.SECONDS.toNanos(1), floodNanos / 2)));
            try (SocketChannel operator = SocketChannel.open(UnixDomainSocketAddress.of(path()))) {
                operator.write(
                        ByteBuffer.wrap(request("POST", "/api/v1/drain/x").getBytes(ISO_8859_1)));
                // Answered only after the request above has been read.
                assertThat(onSocket(request("GET", "/none"))).startsWith("HTTP/1.1 404 ");
                gate.countDown();
                assertThat(new String(Channels.newInputStream(operator).readAllBytes(), ISO_8859_1))
                        .startsWith("HTTP/1.1 200 ");
            }
            for (Socket client : clients.subList(0, admitted)) {
                assertThat(rest(client)).startsWith("HTTP/1.1 200 ").endsWith("gated");
            }
        } finally {
            for (Socket client : clients) {
                client.close();
            }
        }
        assertThat(get("/")).endsWith("start");
    }

    private long nanosToGet(String path) throws IOException {
        long start = System.nanoTime();
        try (Socket socket = send(probes, request("GET", path))) {
            assertThat(rest(socket)).startsWith("HTTP/1.1 200 ");
        }
        return System.nanoTime() - start;
    }

    @Test
    void slowClientsDoNotDelayOthers() throws Exception {
        List<Socket> slow = new ArrayList<>();
        try {
            for (int i = 0; i < 50; i++) {
                slow.add(send(port, "GET / HTTP/1.1\r\nHost: local"));
            }
            assertThat(get("/")).endsWith("start");
            for (Socket client : slow) {
                client.getOutputStream().write("host\r\nConnection: close\r\n\r\n".getBytes(ISO_8859_1));
                assertThat(rest(client)).endsWith("start");
            }
        } finally {
            for (Socket client : slow) {
                client.close();
            }
        }
    }
}
