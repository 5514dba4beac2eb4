package io.sluice.apiserver;

import static java.util.Objects.requireNonNull;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import io.sluice.apiserver.Pem.Identity;
import io.sluice.thread.Supervisor;
import java.io.IOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.UnknownHostException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicLong;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Connections, authentication, failover and replaced credential files, over real sockets. */
final class ApiClientTest {
    private static final String OK = "{\"ok\":true}";
    private static final String NAMES = "ip:127.0.0.1,dns:localhost,dns:api.test";

    @TempDir
    private static Path authorities;

    @SuppressWarnings("NullAway.Init") // set in @BeforeAll
    private static TestAuthority authority;

    @SuppressWarnings("NullAway.Init") // set in @BeforeAll
    private static TestAuthority next;

    @TempDir
    private Path directory;

    private final List<AutoCloseable> opened = new ArrayList<>();
    private final AtomicLong nanos = new AtomicLong(1);
    private final Map<String, List<String>> names = new HashMap<>();
    private Duration headersTimeout = Duration.ofSeconds(10);

    @BeforeAll
    static void makeAuthorities() throws Exception {
        authority = TestAuthority.in(Files.createDirectory(authorities.resolve("first")));
        next = TestAuthority.in(Files.createDirectory(authorities.resolve("next")));
    }

    @AfterEach
    void close() throws Exception {
        for (AutoCloseable each : opened) {
            each.close();
        }
    }

    private FakeApiServer server(FakeApiServer.Handler handler) {
        FakeApiServer server = new FakeApiServer(handler);
        opened.add(server);
        return server;
    }

    private FakeApiServer secure() {
        return server(FakeApiServer.responding(200, OK)).https(authority.server(NAMES), null);
    }

    private ApiClient client(ApiAccess access) {
        ApiClient client = new ApiClient(
                access, new ApiClient.Environment(Duration.ofSeconds(5), headersTimeout, nanos::get, this::resolve));
        opened.add(0, client);
        return client;
    }

    private InetAddress[] resolve(String host) throws UnknownHostException {
        List<InetAddress> addresses = new ArrayList<>();
        for (String each : names.getOrDefault(host, List.of())) {
            addresses.add(InetAddress.getByName(each));
        }
        if (addresses.isEmpty()) {
            throw new UnknownHostException(host);
        }
        return addresses.toArray(InetAddress[]::new);
    }

    private ApiAccess access(
            List<Path> kubeconfigs,
            List<String> masters,
            @Nullable Path tokenFile,
            @Nullable Path authorityFile,
            boolean insecure)
            throws ApiAccessException {
        return ApiAccess.find(
                new ApiOptions(kubeconfigs, "", masters, tokenFile, authorityFile, insecure),
                Map.of(),
                directory.resolve("home"),
                directory.resolve("pod"));
    }

    private ApiClient masters(String... masters) throws ApiAccessException {
        return client(access(List.of(), List.of(masters), null, null, false));
    }

    private ApiClient kubeconfig(String cluster, String user) throws Exception {
        Path file = file("kubeconfig", """
                clusters: [{name: c, cluster: {CLUSTER}}]
                contexts: [{name: x, context: {cluster: c, user: u}}]
                users: [{name: u, user: {USER}}]
                current-context: x
                """.replace("CLUSTER", cluster).replace("USER", user));
        return client(access(List.of(file), List.of(), null, null, false));
    }

    private String trusting(FakeApiServer server) throws Exception {
        file("ca.crt", authority.certificate());
        return "server: '" + server.url() + "', certificate-authority: ca.crt";
    }

    private Path file(String name, String text) throws IOException {
        return Files.writeString(directory.resolve(name), text);
    }

    /** Replaces a file atomically, as the kubelet and editors do. */
    private void replace(String name, String text) throws IOException {
        Path made = file(name + ".new", text);
        Files.move(made, directory.resolve(name), StandardCopyOption.ATOMIC_MOVE);
    }

    private void afterASecond() {
        nanos.addAndGet(Duration.ofSeconds(1).toNanos());
    }

    private static String read(ApiResponse response) throws IOException {
        try (response) {
            return response.status() + " " + new String(response.body().readAllBytes(), StandardCharsets.UTF_8);
        }
    }

    private static int status(ApiClient client) throws IOException {
        try (ApiResponse response = client.get("/version")) {
            return response.status();
        }
    }

    private static String failure(ApiClient client) {
        try {
            return "response " + status(client);
        } catch (IOException e) {
            return requireNonNull(e.getMessage());
        }
    }

    @Test
    void sendsRequestsWithoutCredentials() throws Exception {
        FakeApiServer server = server(FakeApiServer.responding(200, OK)).start();
        ApiClient client = masters(server.url());
        assertThat(read(client.get("/api/v1/services?limit=1&labelSelector=%21a")))
                .isEqualTo("200 " + OK);
        FakeApiServer.Request request = server.requests().get(0);
        assertThat(request.method()).isEqualTo("GET");
        assertThat(request.path()).isEqualTo("/api/v1/services");
        assertThat(request.query()).isEqualTo("limit=1&labelSelector=!a");
        assertThat(request.headers()).doesNotContainKey("Authorization");
        assertThat(request.header("Accept")).isEqualTo("application/json");
    }

    /** The JDK's client fails permanently once its selector thread has ended. */
    @Test
    void replacesAClientWhoseThreadHasEnded() throws Exception {
        FakeApiServer server = server(FakeApiServer.responding(200, OK)).start();
        ApiClient client = masters(server.url());
        assertThat(read(client.get("/"))).isEqualTo("200 " + OK);
        Set<Thread> selectors = selectors();
        assertThat(selectors).isNotEmpty();
        for (Thread selector : selectors) {
            selector.interrupt();
            selector.join();
        }
        // The second message comes from the JDK's client until it has shut down its executor.
        assertThatThrownBy(() -> client.get("/"))
                .isInstanceOf(IOException.class)
                .hasMessageMatching(".*: (the HTTP client has terminated|selector manager closed)");
        await().ignoreExceptions().until(() -> read(client.get("/")).equals("200 " + OK));
    }

    /** On Java 17, replaced clients end only when they are garbage-collected. */
    @Test
    void replacedClientsLeaveNoThread() throws Exception {
        FakeApiServer server = secure().start();
        Set<Thread> before = selectors();
        ApiClient client = kubeconfig(trusting(server), "");
        for (int i = 0; i < 8; i++) {
            replace("ca.crt", authority.certificate() + "\n# " + i);
            afterASecond();
            assertThat(status(client)).isEqualTo(200);
            if (i % 2 == 0) {
                client.markFailed(server.url());
            }
        }
        awaitThreads(before, 1);
        assertThat(status(client)).isEqualTo(200);
        client.close();
        awaitThreads(before, 0);
        assertThat(failure(client)).isEqualTo("closed");
    }

    private static Set<Thread> selectors() {
        return Thread.getAllStackTraces().keySet().stream()
                .filter(thread -> thread.getName().endsWith("-SelectorManager"))
                .collect(Collectors.toSet());
    }

    private static void awaitThreads(Set<Thread> before, int most) {
        await().atMost(Duration.ofSeconds(30)).untilAsserted(() -> {
            System.gc();
            assertThat(selectors())
                    .filteredOn(thread -> !before.contains(thread))
                    .hasSizeLessThanOrEqualTo(most);
        });
    }

    @Test
    void rejectsTooManyHeaders() throws Exception {
        FakeApiServer server = server(exchange -> {
                    exchange.getResponseHeaders().set("X", "x".repeat(500_000));
                    FakeApiServer.sendResponse(exchange, 200, OK);
                })
                .start();
        assertThat(failure(masters(server.url()))).startsWith("no API server responded: " + server.url() + ": ");
    }

    @Test
    void limitsTheSizeOfAnObjectInAResponse() throws Exception {
        FakeApiServer server = server(exchange -> {
                    exchange.sendResponseHeaders(200, 0);
                    byte[] blanks = new byte[1 << 20];
                    for (int i = 0; i < 40; i++) {
                        exchange.getResponseBody().write(blanks);
                    }
                })
                .start();
        ApiClient client = masters(server.url());
        try (ApiResponse response = client.get("/x")) {
            assertThatThrownBy(() -> response.body().readAllBytes())
                    .isInstanceOf(IOException.class)
                    .hasMessage("an object is larger than 16777216 bytes");
        }
        try (ApiResponse response = client.get("/x")) {
            for (int i = 0; i < 40; i++) {
                assertThat(response.body().readNBytes(1 << 20)).hasSize(1 << 20);
                response.nextObject();
            }
        }
    }

    @Test
    void postsToAServerWithABasePath() throws Exception {
        FakeApiServer server = server(FakeApiServer.responding(201, "")).start();
        ApiClient client = masters(server.url() + "/k8s/clusters/c-1/");
        assertThat(read(client.post("/api/v1/events", "{}".getBytes(StandardCharsets.UTF_8))))
                .isEqualTo("201 ");
        FakeApiServer.Request request = server.requests().get(0);
        assertThat(request.method() + " " + request.path() + " " + request.body())
                .isEqualTo("POST /k8s/clusters/c-1/api/v1/events {}");
        assertThat(request.header("Content-Type")).isEqualTo("application/json");
    }

    @Test
    void returnsStatusRetryAfterAndBody() throws Exception {
        FakeApiServer server = server(exchange -> {
                    exchange.getResponseHeaders().set("Retry-After", "7");
                    FakeApiServer.sendResponse(exchange, 429, "slowly");
                })
                .start();
        try (ApiResponse response = masters(server.url()).get("/x")) {
            assertThat(response.status()).isEqualTo(429);
            assertThat(response.server()).isEqualTo(server.url());
            assertThat(response.retryAfter()).isEqualTo(Optional.of(Duration.ofSeconds(7)));
            assertThat(response.body()).hasContent("slowly");
        }
    }

    @Test
    void usesTokenFileAndCertificateAuthorityFlags() throws Exception {
        FakeApiServer server = secure().requireBearer("secret").start();
        Path ca = file("ca.crt", authority.certificate());
        ApiClient client = client(access(List.of(), List.of(server.url()), file("token", "secret\n"), ca, false));
        assertThat(status(client)).isEqualTo(200);
    }

    @Test
    void rejectsAServerCertificateOfAnUntrustedAuthority() throws Exception {
        FakeApiServer server = secure().start();
        Path ca = file("ca.crt", next.certificate());
        ApiClient client = client(access(List.of(), List.of(server.url()), null, ca, false));
        assertThat(failure(client))
                .startsWith("no API server responded: " + server.url() + ": TLS: ")
                .contains("unable to find valid certification path")
                .contains("trusted CAs: " + ca);
        assertThat(server.requests()).isEmpty();
        ApiClient insecure = client(access(List.of(), List.of(server.url()), null, null, true));
        assertThat(status(insecure)).isEqualTo(200);
    }

    @Test
    void reloadsTokenAndAuthorityOfAServiceAccount() throws Exception {
        FakeApiServer server = secure().requireBearer("one").start();
        Files.createDirectory(directory.resolve("pod"));
        file("pod/token", "one");
        file("pod/ca.crt", authority.certificate());
        ApiClient client = client(ApiAccess.find(
                new ApiOptions(List.of(), "", List.of(), null, null, false),
                Map.of("KUBERNETES_SERVICE_HOST", "127.0.0.1", "KUBERNETES_SERVICE_PORT", "" + server.port()),
                directory.resolve("home"),
                directory.resolve("pod")));
        assertThat(status(client)).isEqualTo(200);

        // The file is read again after a second, before the server rejects the old token.
        replace("pod/token", "two");
        afterASecond();
        server.requireBearer("two");
        assertThat(status(client)).isEqualTo(200);
        assertThat(server.requests()).hasSize(2);

        // Rejected earlier than that: the file is read again at once.
        replace("pod/token", "three");
        server.requireBearer("three");
        assertThat(status(client)).isEqualTo(200);
        assertThat(server.requests()).hasSize(4);

        // The token is unchanged: no retry.
        server.requireBearer("four");
        assertThat(status(client)).isEqualTo(401);
        assertThat(client.credentialsDescription()).isEqualTo("the token in " + directory.resolve("pod/token"));
        assertThat(server.requests()).hasSize(5);

        // A deleted file changes nothing.
        server.requireBearer("three");
        Files.delete(directory.resolve("pod/token"));
        afterASecond();
        assertThat(status(client)).isEqualTo(200);

        server.https(next.server(NAMES), null);
        assertThat(failureWithNewConnection(client, server)).contains("unable to find valid certification path");
        replace("pod/ca.crt", next.certificate());
        assertThat(status(client)).isEqualTo(200);
    }

    /** Forces a new connection, because idle ones were made with the old certificate. */
    private static String failureWithNewConnection(ApiClient client, FakeApiServer server) {
        client.markFailed(server.url());
        return failure(client);
    }

    @Test
    void keepsAWatchOpenWhileTheAuthorityIsReplaced() throws Exception {
        CountDownLatch more = new CountDownLatch(1);
        FakeApiServer server = server(exchange -> {
            if (exchange.getRequestURI().getPath().equals("/watch")) {
                exchange.sendResponseHeaders(200, 0);
                exchange.getResponseBody().write('a');
                exchange.getResponseBody().flush();
                awaitQuietly(more);
                exchange.getResponseBody().write('b');
            } else {
                FakeApiServer.sendResponse(exchange, 200, OK);
            }
        });
        server.https(authority.server(NAMES), null).start();
        ApiClient client = kubeconfig(trusting(server), "");
        ApiResponse watch = client.get("/watch");
        assertThat(watch.body().read()).isEqualTo('a');
        // An invalid CA is ignored and a valid one applied; the old client may be garbage-collected.
        replace("ca.crt", "broken");
        afterASecond();
        assertThat(status(client)).isEqualTo(200);
        replace("ca.crt", next.certificate() + authority.certificate());
        afterASecond();
        server.https(next.server(NAMES), null);
        assertThat(status(client)).isEqualTo(200);
        System.gc();
        more.countDown();
        assertThat(watch.body().read()).isEqualTo('b');
        assertThat(watch.body().read()).isEqualTo(-1);
        watch.close();
    }

    private static void awaitQuietly(CountDownLatch latch) {
        try {
            latch.await();
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    @Test
    void usesBasicAuthentication() throws Exception {
        FakeApiServer server = secure().requireBasic("me", "pass:word").start();
        assertThat(status(kubeconfig(trusting(server), "username: me, password: 'pass:word'")))
                .isEqualTo(200);
        assertThat(status(kubeconfig(trusting(server), "username: me, password: wrong")))
                .isEqualTo(401);
    }

    @ParameterizedTest
    @ValueSource(strings = {"EC", "RSA"})
    void usesAndReloadsClientCertificates(String algorithm) throws Exception {
        FakeApiServer server =
                secure().https(authority.server(NAMES), authority.certificate()).start();
        Identity clientIdentity = authority.client(algorithm, "client");
        file("client.crt", clientIdentity.certificate());
        file("client.key", clientIdentity.key());
        ApiClient client = kubeconfig(trusting(server), "client-certificate: client.crt, client-key: client.key");
        assertThat(status(client)).isEqualTo(200);
        assertThat(failure(kubeconfig(trusting(server), ""))).startsWith("no API server responded: " + server.url());

        // New connections use a replaced certificate, here one that the server rejects.
        Identity unknown = next.client(algorithm, "stranger");
        replace("client.crt", unknown.certificate());
        replace("client.key", unknown.key());
        afterASecond();
        assertThat(failure(client)).startsWith("no API server responded: " + server.url());
        replace("client.crt", clientIdentity.certificate());
        replace("client.key", clientIdentity.key());
        assertThat(status(client)).isEqualTo(200);
    }

    @Test
    void readsCertificateAndKeyFromOneFile() throws Exception {
        FakeApiServer server =
                secure().https(authority.server(NAMES), authority.certificate()).start();
        Identity clientIdentity = authority.client("EC", "client");
        file("both.pem", clientIdentity.certificate() + clientIdentity.key());
        assertThat(status(kubeconfig(trusting(server), "client-certificate: both.pem, client-key: both.pem")))
                .isEqualTo(200);
    }

    @Test
    void staysWithAWorkingServer() throws Exception {
        FakeApiServer first = server(FakeApiServer.responding(200, "first")).start();
        FakeApiServer second = server(FakeApiServer.responding(200, "second")).start();
        ApiClient client = masters(first.url(), second.url());
        assertThat(read(client.get("/"))).isEqualTo("200 first");
        first.stop();
        assertThat(read(client.get("/"))).isEqualTo("200 second");
        first.start();
        nanos.addAndGet(Duration.ofMinutes(5).toNanos());
        assertThat(read(client.get("/"))).isEqualTo("200 second");
        client.markFailed(second.url());
        assertThat(read(client.get("/"))).isEqualTo("200 first");
        assertThat(first.requests()).hasSize(2);
    }

    @Test
    void namesEachServerAndWhyItDidNotRespond() throws Exception {
        headersTimeout = Duration.ofMillis(200);
        CountDownLatch never = new CountDownLatch(1);
        FakeApiServer silent = server(exchange -> awaitQuietly(never)).start();
        FakeApiServer gone = server(FakeApiServer.responding(200, OK)).start();
        gone.stop();
        ApiClient client = masters(gone.url(), silent.url(), "http://unknown.test:1");
        assertThat(failure(client))
                .isEqualTo("no API server responded: http://unknown.test:1: cannot resolve host name unknown.test; "
                        + gone.url() + ": connection refused; " + silent.url() + ": no response within 200 ms");
    }

    /** The first response shows that the address is right. */
    @Test
    void namesTheVariableWithTheAddressUntilAServerResponds() throws Exception {
        FakeApiServer server = secure().start();
        Files.createDirectory(directory.resolve("pod"));
        file("pod/token", "t");
        file("pod/ca.crt", authority.certificate());
        ApiClient client = client(ApiAccess.find(
                new ApiOptions(List.of(), "", List.of(), null, null, false),
                Map.of("KUBERNETES_SERVICE_HOST", "api.test", "KUBERNETES_SERVICE_PORT", "" + server.port()),
                directory.resolve("home"),
                directory.resolve("pod")));
        String unresolved =
                "no API server responded: https://api.test:" + server.port() + ": cannot resolve host name api.test";
        assertThat(failure(client))
                .isEqualTo(unresolved + "; set KUBERNETES_SERVICE_HOST to the address of an API server; that of the"
                        + " Service 'kubernetes' works only if another proxy serves it");
        names.put("api.test", List.of("127.0.0.1", "127.0.0.2"));
        assertThat(status(client)).isEqualTo(200);
        names.clear();
        assertThat(failure(client)).isEqualTo(unresolved);
    }

    @Test
    void prefersAServerWithoutServerErrors() throws Exception {
        FakeApiServer failingServer =
                server(FakeApiServer.responding(503, "ill")).start();
        FakeApiServer workingServer =
                server(FakeApiServer.responding(404, "well")).start();
        assertThat(read(masters(failingServer.url(), workingServer.url()).get("/")))
                .isEqualTo("404 well");
        FakeApiServer gone = server(FakeApiServer.responding(200, OK)).start();
        gone.stop();
        assertThat(read(masters(failingServer.url(), gone.url()).get("/"))).isEqualTo("503 ill");
    }

    @Test
    void doesNotRepeatAPostThatMayHaveArrived() throws Exception {
        headersTimeout = Duration.ofMillis(200);
        CountDownLatch never = new CountDownLatch(1);
        FakeApiServer silent = server(exchange -> awaitQuietly(never)).start();
        FakeApiServer other = server(FakeApiServer.responding(201, "")).start();
        ApiClient client = masters(silent.url(), other.url());
        assertThatThrownBy(() -> client.post("/events", new byte[0]))
                .hasMessage("no API server responded: " + silent.url() + ": no response within 200 ms");
        assertThat(other.requests()).isEmpty();
    }

    @Test
    void backsOffPerServer() {
        Failover failover = new Failover(nanos::get);
        List<String> servers = List.of("a", "b", "c");
        assertThat(failover.inOrder(servers, name -> name)).containsExactly("a", "b", "c");
        failover.failed("a");
        assertThat(failover.inOrder(servers, name -> name)).containsExactly("b", "c", "a");
        failover.failed("b");
        failover.failed("b");
        failover.succeeded("c");
        assertThat(failover.inOrder(servers, name -> name)).containsExactly("c", "a", "b");
        failover.failed("c");
        failover.failed("c");
        failover.failed("c");
        assertThat(failover.inOrder(servers, name -> name)).containsExactly("a", "b", "c");
        afterASecond();
        assertThat(failover.inOrder(List.of("b", "a", "c"), name -> name)).containsExactly("a", "b", "c");
        afterASecond();
        assertThat(failover.inOrder(List.of("b", "a", "c"), name -> name)).containsExactly("b", "a", "c");
    }

    @Test
    void triesAllAddressesOfAHostName() throws Exception {
        FakeApiServer server = secure().at("127.0.0.2", 0).start();
        names.put("api.test.", List.of("127.0.0.1", "127.0.0.2"));
        String url = "https://api.test.:" + server.port();
        Path ca = file("ca.crt", authority.certificate());
        ApiClient client = client(access(List.of(), List.of(url), null, ca, false));
        try (ApiResponse response = client.get("/")) {
            assertThat(response.server()).isEqualTo(url + " (127.0.0.2)");
        }
        assertThat(server.requests().get(0).header("Host")).isEqualTo("api.test.:" + server.port());
    }

    @Test
    void rejectsACertificateThatIsOnlyForTheAddress() throws Exception {
        FakeApiServer server = secure().https(authority.server("ip:127.0.0.1,dns:node-1"), null)
                .start();
        names.put("api.test", List.of("127.0.0.1", "127.0.0.2"));
        String url = "https://api.test:" + server.port();
        Path ca = file("ca.crt", authority.certificate());
        ApiClient client = client(access(List.of(), List.of(url), null, ca, false));
        assertThat(failure(client))
                .contains(url + " (127.0.0.1): TLS: the server certificate is not valid for api.test");
        assertThat(server.requests()).isEmpty();
    }

    @Test
    void checksTheTlsServerName() throws Exception {
        FakeApiServer server =
                secure().https(authority.server("dns:*.test"), null).start();
        names.put("127.0.0.1", List.of("127.0.0.1"));
        assertThat(status(kubeconfig(trusting(server) + ", tls-server-name: api.test", "")))
                .isEqualTo(200);
        assertThat(failure(kubeconfig(trusting(server) + ", tls-server-name: api.other", "")))
                .contains("the server certificate is not valid for api.other");
        assertThat(failure(kubeconfig(trusting(server), ""))).contains("127.0.0.1");
    }

    @Test
    void connectsThroughAProxy() throws Exception {
        FakeApiServer proxy = server(FakeApiServer.responding(200, OK)).start();
        ApiClient client = kubeconfig("server: 'http://api.test:8080', proxy-url: '" + proxy.url() + "'", "");
        assertThat(status(client)).isEqualTo(200);
        assertThat(proxy.requests().get(0).header("Host")).isEqualTo("api.test:8080");
    }

    @Test
    void closingAResponseEndsABlockedRead() throws Exception {
        CountDownLatch never = new CountDownLatch(1);
        FakeApiServer server = server(exchange -> {
                    exchange.sendResponseHeaders(200, 0);
                    exchange.getResponseBody().write('a');
                    exchange.getResponseBody().flush();
                    awaitQuietly(never);
                })
                .https(authority.server(NAMES), null)
                .start();
        ApiClient client = kubeconfig(trusting(server), "");
        ApiResponse response = client.get("/watch");
        assertThat(response.body().read()).isEqualTo('a');
        Thread[] reader = new Thread[1];
        CompletableFuture<Integer> read = CompletableFuture.supplyAsync(
                () -> {
                    try {
                        return response.body().read();
                    } catch (IOException e) {
                        return -2;
                    }
                },
                task -> {
                    reader[0] = new Thread(task);
                    reader[0].start();
                });
        await().until(() -> reader[0].getState() == Thread.State.WAITING);
        response.close();
        assertThat(read.get()).isNegative();
    }

    @Test
    void closingTheClientCancelsRequests() throws Exception {
        CountDownLatch never = new CountDownLatch(1);
        FakeApiServer server = server(exchange -> awaitQuietly(never)).start();
        ApiClient client = masters(server.url());
        CompletableFuture<String> request = CompletableFuture.supplyAsync(() -> failure(client));
        await().until(() -> !server.requests().isEmpty());
        client.close();
        assertThat(request.get()).isEqualTo("closed");
        assertThat(failure(client)).isEqualTo("closed");
    }

    @Test
    void reportsATruncatedResponse() throws Exception {
        FakeApiServer server = server(exchange -> {
                    exchange.sendResponseHeaders(200, 100);
                    exchange.getResponseBody().write('a');
                    exchange.getResponseBody().flush();
                    throw new IOException("cut");
                })
                .start();
        try (ApiResponse response = masters(server.url()).get("/")) {
            assertThatThrownBy(() -> response.body().readAllBytes()).isInstanceOf(IOException.class);
        }
    }

    @Test
    void timesOutDuringTheTlsHandshake() throws Exception {
        headersTimeout = Duration.ofMillis(200);
        try (ServerSocket silent = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
            String url = "https://127.0.0.1:" + silent.getLocalPort();
            assertThat(failure(masters(url)))
                    .isEqualTo("no API server responded: " + url + ": no response within 200 ms");
        }
    }

    /** A server that responds to /version after one latch, and to all other requests after another. */
    private FakeApiServer busy(CountDownLatch version, CountDownLatch others) {
        return server(exchange -> {
            awaitQuietly(exchange.getRequestURI().getPath().endsWith("/version") ? version : others);
            FakeApiServer.sendResponse(exchange, 200, OK);
        });
    }

    private void awaitRequest(FakeApiServer server, String path) {
        await().until(() ->
                server.requests().stream().anyMatch(request -> request.path().equals(path)));
    }

    @Test
    void waitsForABusyServerThatRespondsToProbes() throws Exception {
        CountDownLatch list = new CountDownLatch(1);
        FakeApiServer server = busy(new CountDownLatch(0), list).start();
        ApiClient client = masters(server.url());
        CompletableFuture<ApiResponse> listing = Supervisor.call("list", () -> client.getLarge("/api/v1/services"));
        awaitRequest(server, "/api/v1/services");
        client.probeSilentServers(Duration.ofSeconds(8), Duration.ofSeconds(30));
        assertThat(server.requests()).as("not silent for long enough, no probe").hasSize(1);
        nanos.addAndGet(Duration.ofSeconds(8).toNanos());
        client.probeSilentServers(Duration.ofSeconds(8), Duration.ofSeconds(30));
        client.probeSilentServers(Duration.ofSeconds(8), Duration.ofSeconds(30));
        assertThat(server.requests()).as("probed once").hasSize(2);
        list.countDown();
        assertThat(listing.get().status()).isEqualTo(200);
    }

    @Test
    void abandonsAServerThatDoesNotRespondToAProbe() throws Exception {
        CountDownLatch never = new CountDownLatch(1);
        FakeApiServer server = busy(never, never).start();
        ApiClient client = masters(server.url());
        CompletableFuture<ApiResponse> listing = Supervisor.call("list", () -> client.getLarge("/api/v1/services"));
        awaitRequest(server, "/api/v1/services");
        nanos.addAndGet(Duration.ofSeconds(8).toNanos());
        client.probeSilentServers(Duration.ofSeconds(8), Duration.ofMillis(100));
        assertThatThrownBy(listing::get)
                .hasCauseInstanceOf(NoServerException.class)
                .hasMessageContaining("no response, and a probe of the server failed");
        never.countDown();
    }

    @Test
    void abandonsASilentWatchOnlyIfThereIsAnotherServer() throws Exception {
        CountDownLatch never = new CountDownLatch(1);
        FakeApiServer.Handler watch = exchange -> {
            if (!exchange.getRequestURI().getPath().endsWith("/version")) {
                exchange.sendResponseHeaders(200, 0);
                exchange.getResponseBody().flush();
            }
            awaitQuietly(never);
        };
        FakeApiServer one = server(watch).start();
        FakeApiServer other = server(FakeApiServer.responding(200, OK)).start();
        ApiClient alone = masters(one.url());
        ApiResponse kept = alone.get("/watch");
        ApiClient client = masters(one.url(), other.url());
        ApiResponse left = client.get("/watch");
        CompletableFuture<Integer> reading =
                Supervisor.call("watch", () -> left.body().read());
        nanos.addAndGet(Duration.ofSeconds(8).toNanos());
        alone.probeSilentServers(Duration.ofSeconds(8), Duration.ofMillis(100));
        assertThat(one.requests()).as("no other server: no probe").hasSize(2);
        client.probeSilentServers(Duration.ofSeconds(8), Duration.ofMillis(100));
        assertThatThrownBy(reading::get).hasCauseInstanceOf(IOException.class);
        assertThat(client.get("/watch").server()).isEqualTo(other.url());
        never.countDown();
        kept.close();
    }
}
