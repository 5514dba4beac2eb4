package io.sluice.http;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatIllegalStateException;
import static org.awaitility.Awaitility.await;

import io.sluice.thread.Supervisor;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.time.Duration;
import java.util.Map;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

/** Ports that are in use, and closed ports. */
final class HttpPortTest {
    private static final Routes SITE = new Routes(Map.of("/a", request -> Page.quick(() -> Response.text(200, "a"))));

    private final HttpServer server = new HttpServer(new Supervisor(), 16);

    @AfterEach
    void close() {
        server.close();
    }

    private static InetSocketAddress loopback(int port) {
        return new InetSocketAddress(InetAddress.getLoopbackAddress(), port);
    }

    private HttpPort port(InetSocketAddress address) {
        return new HttpPort(server, "test", address, SITE, Duration.ofMillis(20), true);
    }

    @Test
    void opensAPortInUseOnceItIsFree() {
        HttpPort owner = port(loopback(0));
        owner.start();
        HttpPort waiting = port(owner.address().orElseThrow());
        waiting.start();
        assertThat(waiting.address()).isEmpty();
        owner.close();
        await().until(() -> waiting.address().isPresent());
    }

    @Test
    void startOrFailRejectsAPortInUse() {
        HttpPort owner = port(loopback(0));
        owner.start();
        InetSocketAddress taken = owner.address().orElseThrow();
        assertThatIllegalStateException()
                .isThrownBy(port(taken)::startOrFail)
                .withMessage("cannot serve test on 127.0.0.1:" + taken.getPort() + ": Address already in use");
    }

    @Test
    void aClosedPortIsFreeAndStaysClosed() throws Exception {
        HttpPort port = port(loopback(0));
        port.start();
        int number = port.address().orElseThrow().getPort();
        port.close();
        assertThat(port.address()).isEmpty();
        try (ServerSocket next = new ServerSocket()) {
            next.setReuseAddress(true);
            next.bind(loopback(number));
            assertThat(next.isBound()).isTrue();
        }
        port.start();
        assertThat(port.address()).isEmpty();
    }

    @Test
    void listensOnAllAddresses() {
        HttpPort port = port(new InetSocketAddress(0));
        port.start();
        assertThat(port.address().orElseThrow().getAddress().isAnyLocalAddress())
                .isTrue();
    }
}
