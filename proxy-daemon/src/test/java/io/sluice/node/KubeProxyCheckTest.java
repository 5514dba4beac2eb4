package io.sluice.node;

import static org.assertj.core.api.Assertions.assertThat;

import io.sluice.model.Endpoint;
import io.sluice.model.Frontend;
import io.sluice.model.FrontendAddress;
import io.sluice.model.IpAddress;
import io.sluice.model.Protocol;
import io.sluice.model.Route;
import io.sluice.model.ServicePort;
import io.sluice.model.ServicePortName;
import io.sluice.model.ServiceSnapshot;
import io.sluice.model.SessionAffinity;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.List;
import java.util.Objects;
import java.util.Set;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import tools.jackson.databind.json.JsonMapper;

/** Tests whether kube-proxy is found, with the output of nft for its rules, and with health ports that respond or do not. */
@Timeout(30)
final class KubeProxyCheckTest {
    private static final String MAP = "ip kube-proxy service-ips";
    private static final String CHAIN = "ip nat KUBE-SERVICES";
    private static final String OK = "HTTP/1.1 200 OK\r\n\r\n";

    private final FakeKernel kernel = new FakeKernel();
    private final AtomicInteger freed = new AtomicInteger();

    @SuppressWarnings("NullAway.Init") // made before each test
    private ServerSocket server;

    private volatile String response = OK;

    @BeforeEach
    void serve() throws IOException {
        server = new ServerSocket(0, 50, InetAddress.getLoopbackAddress());
        Thread thread = new Thread(() -> {
            while (!server.isClosed()) {
                try (Socket client = server.accept()) {
                    client.getOutputStream().write(response.getBytes(StandardCharsets.US_ASCII));
                    client.shutdownOutput();
                    // Until the client has closed the connection, because unread data would reset it.
                    while (client.getInputStream().read() >= 0) {
                        assertThat(client.isClosed()).isFalse();
                    }
                } catch (IOException e) {
                    assertThat(e).hasMessageNotContaining("unexpected");
                }
            }
        });
        thread.setDaemon(true);
        thread.start();
    }

    @AfterEach
    void close() throws IOException {
        server.close();
    }

    private static Frontend frontend(String address, Route route) {
        return Frontend.of(
                new FrontendAddress(Protocol.TCP, Objects.requireNonNull(IpAddress.parse(address)), 80), route);
    }

    private static ServiceSnapshot snapshot(int services) {
        Route forward = Route.forward(
                List.of(new Endpoint(Objects.requireNonNull(IpAddress.parse("198.19.0.1")), 8080)), Route.Source.NODE);
        ServicePort[] ports = new ServicePort[services + 1];
        for (int i = 0; i <= services; i++) {
            // Service 0 has no endpoints, so kube-proxy has no element for it.
            ports[i] = new ServicePort(
                    new ServicePortName("test", "web-" + i, "", Protocol.TCP),
                    SessionAffinity.NONE,
                    Set.of(),
                    List.of(frontend("198.18.0." + i, i == 0 ? Route.REJECT : forward)));
        }
        return ServiceSnapshot.of(ports);
    }

    private void nftables(int... services) {
        StringBuilder elements = new StringBuilder();
        for (int service : services) {
            String key = "{\"concat\":[\"198.18.0." + service + "\",\"tcp\",80]}";
            elements.append(elements.isEmpty() ? "" : ",")
                    .append("[{\"elem\":{\"val\":" + key
                            + ",\"comment\":\"test/web\"}},{\"goto\":{\"target\":\"service\"}}]");
        }
        kernel.lists.put(MAP, JsonMapper.shared().readTree("{\"nftables\":[{\"map\":{\"elem\":[" + elements + "]}}]}"));
    }

    private boolean await(int services) throws InterruptedException {
        return await(services, new InetSocketAddress(InetAddress.getLoopbackAddress(), server.getLocalPort()));
    }

    private boolean await(int services, InetSocketAddress healthPort) throws InterruptedException {
        return new KubeProxyCheck(kernel, snapshot(services), healthPort)
                .await(Duration.ofMillis(500), freed::incrementAndGet);
    }

    @ParameterizedTest
    @CsvSource({"1,true", "3,true", "9,true"})
    void acceptsAHealthyProxyWithTheRulesOfThreeServices(int services, boolean ready) throws InterruptedException {
        nftables(1, 2, 3);
        assertThat(await(services)).isEqualTo(ready);
        assertThat(freed).hasValue(1);
    }

    @Test
    void rejectsRulesThatLackOneOfThem() throws InterruptedException {
        nftables(1, 3);
        assertThat(await(3)).isFalse();
    }

    @ParameterizedTest
    @CsvSource({"198.18.0.1,KUBE-SVC-A,true", "198.18.0.1,KUBE-NODEPORTS,false", "198.18.0.2,KUBE-SVC-A,false"})
    void recognizesTheIptablesMode(String address, String chain, boolean ready) throws InterruptedException {
        kernel.lists.put(CHAIN, JsonMapper.shared().readTree("""
                {"nftables":[{"chain":{"name":"KUBE-SERVICES"}},{"rule":{"expr":[
                {"match":{"op":"==","left":{"payload":{"protocol":"ip","field":"daddr"}},"right":"%s"}},
                {"xt":{"type":"match","name":"comment"}},{"counter":{}},{"jump":{"target":"%s"}}]}}]}
                """.formatted(address, chain)));
        assertThat(await(1)).isEqualTo(ready);
    }

    @Test
    void decidesImmediatelyWithoutRulesOfKubeProxy() throws InterruptedException {
        assertThat(await(1)).isFalse();
        assertThat(await(0)).isFalse();
        assertThat(freed).hasValue(0);
    }

    @ParameterizedTest
    @ValueSource(strings = {"HTTP/1.1 503 Service Unavailable\r\n\r\n", "", "200\n", "SSH-2.0-OpenSSH\r\n"})
    void rejectsAHealthPortThatDoesNotReturn200(String text) throws InterruptedException {
        nftables(1);
        response = text;
        assertThat(await(1)).isFalse();
    }

    @Test
    void rejectsAnEndlessStatusLineAndASilentPort() throws Exception {
        nftables(1);
        response = "HTTP/1.1 200 ".repeat(1_000);
        assertThat(await(1)).isFalse();
        try (ServerSocket silent = new ServerSocket(0, 50, InetAddress.getLoopbackAddress())) {
            assertThat(await(1, new InetSocketAddress(silent.getInetAddress(), silent.getLocalPort())))
                    .isFalse();
        }
    }

    @Test
    void rejectsAClosedHealthPort() throws Exception {
        nftables(1);
        server.close();
        assertThat(await(1)).isFalse();
    }
}
