package io.sluice.http;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;

import io.sluice.thread.Supervisor;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.Socket;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** What a router receives of a request: target, headers and body. */
@Timeout(60)
final class RequestTest {
    private final HttpServer server = new HttpServer(new Supervisor(), 16);
    private final HttpPort port = new HttpPort(
            server, "test", new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), RequestTest::shown);

    private static Page shown(Request request) {
        String text = "%s %s ?%s host=%s x=%s body=%s tooLong=%s."
                .formatted(
                        request.method(),
                        request.path(),
                        request.query(),
                        request.header("HOST"),
                        request.header("x"),
                        request.body(),
                        request.bodyTooLong());
        return Page.quick(() -> Response.text(200, text));
    }

    @BeforeEach
    void start() {
        port.start();
    }

    @AfterEach
    void close() {
        server.close();
    }

    private String exchange(String request) throws IOException {
        try (Socket socket = new Socket()) {
            socket.setSoTimeout(20_000);
            socket.connect(port.address().orElseThrow());
            socket.getOutputStream().write(request.getBytes(UTF_8));
            return new String(socket.getInputStream().readAllBytes(), UTF_8);
        }
    }

    private String shownFor(String request) throws IOException {
        String response = exchange(request);
        return response.substring(response.indexOf("\r\n\r\n") + 4);
    }

    @Test
    void hasHeaders() throws Exception {
        assertThat(shownFor("GET /a%2F?b=%20 HTTP/1.1\r\nhOST: h:1\r\nX: 1\r\nx: 2\r\nConnection: close\r\n\r\n"))
                .isEqualTo("GET /a%2F ?b=%20 host=h:1 x=1, 2 body= tooLong=false.");
        assertThat(shownFor("GET / HTTP/1.0\r\n\r\n")).isEqualTo("GET / ? host= x= body= tooLong=false.");
    }

    /** RFC 9112, section 3.2.2. */
    @Test
    void takesTheHostOfATargetInAbsoluteForm() throws Exception {
        for (String[] each : new String[][] {
            {"http://other:80/p?q", "GET /p ?q host=other:80 "},
            {"HTTP://u@[::1]?q", "GET / ?q host=u@[::1] "},
            {"http://", "GET / ? host= "}
        }) {
            assertThat(shownFor("GET " + each[0] + " HTTP/1.1\r\nHost: h\r\nX: 1\r\nConnection: close\r\n\r\n"))
                    .startsWith(each[1] + "x=1 ");
        }
    }

    @Test
    void hasABodyOfAtMost4KiB() throws Exception {
        assertThat(shownFor("PUT / HTTP/1.0\r\nContent-Length: 3\r\n\r\né!")).contains(" body=é! tooLong=false.");
        assertThat(
                        shownFor(
                                "PUT / HTTP/1.1\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n"))
                .contains(" body=abc tooLong=false.");
        String longest = "x".repeat(Request.MAX_BODY_BYTES);
        assertThat(shownFor(last(longest))).contains(" body=" + longest + " tooLong=false.");
        assertThat(shownFor(last(longest + "x"))).contains(" body= tooLong=true.");
        assertThat(shownFor(last("x".repeat(64 * 1024)))).contains(" body= tooLong=true.");
        assertThat(exchange(last("x".repeat(64 * 1024 + 1)))).startsWith("HTTP/1.1 413 ");
        assertThat(exchange(put("1") + put(longest + "x") + last("2")))
                .contains(" body=1 tooLong=false.", " body= tooLong=true.", " body=2 tooLong=false.");
    }

    /** The server closes the connection after the response to this request. */
    private static String last(String body) {
        return put(body).replace("HTTP/1.1", "HTTP/1.0");
    }

    private static String put(String body) {
        return "PUT / HTTP/1.1\r\nContent-Length: " + body.length() + "\r\n\r\n" + body;
    }
}
