package io.sluice.daemon;

import static io.sluice.apiserver.RealControlPlane.ACCOUNT;
import static io.sluice.apiserver.RealControlPlane.PODS;
import static io.sluice.apiserver.RealControlPlane.SERVICES;
import static io.sluice.daemon.RunIT.TIMEOUT;
import static io.sluice.daemon.RunIT.awaitReady;
import static io.sluice.daemon.RunIT.get;
import static io.sluice.daemon.RunIT.uri;
import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import io.sluice.apiserver.KubectlProxy;
import io.sluice.apiserver.RealControlPlane;
import java.io.IOException;
import java.net.ConnectException;
import java.net.Socket;
import java.net.URI;
import java.net.http.HttpResponse;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.io.TempDir;
import tools.jackson.databind.JsonNode;

/** The commands of the distribution with a real kube-apiserver and etcd. {@code -Pcluster} selects these tests. */
@Tag("cluster")
@ExtendWith(RealControlPlane.Shared.class)
final class RealApiServerRunIT {
    private static final int PORT = 8080;

    @SuppressWarnings("NullAway.Init") // set in @BeforeAll
    private static RealControlPlane plane;

    @TempDir
    private Path directory;

    /** The ClusterIP that the server allocated, and its address on loopback; see --map-frontends below. */
    private String clusterIp = "";

    private String mapped = "";

    @BeforeAll
    static void share(RealControlPlane shared) {
        plane = shared;
    }

    @BeforeEach
    void createService() {
        plane.repair();
        JsonNode service = plane.create(SERVICES, """
                {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "run"}, "spec": {
                 "ipFamilyPolicy": "RequireDualStack", "ipFamilies": ["IPv4", "IPv6"], "ports": [{"port": %d}]}}""".formatted(PORT));
        plane.create("/apis/discovery.k8s.io/v1/namespaces/default/endpointslices", """
                {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": {"name": "run-1",
                 "labels": {"kubernetes.io/service-name": "run"}}, "addressType": "IPv4",
                 "endpoints": [{"addresses": ["198.18.64.1"]}], "ports": [{"name": "", "port": 8080}]}""");
        clusterIp = service.at("/spec/clusterIP").stringValue();
        mapped = clusterIp.replaceFirst("198", "127");
    }

    @AfterEach
    void deleteService() {
        plane.repair();
        if (plane.read(SERVICES + "/run").path("kind").stringValue().equals("Service")) {
            plane.delete(SERVICES + "/run");
        }
        plane.delete("/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/run-1");
    }

    private SluiceProcess start(String source) throws IOException {
        return SluiceProcess.start(
                directory,
                "run",
                source,
                "--node-name=n1",
                "--map-frontends=198.19.0.0/16=127.19.0.0/16",
                "--healthz-bind-address=127.0.0.1:0",
                "--metrics-bind-address=127.0.0.1:0",
                "--admin-bind-address=127.0.0.1:0");
    }

    private String kubeconfig() throws IOException {
        return "--kubeconfig=" + plane.kubeconfig("token: " + plane.token(ACCOUNT, ""));
    }

    private boolean isServed() throws IOException {
        try (Socket client = new Socket(mapped, PORT)) {
            return client.isConnected();
        } catch (ConnectException e) {
            return false;
        }
    }

    private static void awaitMetric(SluiceProcess sluice, String line) {
        URI metrics = uri(sluice, "metrics", "/metrics");
        await().atMost(TIMEOUT)
                .untilAsserted(() -> assertThat(get(metrics).body().lines()).contains(line));
    }

    /** The server is down for a while, in which Sluice continues to serve. */
    @Test
    void servesWhatTheServerAllocated() throws Exception {
        try (SluiceProcess sluice = start(kubeconfig())) {
            awaitReady(sluice);
            await().atMost(TIMEOUT).until(this::isServed);
            plane.killServer(0);
            awaitMetric(sluice, "sluice_watch_up{resource=\"services\"} 0.0");
            HttpResponse<String> readyz = get(uri(sluice, "health", "/readyz"));
            assertThat(readyz.statusCode()).isEqualTo(200);
            assertThat(readyz.body()).contains("services");
            assertThat(isServed()).isTrue();
            plane.startServer(0);
            plane.delete(SERVICES + "/run");
            await().atMost(TIMEOUT).until(() -> !isServed());
            awaitMetric(sluice, "sluice_watch_up{resource=\"services\"} 1.0");
            sluice.signal("TERM");
            assertThat(sluice.exitCode()).isZero();
        }
    }

    @Test
    void waitsForAValidToken() throws Exception {
        Path token = plane.write("run.token", "made-up");
        try (SluiceProcess sluice = start("--kubeconfig=" + plane.kubeconfig("tokenFile: " + token))) {
            URI readyz = uri(sluice, "health", "/readyz");
            await().atMost(TIMEOUT).until(() -> get(readyz).body().contains("401"));
            assertThat(get(readyz).statusCode()).isEqualTo(503);
            plane.write("run.token", plane.token(ACCOUNT, ""));
            awaitReady(sluice);
        }
    }

    @Test
    void checkReadsTheServerOnce() throws Exception {
        try (SluiceProcess sluice = SluiceProcess.start(directory, "check", kubeconfig(), "--node-name=n1")) {
            assertThat(sluice.exitCode()).as(sluice.err()).isZero();
            assertThat(sluice.out()).contains("default/run", clusterIp + ":" + PORT + "/tcp");
        }
        String user = "token: made-up";
        try (SluiceProcess sluice = SluiceProcess.start(directory, "check", "--kubeconfig=" + plane.kubeconfig(user))) {
            assertThat(sluice.exitCode()).isEqualTo(1);
            assertThat(sluice.err()).contains("401");
        }
    }

    /** Both the daemon and the commands reach the server through {@code kubectl proxy}. */
    @Test
    void theServerForwardsRequestsToTheAdminAddress() throws Exception {
        plane.create(PODS, """
                {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "sluice-x"}, "spec": {"nodeName": "n1",
                 "serviceAccountName": "sluice", "containers": [{"name": "sluice", "image": "sluice"}]}}""");
        plane.patch(PODS + "/sluice-x/status", """
                {"status": {"phase": "Running", "podIP": "198.18.65.1", "podIPs": [{"ip": "198.18.65.1"}]}}""");
        try (KubectlProxy kubectl = new KubectlProxy(plane);
                PodTunnel tunnel = new PodTunnel(plane.tunnel());
                SluiceProcess sluice = start("--master=" + kubectl.url())) {
            awaitReady(sluice);
            int port = uri(sluice, "the admin API", "/").getPort();
            String page = kubectl.url() + PODS + "/sluice-x:" + port + "/proxy/";
            assertThat(admin(page, "status")).contains("n1");
            assertThat(admin(page, "services")).contains("default/run");
            assertThat(admin(page, "trace", "--live", "--from=198.18.66.1", "--to=" + mapped + ":" + PORT + "/tcp"))
                    .contains("198.18.64.1:8080");
            HttpResponse<String> html = get(URI.create(page));
            assertThat(html.body()).contains("<script type=\"module\" src=\"app.js\">");
            assertThat(html.headers().firstValue("Content-Security-Policy")).isPresent();
            HttpResponse<String> script = get(URI.create(page + "app.js"));
            assertThat(script.statusCode()).isEqualTo(200);
            assertThat(script.headers().firstValue("Content-Type"))
                    .hasValueSatisfying(type -> assertThat(type).startsWith("text/javascript"));
            assertThat(tunnel.connections()).isPositive();
        } finally {
            plane.delete(PODS + "/sluice-x?gracePeriodSeconds=0");
        }
    }

    private String admin(String page, String command, String... more) throws Exception {
        List<String> args = new ArrayList<>(List.of(command, "--server=" + page));
        args.addAll(List.of(more));
        Path launcher = SluiceProcess.HOME.resolve("bin/sluice");
        // The variable would select the socket.
        Map<String, String> environment = Map.of("SLUICE_ADMIN_SOCKET", "");
        try (SluiceProcess sluice =
                SluiceProcess.start(directory, launcher, environment, args.toArray(String[]::new))) {
            assertThat(sluice.exitCode()).as(sluice.err()).isZero();
            return sluice.out();
        }
    }
}
