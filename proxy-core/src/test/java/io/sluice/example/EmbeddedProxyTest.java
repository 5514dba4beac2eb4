package io.sluice.example;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.sluice.forward.Forwarder;
import io.sluice.forward.FrontendStatus.State;
import io.sluice.model.Endpoint;
import io.sluice.model.FrontendAddress;
import java.io.IOException;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** The example in {@code proxy-core/README.md}. */
final class EmbeddedProxyTest {
    private static final InetAddress LOOPBACK = InetAddress.getLoopbackAddress();

    @Test
    void readmeShowsTheSourceOfTheExample() throws Exception {
        String source = Files.readString(Path.of("src/test/java/io/sluice/example/EmbeddedProxy.java"));
        String example = source.substring(source.indexOf("import "));
        assertThat(Files.readString(Path.of("README.md")))
                .as("the source without the package declaration")
                .contains("```java\n" + example + "```\n");
    }

    @Test
    void forwardsToItsEndpointsInTurn() throws Exception {
        try (ServerSocket one = new ServerSocket(0, 50, LOOPBACK);
                ServerSocket two = new ServerSocket(0, 50, LOOPBACK)) {
            serve(one, "one");
            serve(two, "two");
            int port = freePort();
            try (Forwarder forwarder = EmbeddedProxy.start(
                    "127.0.0.1:" + port + "/tcp",
                    "127.0.0.1:" + one.getLocalPort(),
                    "127.0.0.1:" + two.getLocalPort())) {
                assertThat(forwarder.frontends())
                        .singleElement()
                        .satisfies(status -> assertThat(status.state()).isEqualTo(State.ACTIVE));
                List<String> replies = new ArrayList<>();
                for (int i = 0; i < 4; i++) {
                    replies.add(reply(port));
                }
                assertThat(replies).containsExactlyInAnyOrder("one", "one", "two", "two");
            }
        }
    }

    private static int freePort() throws IOException {
        try (ServerSocket free = new ServerSocket(0, 1, LOOPBACK)) {
            return free.getLocalPort();
        }
    }

    private static String reply(int port) throws IOException {
        try (Socket socket = new Socket(LOOPBACK, port)) {
            return new String(socket.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        }
    }

    private static void serve(ServerSocket listener, String name) {
        Thread thread = new Thread(
                () -> {
                    while (!listener.isClosed()) {
                        try (Socket socket = listener.accept();
                                OutputStream out = socket.getOutputStream()) {
                            out.write(name.getBytes(StandardCharsets.UTF_8));
                        } catch (IOException e) {
                            // The listener was closed, which ends the loop.
                            assertThat(listener.isClosed()).isTrue();
                        }
                    }
                },
                "server-" + name);
        thread.setDaemon(true);
        thread.start();
    }

    @ParameterizedTest
    @ValueSource(strings = {"10.0.0.1:80/tcp", "[fd00::1]:53/udp"})
    void parsesWhatAFrontendAddressPrints(String text) {
        assertThat(FrontendAddress.of(text)).hasToString(text);
    }

    @ParameterizedTest
    @ValueSource(strings = {"", "10.0.0.1:80", "10.0.0.1/tcp", "10.0.0.1:80/sctp", "host:80/tcp", "10.0.0.1:0/tcp"})
    void rejectsAnInvalidFrontendAddress(String text) {
        assertThatThrownBy(() -> FrontendAddress.of(text))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessage("'" + text + "' is invalid; must be IP:PORT/tcp or IP:PORT/udp");
    }

    @Test
    void rejectsAnInvalidEndpoint() {
        assertThatThrownBy(() -> Endpoint.of("10.0.0.1"))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessage("'10.0.0.1' is invalid; must be IP:PORT or [IPv6]:PORT");
    }
}
