package io.sluice.daemon;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatIllegalStateException;
import static org.awaitility.Awaitility.await;

import io.sluice.daemon.HttpPort.Answer;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.time.Duration;
import java.util.Map;
import org.junit.jupiter.api.Test;

/** The HTTP port: what it answers, and what it does when its port is taken. */
final class HttpPortTest {
    private static final Map<String, HttpPort.Page> PAGES = Map.of(
            "/a", query -> Answer.text(200, "a " + query),
            "/broken",
                    query -> {
                        throw new IllegalStateException("broken on purpose");
                    });

    private static InetSocketAddress loopback(int port) {
        return new InetSocketAddress(InetAddress.getLoopbackAddress(), port);
    }

    private static HttpResponse<String> send(HttpPort port, String method, String path) throws Exception {
        URI uri = URI.create("http://127.0.0.1:" + port.address().orElseThrow().getPort() + path);
        return HttpClient.newHttpClient()
                .send(
                        HttpRequest.newBuilder(uri)
                                .method(method, BodyPublishers.noBody())
                                .build(),
                        BodyHandlers.ofString());
    }

    @Test
    void answersItsPagesAndNothingElse() throws Exception {
        try (HttpPort port = new HttpPort("test", loopback(0), PAGES, HttpPort.RETRY)) {
            port.start();
            HttpResponse<String> a = send(port, "GET", "/a?x=1");
            assertThat(a.statusCode()).isEqualTo(200);
            assertThat(a.body()).isEqualTo("a x=1");
            assertThat(a.headers().firstValue("X-Content-Type-Options")).hasValue("nosniff");
            assertThat(send(port, "HEAD", "/a").body()).isEmpty();
            assertThat(send(port, "POST", "/a").statusCode()).isEqualTo(405);
            assertThat(send(port, "GET", "/a/b").statusCode()).isEqualTo(404);
            assertThat(send(port, "GET", "/").body()).isEqualTo("here are /a, /broken\n");
            assertThat(send(port, "GET", "/broken").statusCode()).isEqualTo(500);
            assertThat(send(port, "GET", "/a").statusCode()).isEqualTo(200);
        }
    }

    @Test
    void takenPortIsOpenedWhenItIsFree() throws Exception {
        HttpPort owner = new HttpPort("owner", loopback(0), PAGES, HttpPort.RETRY);
        owner.start();
        InetSocketAddress taken = owner.address().orElseThrow();
        try (HttpPort port = new HttpPort("test", taken, PAGES, Duration.ofMillis(20))) {
            port.start();
            assertThat(port.address()).isEmpty();
            owner.close();
            await().until(() -> port.address().isPresent());
            assertThat(send(port, "GET", "/a").statusCode()).isEqualTo(200);
        }
    }

    @Test
    void takenPortThatIsNotToBeTriedAgainFails() {
        try (HttpPort owner = new HttpPort("owner", loopback(0), PAGES, HttpPort.RETRY)) {
            owner.start();
            InetSocketAddress taken = owner.address().orElseThrow();
            try (HttpPort port = new HttpPort("test", taken, PAGES, null)) {
                assertThatIllegalStateException()
                        .isThrownBy(port::start)
                        .withMessage(
                                "test cannot be served on 127.0.0.1:" + taken.getPort() + ": Address already in use");
            }
        }
    }

    @Test
    void closedPortIsFree() throws Exception {
        HttpPort port = new HttpPort("test", loopback(0), PAGES, HttpPort.RETRY);
        port.start();
        int number = port.address().orElseThrow().getPort();
        port.close();
        assertThat(port.address()).isEmpty();
        try (ServerSocket next = new ServerSocket()) {
            next.setReuseAddress(true);
            next.bind(loopback(number));
            assertThat(next.isBound()).isTrue();
        }
    }
}
