package io.sluice.apiserver;

import static java.util.Objects.requireNonNull;
import static org.awaitility.Awaitility.await;

import io.sluice.apiserver.Pem.Identity;
import java.io.File;
import java.io.IOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;
import org.jspecify.annotations.Nullable;
import tools.jackson.databind.JsonNode;

/**
 * A real etcd and up to two kube-apiservers on loopback, without root and without nodes. The programs come from the
 * directory in {@code KUBEBUILDER_ASSETS}, or from the PATH.
 */
final class RealControlPlane implements AutoCloseable {
    private static final Duration START = Duration.ofSeconds(90);
    private static final String ADMIN_TOKEN = "admin-token-of-this-test";

    private final Path directory;
    private final TestAuthority authority;
    private final HttpClient client;
    private final int etcdPort = freePort();
    private final int etcdPeerPort = freePort();
    private final int[] ports = {freePort(), freePort()};
    private final Map<String, Process> processes = new HashMap<>();

    private RealControlPlane(Path directory) throws IOException, GeneralSecurityException {
        this.directory = directory;
        authority = TestAuthority.in(Files.createDirectory(directory.resolve("authority")));
        Identity server = authority.server("ip:127.0.0.1");
        write("ca.crt", authority.certificate());
        write("server.crt", server.certificate());
        write("server.key", server.key());
        write("tokens.csv", ADMIN_TOKEN + ",admin,admin,\"system:masters\"\n");
        client = HttpClient.newBuilder().sslContext(trusting(authority)).build();
    }

    /**
     * Starts etcd and the first API server, and waits until it is ready.
     *
     * @param directory an empty directory for data and logs
     */
    static RealControlPlane start(Path directory) throws IOException, GeneralSecurityException {
        RealControlPlane plane = new RealControlPlane(directory);
        boolean started = false;
        try {
            plane.startEtcd();
            plane.startServer(0);
            started = true;
            return plane;
        } finally {
            if (!started) {
                plane.close();
            }
        }
    }

    /** @throws IllegalStateException if a program is missing, with what to do */
    private static String program(String name) {
        String assets = System.getenv().getOrDefault("KUBEBUILDER_ASSETS", "");
        String path = System.getenv().getOrDefault("PATH", "");
        return Stream.concat(Stream.of(assets), Stream.of(path.split(File.pathSeparator)))
                .filter(each -> !each.isEmpty())
                .map(each -> Path.of(each, name))
                .filter(Files::isExecutable)
                .findFirst()
                .orElseThrow(() -> new IllegalStateException(
                        name + " is neither in KUBEBUILDER_ASSETS nor on the PATH; 'setup-envtest use' downloads it,"
                                + " and 'deploy/e2e/build etcd kube-apiserver' builds it"))
                .toString();
    }

    void startEtcd() {
        run(
                "etcd",
                program("etcd"),
                "--data-dir=" + directory.resolve("etcd"),
                "--log-level=error",
                "--unsafe-no-fsync",
                "--listen-client-urls=http://127.0.0.1:" + etcdPort,
                "--advertise-client-urls=http://127.0.0.1:" + etcdPort,
                "--listen-peer-urls=http://127.0.0.1:" + etcdPeerPort,
                "--initial-advertise-peer-urls=http://127.0.0.1:" + etcdPeerPort,
                "--initial-cluster=default=http://127.0.0.1:" + etcdPeerPort);
    }

    /** Starts one of the two API servers, at the same port each time, and waits until it is ready. */
    void startServer(int number) {
        run(
                "kube-apiserver-" + number,
                program("kube-apiserver"),
                "--etcd-servers=http://127.0.0.1:" + etcdPort,
                "--bind-address=127.0.0.1",
                "--secure-port=" + ports[number],
                "--advertise-address=198.18.0.1",
                "--cert-dir=" + directory.resolve("certificates"),
                "--tls-cert-file=" + directory.resolve("server.crt"),
                "--tls-private-key-file=" + directory.resolve("server.key"),
                "--client-ca-file=" + directory.resolve("ca.crt"),
                "--token-auth-file=" + directory.resolve("tokens.csv"),
                "--authorization-mode=RBAC",
                "--service-cluster-ip-range=198.19.0.0/16,fd00:19::/112",
                "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
                "--service-account-key-file=" + directory.resolve("server.crt"),
                "--service-account-signing-key-file=" + directory.resolve("server.key"));
        await("kube-apiserver is ready").atMost(START).until(() -> isReady(number));
    }

    private boolean isReady(int number) throws IOException {
        String name = "kube-apiserver-" + number;
        if (!requireNonNull(processes.get(name)).isAlive()) {
            throw new IllegalStateException(name + " ended: " + Files.readString(directory.resolve(name + ".log")));
        }
        try {
            return get(number, "/readyz").statusCode() == 200;
        } catch (IllegalStateException e) {
            // It does not listen yet.
            return false;
        }
    }

    private void run(String name, String... command) {
        try {
            File log = directory.resolve(name + ".log").toFile();
            processes.put(
                    name,
                    new ProcessBuilder(command)
                            .redirectErrorStream(true)
                            .redirectOutput(ProcessBuilder.Redirect.appendTo(log))
                            .start());
        } catch (IOException e) {
            throw new IllegalStateException(e);
        }
    }

    /** Kills one of the API servers, and waits for its end. */
    void killServer(int number) {
        kill("kube-apiserver-" + number);
    }

    void killEtcd() {
        kill("etcd");
    }

    private void kill(String name) {
        requireNonNull(processes.remove(name), name).destroyForcibly().onExit().join();
    }

    String url(int number) {
        return "https://127.0.0.1:" + ports[number];
    }

    /** The authority that signed the certificates of the servers and signs those of clients. */
    TestAuthority authority() {
        return authority;
    }

    /** Writes a file beside those of the servers and returns its path. */
    Path write(String name, String content) throws IOException {
        return Files.writeString(directory.resolve(name), content);
    }

    /** Access to the given servers with a bearer token, with the rights of an administrator if it is null. */
    ApiAccess access(@Nullable Path tokenFile, int... numbers) throws IOException, ApiAccessException {
        List<String> urls = new ArrayList<>();
        for (int number : numbers) {
            urls.add(url(number));
        }
        Path token = tokenFile == null ? write("admin.token", ADMIN_TOKEN) : tokenFile;
        return ApiAccess.find(
                new ApiOptions(List.of(), "", urls, token, directory.resolve("ca.crt"), false),
                Map.of(),
                directory,
                directory);
    }

    /** Creates the objects of a YAML or JSON manifest as an administrator; each must have a path as its key. */
    JsonNode create(String collection, String json) {
        return send(0, "POST", collection, "application/json", json);
    }

    JsonNode replace(String path, String json) {
        return send(0, "PUT", path, "application/json", json);
    }

    JsonNode patch(int server, String path, String json) {
        return send(server, "PATCH", path, "application/merge-patch+json", json);
    }

    void delete(String path) {
        send(0, "DELETE", path, "application/json", "");
    }

    JsonNode read(String path) {
        return ApiLimits.JSON.readTree(get(0, path).body());
    }

    /** A token of a ServiceAccount in the namespace kube-system. With a Secret's name, it ends with the Secret. */
    String token(String serviceAccount, String secret) {
        String bound = secret.isEmpty()
                ? ""
                : ", \"boundObjectRef\": {\"apiVersion\": \"v1\", \"kind\": \"Secret\", \"name\": \"%s\"}".formatted(secret);
        return create(
                        "/api/v1/namespaces/kube-system/serviceaccounts/" + serviceAccount + "/token",
                        "{\"apiVersion\": \"authentication.k8s.io/v1\", \"kind\": \"TokenRequest\","
                                + " \"spec\": {\"expirationSeconds\": 3600" + bound + "}}")
                .at("/status/token")
                .stringValue();
    }

    HttpResponse<String> get(int server, String path) {
        return exchange(server, path, HttpRequest.newBuilder().GET());
    }

    private JsonNode send(int server, String method, String path, String type, String body) {
        HttpResponse<String> response = exchange(
                server,
                path,
                HttpRequest.newBuilder()
                        .header("Content-Type", type)
                        .method(method, HttpRequest.BodyPublishers.ofString(body)));
        if (response.statusCode() / 100 != 2) {
            throw new IllegalStateException(method + " " + path + ": " + response.body());
        }
        return ApiLimits.JSON.readTree(response.body());
    }

    private HttpResponse<String> exchange(int server, String path, HttpRequest.Builder request) {
        try {
            return client.send(
                    request.uri(URI.create(url(server) + path))
                            .header("Authorization", "Bearer " + ADMIN_TOKEN)
                            .timeout(Duration.ofSeconds(10))
                            .build(),
                    HttpResponse.BodyHandlers.ofString());
        } catch (IOException e) {
            throw new IllegalStateException(path + ": " + e, e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IllegalStateException(e);
        }
    }

    private static SSLContext trusting(TestAuthority authority) throws IOException, GeneralSecurityException {
        KeyStore store = KeyStore.getInstance(KeyStore.getDefaultType());
        store.load(null, null);
        store.setCertificateEntry(
                "ca",
                CertificateFactory.getInstance("X.509")
                        .generateCertificate(new java.io.ByteArrayInputStream(
                                authority.certificate().getBytes(StandardCharsets.US_ASCII))));
        TrustManagerFactory trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        trust.init(store);
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(null, trust.getTrustManagers(), null);
        return context;
    }

    private static int freePort() {
        try (ServerSocket socket = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
            return socket.getLocalPort();
        } catch (IOException e) {
            throw new IllegalStateException(e);
        }
    }

    @Override
    public void close() {
        List.copyOf(processes.keySet()).forEach(this::kill);
    }
}
