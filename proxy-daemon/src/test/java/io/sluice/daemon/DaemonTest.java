package io.sluice.daemon;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import io.sluice.config.Configuration;
import io.sluice.config.ConfigurationException;
import io.sluice.forward.FrontendStatus;
import io.sluice.ops.MetricsDocument;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Tests the daemon in this process: the responses of its HTTP ports while it starts, serves and stops. */
final class DaemonTest {
    @TempDir
    private Path directory;

    private Daemon daemon() throws ConfigurationException {
        Configuration configuration = Configuration.load(
                null,
                Map.of(
                        "SLUICE_FEED", directory.resolve("feed.yaml").toString(),
                        "SLUICE_NODE_NAME", "n1",
                        "SLUICE_READY_FILE", directory.resolve("ready").toString(),
                        "SLUICE_HEALTHZ_BIND_ADDRESS", "127.0.0.1:0",
                        "SLUICE_METRICS_BIND_ADDRESS", "127.0.0.1:0",
                        "SLUICE_ADMIN_BIND_ADDRESS", "127.0.0.1:0",
                        "SLUICE_ADMIN_SOCKET", directory.resolve("admin.sock").toString()),
                Map.of());
        return new Daemon(configuration.settings(), configuration.toMap(), null);
    }

    private static HttpResponse<String> get(InetSocketAddress at, String path) throws Exception {
        URI uri = URI.create("http://127.0.0.1:" + at.getPort() + path);
        return HttpClient.newHttpClient().send(HttpRequest.newBuilder(uri).build(), BodyHandlers.ofString());
    }

    @Test
    void isAliveButNotReadyWithoutAFeed() throws Exception {
        try (Daemon daemon = daemon()) {
            daemon.start();
            InetSocketAddress health = daemon.ports().healthz().orElseThrow();
            assertThat(get(health, "/livez").statusCode()).isEqualTo(200);
            assertThat(get(health, "/readyz").statusCode()).isEqualTo(503);
            assertThat(directory.resolve("ready")).doesNotExist();
            assertThat(get(health, "/readyz").body()).contains("the feed has not been read completely yet");
            InetSocketAddress metrics = daemon.ports().metrics().orElseThrow();
            assertThat(get(metrics, "/metrics").body())
                    .contains("sluice_feed_synced 0.0")
                    .doesNotContain("kubeproxy_sync_proxy_rules_last_timestamp_seconds{");
            assertThat(get(metrics, "/metrics").body().lines())
                    .filteredOn(line -> line.matches("# TYPE (sluice|kubeproxy)_.*"))
                    .extracting(line -> line.split(" ")[2])
                    .as("the documented metrics")
                    .isSubsetOf(MetricsDocument.read().types().keySet());
            assertThat(get(metrics, "/healthz").body()).isEqualTo("ok");
            assertThat(get(metrics, "/configz").body()).contains("\"drainTimeout\" : \"30s\"");
            InetSocketAddress admin = daemon.ports().admin().orElseThrow();
            assertThat(get(admin, "/").statusCode()).isEqualTo(200);
            assertThat(get(admin, "/api/v1/config").body()).contains("\"drainTimeout\":\"30s\"");
            assertThat(get(admin, "/metrics").statusCode()).isEqualTo(404);
            assertThat(directory.resolve("admin.sock")).exists();
        }
    }

    @Test
    void failsLivenessWhenAThreadKeepsDying() throws Exception {
        try (Daemon daemon = daemon()) {
            daemon.start();
            InetSocketAddress health = daemon.ports().healthz().orElseThrow();
            assertThat(get(health, "/livez").statusCode()).isEqualTo(200);
            daemon.supervisor().loop("sluice-test", () -> {
                throw new StackOverflowError("as the test wants");
            });
            await().until(() -> get(health, "/livez").statusCode() == 503);
            assertThat(get(health, "/livez").body())
                    .contains("\"thread\":\"sluice-test\"")
                    .contains("java.lang.StackOverflowError: as the test wants");
        }
    }

    @Test
    @Tag("end-to-end")
    void servesAFeedAndIsNotReadyWhileDraining() throws Exception {
        int port = NameServer.freePort("127.96.2.1");
        try (ServerSocket endpoint = new ServerSocket(0, 50, InetAddress.getLoopbackAddress());
                Daemon daemon = daemon()) {
            writeFeed(port, endpoint.getLocalPort());
            daemon.start();
            InetSocketAddress health = daemon.ports().healthz().orElseThrow();
            await().until(() -> get(health, "/readyz").statusCode() == 200);
            await().until(() -> Files.exists(directory.resolve("ready")));
            try (Socket client = new Socket("127.96.2.1", port);
                    Socket server = endpoint.accept()) {
                client.getOutputStream().write(7);
                assertThat(server.getInputStream().read()).isEqualTo(7);
            }
            daemon.drain();
            assertThat(directory.resolve("ready")).doesNotExist();
            assertThat(get(health, "/readyz").body()).isEqualTo("not ready: shutting down\n");
            assertThat(get(health, "/livez").statusCode()).isEqualTo(200);
        }
    }

    @Test
    void reportsServiceHealthAndAnIneligibleNodeWhileDraining() throws Exception {
        int port = NameServer.freePort("0.0.0.0");
        try (Daemon daemon = daemon()) {
            write("""
                    {apiVersion: v1, kind: Node, metadata: {name: n1}}
                    ---
                    apiVersion: v1
                    kind: Service
                    metadata: {name: web, namespace: test}
                    spec:
                      type: LoadBalancer
                      clusterIP: 127.96.2.3
                      externalTrafficPolicy: Local
                      healthCheckNodePort: %d
                      ports: [{port: %d, protocol: TCP}]
                    ---
                    apiVersion: discovery.k8s.io/v1
                    kind: EndpointSlice
                    metadata: {name: web-1, namespace: test, labels: {kubernetes.io/service-name: web}}
                    addressType: IPv4
                    ports: [{name: '', port: 9, protocol: TCP}]
                    endpoints: [{addresses: ['127.0.0.1'], nodeName: n1}]
                    """.formatted(port, NameServer.freePort("127.96.2.3")));
            daemon.start();
            await().until(() -> !daemon.ports().healthCheckAddresses("test/web").isEmpty());
            InetSocketAddress check =
                    daemon.ports().healthCheckAddresses("test/web").get(0);
            assertThat(check.getPort()).isEqualTo(port);
            assertThat(get(check, "/healthz").statusCode()).isEqualTo(200);
            InetSocketAddress health = daemon.ports().healthz().orElseThrow();
            assertThat(get(health, "/healthz").statusCode()).isEqualTo(200);

            daemon.drain();
            HttpResponse<String> answer = get(check, "/healthz");
            assertThat(answer.statusCode()).isEqualTo(503);
            assertThat(answer.body()).contains("\"localEndpoints\": 1", "\"serviceProxyHealthy\": false");
            assertThat(get(health, "/healthz").body()).contains("\"nodeEligible\":false");
        }
        try (ServerSocket free = new ServerSocket()) {
            free.setReuseAddress(true);
            free.bind(new InetSocketAddress(port));
            assertThat(free.isBound()).isTrue();
        }
    }

    @Test
    void isAliveButIneligibleWhileItsNodeIsBeingDeleted() throws Exception {
        try (Daemon daemon = daemon()) {
            write("{apiVersion: v1, kind: Node, metadata: {name: n1, deletionTimestamp: '2026-01-01T00:00:00Z'}}\n");
            daemon.start();
            InetSocketAddress health = daemon.ports().healthz().orElseThrow();
            await().until(() -> get(health, "/healthz").statusCode() == 503);
            assertThat(get(health, "/healthz").body()).contains("\"nodeEligible\":false,\"healthy\":true");
            assertThat(get(health, "/livez").statusCode()).isEqualTo(200);
            InetSocketAddress metrics = daemon.ports().metrics().orElseThrow();
            assertThat(get(metrics, "/metrics").body())
                    .contains("kubeproxy_proxy_livez_total{code=\"200\"} 1.0\n")
                    .contains("kubeproxy_sync_proxy_rules_duration_seconds_count{ip_family=\"IPv6\"} 1\n");
        }
    }

    private void write(String feed) throws IOException {
        Files.writeString(directory.resolve("feed.yaml"), feed);
    }

    private void writeFeed(int port, int endpointPort) throws IOException {
        List<String> lines = List.of(
                "apiVersion: v1",
                "kind: Service",
                "metadata: {name: web, namespace: test}",
                "spec: {clusterIP: 127.96.2.1, ports: [{port: " + port + ", protocol: TCP}]}",
                "---",
                "apiVersion: discovery.k8s.io/v1",
                "kind: EndpointSlice",
                "metadata: {name: web-1, namespace: test, labels: {kubernetes.io/service-name: web}}",
                "addressType: IPv4",
                "ports: [{name: '', port: " + endpointPort + ", protocol: TCP}]",
                "endpoints: [{addresses: ['127.0.0.1']}]");
        Files.write(directory.resolve("feed.yaml"), lines);
    }

    @Test
    void failsAConflictingFrontendWithTheOwnersName() throws Exception {
        int port = NameServer.freePort("127.96.77.1");
        Files.writeString(directory.resolve("feed.yaml"), """
                apiVersion: v1
                kind: Service
                metadata: {name: old, creationTimestamp: "2026-01-01T00:00:00Z"}
                spec: {clusterIP: 127.96.77.1, ports: [{port: %1$d}]}
                ---
                apiVersion: v1
                kind: Service
                metadata: {name: late, creationTimestamp: "2026-01-02T00:00:00Z"}
                spec: {clusterIP: 127.96.77.1, ports: [{port: %1$d}]}
                """.formatted(port));
        try (Daemon daemon = daemon()) {
            daemon.start();
            await().until(() -> daemon.forwarder().frontends().size() == 2);
            assertThat(daemon.forwarder().frontends())
                    .filteredOn(status -> status.state() == FrontendStatus.State.FAILED)
                    .singleElement()
                    .satisfies(status -> {
                        assertThat(status.service()).hasToString("default/late");
                        assertThat(status.reason())
                                .isEqualTo("belongs to Service default/old, which is older or sorts first by name");
                    });
            Path next = directory.resolve("next");
            Files.writeString(next, """
                    apiVersion: v1
                    kind: Service
                    metadata: {name: late, creationTimestamp: "2026-01-02T00:00:00Z"}
                    spec: {clusterIP: 127.96.77.1, ports: [{port: %d}]}
                    """.formatted(port));
            Files.move(next, directory.resolve("feed.yaml"), StandardCopyOption.ATOMIC_MOVE);
            await().untilAsserted(() -> assertThat(daemon.forwarder().frontends())
                    .singleElement()
                    .satisfies(status -> {
                        assertThat(status.service()).hasToString("default/late");
                        assertThat(status.state()).isEqualTo(FrontendStatus.State.ACTIVE);
                    }));
        }
    }
}
