package io.sluice.http;

import static java.nio.charset.StandardCharsets.US_ASCII;
import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import io.sluice.thread.Supervisor;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.net.SocketException;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.Function;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.slf4j.LoggerFactory;

/** Responses to clients, and isolation from hostile or broken clients, over plain sockets. */
@Timeout(60)
final class HttpServerTest {
    private static final int MAX_CONNECTIONS = 16;
    private static final int LARGE_BYTES = 8 << 20;

    private final AtomicLong nanos = new AtomicLong();
    private final AtomicInteger rendered = new AtomicInteger();
    private final CountDownLatch gate = new CountDownLatch(1);
    private final HttpServer server = new HttpServer(new Supervisor(), MAX_CONNECTIONS, 4L * LARGE_BYTES, nanos::get);
    private final List<Socket> sockets = new ArrayList<>();
    private final HttpPort port = new HttpPort(
            server, "test", new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), new Routes(pages()));

    private Map<String, Function<Request, Page>> pages() {
        Page large = Page.slow(() -> Response.text(200, "x".repeat(LARGE_BYTES)));
        Page gated = Page.slow(() -> {
            rendered.incrementAndGet();
            gate.await();
            return Response.text(200, "gated");
        });
        return Map.of(
                "/a", request -> Page.quick(() -> Response.text(200, "a " + request.query())),
                "/gated", request -> gated,
                "/large", request -> large,
                "/broken",
                        request -> Page.quick(() -> {
                            throw new IOException("broken on purpose");
                        }));
    }

    @BeforeEach
    void start() {
        port.start();
    }

    @AfterEach
    void close() throws IOException {
        for (Socket socket : sockets) {
            socket.close();
        }
        server.close();
    }

    private Socket connect() throws IOException {
        Socket socket = new Socket();
        socket.setReceiveBufferSize(16 << 10);
        socket.setSoTimeout(20_000);
        socket.connect(port.address().orElseThrow());
        sockets.add(socket);
        return socket;
    }

    private Socket send(String request) throws IOException {
        Socket socket = connect();
        write(socket, request);
        return socket;
    }

    private static void write(Socket socket, String text) throws IOException {
        socket.getOutputStream().write(text.getBytes(US_ASCII));
    }

    /** Reads until the server closes. */
    private static String rest(Socket socket) throws IOException {
        return new String(socket.getInputStream().readAllBytes(), UTF_8);
    }

    private String get(String path) throws IOException {
        return rest(send("GET " + path + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"));
    }

    private static void readUntil(Socket socket, String end) throws IOException {
        StringBuilder text = new StringBuilder();
        while (text.indexOf(end) < 0) {
            int next = socket.getInputStream().read();
            assertThat(next).as(text.toString()).isNotNegative();
            text.append((char) next);
        }
    }

    private void advanceClock(int seconds) {
        // On the loop, which may not have processed yet that a response was sent, although the client has read it.
        server.run(() -> {
            nanos.addAndGet(TimeUnit.SECONDS.toNanos(seconds));
            server.closeOverdue();
        });
    }

    private static void awaitClosed(Socket socket) throws IOException {
        try {
            assertThat(socket.getInputStream().read()).isEqualTo(-1);
        } catch (SocketException reset) {
            assertThat(reset).hasMessageContaining("reset");
        }
    }

    // ---- responses

    @Test
    void servesExactPathsForGetAndHead() throws Exception {
        assertThat(get("/a?x=1"))
                .startsWith("HTTP/1.1 200 OK\r\n")
                .containsIgnoringCase("\r\nContent-Type: text/plain; charset=utf-8\r\n")
                .containsIgnoringCase("\r\nContent-Length: 5\r\n")
                .containsIgnoringCase("\r\nX-Content-Type-Options: nosniff\r\n")
                .containsIgnoringCase("\r\nConnection: close\r\n")
                .containsIgnoringCase("\r\nDate: ")
                .endsWith("\r\n\r\na x=1");
        assertThat(get("/a/b")).startsWith("HTTP/1.1 404 ").endsWith("available: /a, /broken, /gated, /large\n");
        assertThat(rest(send("POST /a HTTP/1.0\r\nContent-Length: 3\r\n\r\nabc")))
                .startsWith("HTTP/1.1 405 ")
                .containsIgnoringCase("\r\nAllow: GET, HEAD\r\n");
        assertThat(rest(send("HEAD /a?x=1 HTTP/1.0\r\n\r\n")))
                .startsWith("HTTP/1.1 200 OK\r\n")
                .containsIgnoringCase("\r\nContent-Length: 5\r\n")
                .endsWith("\r\n\r\n");
    }

    /** RFC 9112, section 3.2.2: a server must accept the absolute form. */
    @Test
    void acceptsATargetInAbsoluteForm() throws Exception {
        assertThat(get("http://x/a?1")).endsWith("a 1");
        assertThat(get("HTTP://[::1]:80/a?1")).endsWith("a 1");
        assertThat(get("http://x?1")).startsWith("HTTP/1.1 404 ");
    }

    @Test
    void answersPipelinedRequestsInOrder() throws Exception {
        Socket socket = send(String.join(
                "",
                "GET /a?1 HTTP/1.1\r\n\r\n",
                "HEAD /a?2 HTTP/1.1\r\n\r\n",
                "GET /large HTTP/1.1\r\n\r\n",
                "GET /a?3 HTTP/1.1\r\n\r\n",
                "PUT /a?4 HTTP/1.1\r\nContent-Length: 2\r\n\r\nxy",
                "GET /a?5 HTTP/1.0\r\n\r\n"));
        String all = rest(socket);
        assertThat(all.split("HTTP/1\\.1 ", -1)).hasSize(7);
        assertThat(all)
                .contains("\r\n\r\na 1HTTP/1.1 200")
                .contains("xHTTP/1.1 200")
                .contains("\r\n\r\na 3HTTP/1.1 405");
        assertThat(all).endsWith("a 5");
    }

    @Test
    void acceptsARequestByteByByte() throws Exception {
        Socket socket = connect();
        for (char c : "GET /a?slow HTTP/1.1\r\nConnection: close\r\n\r\n".toCharArray()) {
            write(socket, String.valueOf(c));
        }
        assertThat(rest(socket)).endsWith("a slow");
    }

    @Test
    void respondsToAClientThatHasClosedItsSide() throws Exception {
        for (String path : List.of("/a?x", "/large")) {
            Socket socket = send("GET " + path + " HTTP/1.1\r\n\r\n");
            socket.shutdownOutput();
            assertThat(rest(socket)).startsWith("HTTP/1.1 200 OK\r\n").endsWith("x");
        }
    }

    @Test
    void supportsExpectContinue() throws Exception {
        Socket socket =
                send("POST /a HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 3\r\nConnection: close\r\n\r\n");
        BufferedReader lines = new BufferedReader(new InputStreamReader(socket.getInputStream(), US_ASCII));
        assertThat(lines.readLine()).isEqualTo("HTTP/1.1 100 Continue");
        write(socket, "abc");
        assertThat(lines.lines()).contains("HTTP/1.1 405 Method Not Allowed");
    }

    @Test
    void rejectsInvalidAndTooLargeRequests() throws Exception {
        assertThat(rest(send("\u0016\u0003\u0001 what\r\n\r\n"))).startsWith("HTTP/1.1 400 Bad Request\r\n");
        assertThat(rest(send("GET /" + "x".repeat(5_000) + " HTTP/1.1\r\n\r\n")))
                .startsWith("HTTP/1.1 414 ");
        assertThat(rest(send("GET /a HTTP/1.1\r\nX: " + "x".repeat(20_000) + "\r\n\r\n")))
                .startsWith("HTTP/1.1 431 ");
        assertThat(rest(send("POST /a HTTP/1.1\r\nContent-Length: 100000\r\n\r\n" + "x".repeat(100_000))))
                .startsWith("HTTP/1.1 413 ");
        assertThat(get("/a?still")).endsWith("a still");
    }

    @Test
    void respondsWith500IfAPageFails() throws Exception {
        ch.qos.logback.classic.Logger log = (ch.qos.logback.classic.Logger) LoggerFactory.getLogger(Page.class);
        log.setLevel(ch.qos.logback.classic.Level.OFF);
        try {
            assertThat(get("/broken")).startsWith("HTTP/1.1 500 ");
        } finally {
            log.setLevel(null);
        }
        assertThat(get("/a?still")).endsWith("a still");
    }

    // ---- isolation

    @Test
    void servesOthersDespiteThousandsOfPipelinedRequests() throws Exception {
        int requests = 3_000;
        Socket socket = connect();
        Thread writer = new Thread(() -> {
            try {
                write(socket, "GET /a?x HTTP/1.1\r\n\r\n".repeat(requests) + "GET /a?end HTTP/1.0\r\n\r\n");
            } catch (IOException e) {
                throw new UncheckedIOException(e);
            }
        });
        writer.start();
        readUntil(socket, "a x");
        assertThat(get("/a?other")).endsWith("a other");
        String all = rest(socket);
        writer.join();
        assertThat(all.split("HTTP/1\\.1 200 OK", -1)).hasSize(requests + 1);
        assertThat(all).endsWith("a end");
    }

    @Test
    void servesOthersDespiteIncompleteRequests() throws Exception {
        for (int i = 0; i < 3 * MAX_CONNECTIONS; i++) {
            send("GET /a HTTP/1.1\r\nX:");
            assertThat(get("/a?" + i)).endsWith("a " + i);
        }
        awaitClosed(sockets.get(0));
    }

    @Test
    void closesAnIncompleteRequestAfter10SecondsAndAnIdleConnectionAfter60() throws Exception {
        Socket half = send("GET /a HTTP/1.1\r\nX:");
        Socket idle = send("GET /a?1 HTTP/1.1\r\n\r\n");
        Socket second = send("GET /a?1 HTTP/1.1\r\n\r\n");
        for (Socket socket : List.of(idle, second)) {
            readUntil(socket, "a 1");
        }
        write(second, "GET /a HTTP/1.1\r\n");
        // Answered only after the server has read the bytes written above.
        assertThat(get("/a?read")).endsWith("a read");
        advanceClock(11);
        awaitClosed(half);
        awaitClosed(second);
        write(idle, "GET /a?2 HTTP/1.1\r\n\r\n");
        readUntil(idle, "a 2");
        advanceClock(59);
        write(idle, "GET /a?3 HTTP/1.1\r\n\r\n");
        readUntil(idle, "a 3");
        advanceClock(61);
        awaitClosed(idle);
    }

    @Test
    void closesAClientThatDoesNotReadAfter30Seconds() throws Exception {
        Socket socket = send("GET /large HTTP/1.1\r\n\r\n");
        assertThat(socket.getInputStream().read()).isEqualTo('H');
        advanceClock(31);
        long read = 1;
        try {
            read += socket.getInputStream().readAllBytes().length;
        } catch (SocketException reset) {
            assertThat(reset).hasMessageContaining("reset");
        }
        assertThat(read).isLessThan(LARGE_BYTES);
    }

    @Test
    void boundsTheMemoryOfClientsThatDoNotRead() throws Exception {
        for (int i = 0; i < 10; i++) {
            assertThat(send("GET /large HTTP/1.1\r\n\r\n").getInputStream().read())
                    .isEqualTo('H');
        }
        assertThat(get("/a?still")).endsWith("a still");
        assertThat(get("/large")).hasSizeGreaterThan(LARGE_BYTES);
        // The limit allows four of them: the first ones were closed.
        long read = 1;
        try {
            read += sockets.get(0).getInputStream().readAllBytes().length;
        } catch (SocketException reset) {
            assertThat(reset).hasMessageContaining("reset");
        }
        assertThat(read).isLessThan(LARGE_BYTES);
    }

    @Test
    void sharesASlowPageBetweenRequests() throws Exception {
        Socket first = send("GET /gated HTTP/1.0\r\n\r\n");
        await().until(() -> rendered.get() == 1);
        List<Socket> others = new ArrayList<>();
        for (int i = 0; i < 10; i++) {
            others.add(send("GET /gated HTTP/1.0\r\n\r\n"));
        }
        assertThat(get("/a?meanwhile")).endsWith("a meanwhile");
        gate.countDown();
        assertThat(rest(first)).endsWith("gated");
        for (Socket other : others) {
            assertThat(rest(other)).endsWith("gated");
        }
        assertThat(rendered).hasValue(2);
    }

    @Test
    void acceptsRequestsDespiteClientsThatDoNotRead() throws Exception {
        for (int i = 0; i < MAX_CONNECTIONS; i++) {
            send("GET /gated HTTP/1.1\r\n\r\n");
        }
        // The second one is answered only after all of the above have been read.
        assertThat(get("/a?1") + get("/a?2")).endsWith("a 2");
        List<Socket> slow = new ArrayList<>();
        for (int i = 0; i < MAX_CONNECTIONS / 8; i++) {
            slow.add(send("GET /a?slow HTTP/1.0\r\n"));
        }
        assertThat(get("/a?between")).endsWith("a between");
        for (Socket socket : slow) {
            write(socket, "\r\n");
            assertThat(rest(socket)).endsWith("a slow");
        }
        gate.countDown();
        // Otherwise the rendering might still be waiting when the server is closed, and fail.
        assertThat(get("/gated")).endsWith("gated");
    }

    @Test
    void closesAllConnectionsAndPorts() throws Exception {
        Socket idle = send("GET /a?1 HTTP/1.1\r\n\r\n");
        assertThat(new String(idle.getInputStream().readNBytes(8), US_ASCII)).isEqualTo("HTTP/1.1");
        server.close();
        assertThat(rest(idle)).endsWith("a 1");
        server.close();
        port.close();
        assertThat(port.address()).isEmpty();
    }
}
