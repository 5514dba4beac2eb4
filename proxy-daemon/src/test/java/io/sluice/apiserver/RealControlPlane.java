package io.sluice.apiserver;

import static java.util.Objects.requireNonNull;
import static org.awaitility.Awaitility.await;

import io.sluice.TestShell;
import io.sluice.apiserver.Pem.Identity;
import io.sluice.document.StrictYaml;
import java.io.File;
import java.io.IOException;
import java.io.InputStream;
import java.io.StringReader;
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
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.stream.Stream;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.extension.ExtensionContext;
import org.junit.jupiter.api.extension.ExtensionContext.Namespace;
import org.junit.jupiter.api.extension.ExtensionContext.StoreScope;
import org.junit.jupiter.api.extension.ParameterContext;
import org.junit.jupiter.api.extension.ParameterResolver;
import tools.jackson.databind.JsonNode;

/**
 * A real etcd and up to two kube-apiservers on loopback, without root and without kubelets. The programs come from the
 * directory in {@code KUBEBUILDER_ASSETS}, or from the PATH. It has a Node {@code n1}, and a service account and a user
 * with the role of the shipped manifests.
 */
public final class RealControlPlane implements AutoCloseable {
    public static final String SERVICES = "/api/v1/namespaces/default/services";
    public static final String PODS = "/api/v1/namespaces/kube-system/pods";
    static final String ROLES = "/apis/rbac.authorization.k8s.io/v1/clusterroles";
    private static final String BINDINGS = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings";

    /** The service account of the shipped manifests, in the namespace kube-system. */
    public static final String ACCOUNT = "sluice";

    /** A user with the same role, for client certificates. */
    static final String USER = "sluice-user";

    private static final Duration START = Duration.ofSeconds(90);
    private static final String ADMIN_TOKEN = "admin-token-of-this-test";

    private final Path directory;
    private final TestAuthority authority;
    private final HttpClient client;
    private final int etcdPort = freePort();
    private final int etcdPeerPort = freePort();
    private final int[] ports = {freePort(), freePort()};
    private final Map<String, Process> processes = new ConcurrentHashMap<>();

    /** Ends the processes if this JVM is interrupted; etcd would otherwise remain. */
    private final Thread atExit = new Thread(() -> processes.values().forEach(Process::destroyForcibly));

    /** Passes the control plane to test classes. They share one, because its start takes ten seconds. */
    public static final class Shared implements ParameterResolver {
        private static final Namespace NAMESPACE = Namespace.create(RealControlPlane.class);

        @Override
        public boolean supportsParameter(ParameterContext parameter, ExtensionContext context) {
            return parameter.getParameter().getType() == RealControlPlane.class;
        }

        /** JUnit closes it after the last class. */
        @Override
        public RealControlPlane resolveParameter(ParameterContext parameter, ExtensionContext context) {
            return context.getStore(StoreScope.LAUNCHER_SESSION, NAMESPACE)
                    .computeIfAbsent(RealControlPlane.class, unused -> start(), RealControlPlane.class);
        }
    }

    private RealControlPlane(Path directory) throws IOException, GeneralSecurityException {
        this.directory = directory;
        authority = TestAuthority.in(Files.createDirectory(directory.resolve("authority")));
        Identity server = authority.server("ip:127.0.0.1");
        write("ca.crt", authority.certificate());
        write("server.crt", server.certificate());
        write("server.key", server.key());
        write("tokens.csv", ADMIN_TOKEN + ",admin,admin,\"system:masters\"\n");
        // As with Konnectivity, connections to pods go through a tunnel. They could not be opened otherwise: the API
        // server does not connect to pods on loopback.
        write("egress.yaml", """
                apiVersion: apiserver.k8s.io/v1beta1
                kind: EgressSelectorConfiguration
                egressSelections:
                - name: cluster
                  connection: {proxyProtocol: HTTPConnect, transport: {uds: {udsName: %s}}}
                """.formatted(tunnel()));
        client = HttpClient.newBuilder().sslContext(trusting(authority)).build();
    }

    /** Starts etcd and the first API server, waits until it is ready, and creates the objects of Sluice. */
    private static RealControlPlane start() {
        RealControlPlane plane;
        try {
            plane = new RealControlPlane(Files.createTempDirectory("sluice-control-plane"));
        } catch (IOException | GeneralSecurityException e) {
            throw new IllegalStateException(e);
        }
        Runtime.getRuntime().addShutdownHook(plane.atExit);
        boolean started = false;
        try {
            plane.startEtcd();
            plane.startServer(0);
            plane.createAccounts();
            started = true;
            return plane;
        } finally {
            if (!started) {
                plane.close();
            }
        }
    }

    private void createAccounts() {
        create("/api/v1/nodes", """
                {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"}}""");
        create("/api/v1/namespaces/kube-system/serviceaccounts", """
                {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "%s"}}""".formatted(ACCOUNT));
        create(ROLES, shippedRole().toString());
        bind("account", "\"kind\": \"ServiceAccount\", \"namespace\": \"kube-system\", \"name\": \"" + ACCOUNT + "\"");
        bind("user", "\"kind\": \"User\", \"name\": \"" + USER + "\"");
    }

    private void bind(String name, String subject) {
        create(BINDINGS, """
                {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": "%s"},
                 "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "sluice"},
                 "subjects": [{%s}]}""".formatted(name, subject));
    }

    /** The ClusterRole of the shipped manifests. */
    static JsonNode shippedRole() {
        try {
            String manifests = Files.readString(Path.of("../deploy/kubernetes/base/rbac.yaml"));
            return Stream.of(manifests.split("\n---\n"))
                    .filter(each -> each.contains("kind: ClusterRole\n"))
                    .map(each -> StrictYaml.tree(StrictYaml.parser(new StringReader(each))))
                    .findFirst()
                    .orElseThrow();
        } catch (IOException e) {
            throw new IllegalStateException(e);
        }
    }

    /** Starts what an earlier test killed and did not start again because it failed. */
    public void repair() {
        if (!processes.containsKey("etcd")) {
            startEtcd();
        }
        if (!processes.containsKey("kube-apiserver-0")) {
            startServer(0);
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

    /** Unix socket on which a test accepts connections of the API servers to pods. */
    public Path tunnel() {
        return directory.resolve("tunnel");
    }

    /** Starts one of the two API servers, at the same port each time, and waits until it is ready. */
    public void startServer(int number) {
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
                "--egress-selector-config-file=" + directory.resolve("egress.yaml"),
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
    public void killServer(int number) {
        kill("kube-apiserver-" + number);
    }

    /** Stops one of the API servers with SIGSTOP, so that its connections stay open, or continues it with SIGCONT. */
    void signalServer(int number, String signal) throws IOException {
        TestShell.sh("kill -" + signal + " "
                + requireNonNull(processes.get("kube-apiserver-" + number)).pid());
    }

    /** Removes all earlier revisions from etcd. */
    void compact() throws IOException, InterruptedException {
        String range = etcd("range", "{\"key\": \"AA==\"}");
        String revision = ApiLimits.JSON.readTree(range).at("/header/revision").stringValue();
        etcd("compaction", "{\"revision\": " + revision + ", \"physical\": true}");
    }

    private String etcd(String operation, String body) throws IOException, InterruptedException {
        URI uri = URI.create("http://127.0.0.1:" + etcdPort + "/v3/kv/" + operation);
        HttpRequest request = HttpRequest.newBuilder(uri)
                .POST(HttpRequest.BodyPublishers.ofString(body))
                .build();
        HttpResponse<String> response = client.send(request, HttpResponse.BodyHandlers.ofString());
        if (response.statusCode() != 200) {
            throw new IOException(operation + ": " + response.body());
        }
        return response.body();
    }

    void killEtcd() {
        kill("etcd");
    }

    private void kill(String name) {
        requireNonNull(processes.remove(name), name).destroyForcibly().onExit().join();
    }

    public String url(int number) {
        return "https://127.0.0.1:" + ports[number];
    }

    /** The authority that signed the certificates of the servers and signs those of clients. */
    TestAuthority authority() {
        return authority;
    }

    /** Writes a file beside those of the servers and returns its path. */
    public Path write(String name, String content) throws IOException {
        return Files.writeString(directory.resolve(name), content);
    }

    /** Writes a kubeconfig for the first server. */
    public Path kubeconfig(String user) throws IOException {
        return write("kubeconfig", """
                apiVersion: v1
                kind: Config
                clusters: [{name: c, cluster: {server: '%s', certificate-authority: ca.crt}}]
                contexts: [{name: x, context: {cluster: c, user: u}}]
                users: [{name: u, user: {%s}}]
                current-context: x
                """.formatted(url(0), user));
    }

    /** Access to the first server with a kubeconfig. */
    ApiAccess accessAs(String user) throws IOException, ApiAccessException {
        return find(List.of(kubeconfig(user)), List.of(), null);
    }

    private ApiAccess find(List<Path> kubeconfigs, List<String> urls, @Nullable Path token)
            throws IOException, ApiAccessException {
        Path authority = urls.isEmpty() ? null : directory.resolve("ca.crt");
        return ApiAccess.find(
                new ApiOptions(kubeconfigs, "", urls, token, authority, false), Map.of(), directory, directory);
    }

    /** Access to the first server without credentials. */
    ApiAccess anonymous() throws IOException, ApiAccessException {
        return find(List.of(), List.of(url(0)), null);
    }

    /** Access to the given servers with a bearer token, with the rights of an administrator if it is null. */
    ApiAccess access(@Nullable Path tokenFile, int... numbers) throws IOException, ApiAccessException {
        List<String> urls = new ArrayList<>();
        for (int number : numbers) {
            urls.add(url(number));
        }
        Path token = tokenFile == null ? write("admin.token", ADMIN_TOKEN) : tokenFile;
        return find(List.of(), urls, token);
    }

    /** Creates an object as an administrator. */
    public JsonNode create(String collection, String json) {
        return send(0, "POST", collection, "application/json", json);
    }

    JsonNode replace(String path, String json) {
        return send(0, "PUT", path, "application/json", json);
    }

    public JsonNode patch(String path, String json) {
        return send(0, "PATCH", path, "application/merge-patch+json", json);
    }

    public void delete(String path) {
        send(0, "DELETE", path, "application/json", "");
    }

    public JsonNode read(String path) {
        return ApiLimits.JSON.readTree(get(0, path).body());
    }

    /** A token of a ServiceAccount in the namespace kube-system. With a Secret's name, it ends with the Secret. */
    public String token(String serviceAccount, String secret) {
        String bound = secret.isEmpty()
                ? ""
                : ", \"boundObjectRef\": {\"apiVersion\": \"v1\", \"kind\": \"Secret\", \"name\": \"%s\"}"
                        .formatted(secret);
        return create(
                        "/api/v1/namespaces/kube-system/serviceaccounts/" + serviceAccount + "/token",
                        "{\"apiVersion\": \"authentication.k8s.io/v1\", \"kind\": \"TokenRequest\","
                                + " \"spec\": {\"expirationSeconds\": 3600" + bound + "}}")
                .at("/status/token")
                .stringValue();
    }

    HttpResponse<String> get(int server, String path) {
        return exchange(server, path, HttpRequest.newBuilder().GET(), HttpResponse.BodyHandlers.ofString());
    }

    private JsonNode send(int server, String method, String path, String type, String body) {
        HttpResponse<String> response = exchange(
                server,
                path,
                HttpRequest.newBuilder()
                        .header("Content-Type", type)
                        .method(method, HttpRequest.BodyPublishers.ofString(body)),
                HttpResponse.BodyHandlers.ofString());
        if (response.statusCode() / 100 != 2) {
            throw new IllegalStateException(method + " " + path + ": " + response.body());
        }
        return ApiLimits.JSON.readTree(response.body());
    }

    /** The response of the first server to an administrator. The body can be a watch, which does not end. */
    HttpResponse<InputStream> open(String method, String path, byte[] body) {
        HttpRequest.Builder request =
                HttpRequest.newBuilder().method(method, HttpRequest.BodyPublishers.ofByteArray(body));
        return exchange(0, path, request, HttpResponse.BodyHandlers.ofInputStream());
    }

    private <T> HttpResponse<T> exchange(
            int server, String path, HttpRequest.Builder request, HttpResponse.BodyHandler<T> body) {
        try {
            return client.send(
                    request.uri(URI.create(url(server) + path))
                            .header("Authorization", "Bearer " + ADMIN_TOKEN)
                            .timeout(Duration.ofSeconds(10))
                            .build(),
                    body);
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
        try {
            Runtime.getRuntime().removeShutdownHook(atExit);
            List<Path> all;
            try (Stream<Path> files = Files.walk(directory)) {
                all = files.sorted(Comparator.reverseOrder()).toList();
            }
            for (Path each : all) {
                Files.delete(each);
            }
        } catch (IOException e) {
            throw new IllegalStateException(e);
        }
    }
}
