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

/** Each way to a server and of proving who we are, against real sockets; fail-over, and files that are replaced. */
final class ApiClientTest {
    private static final String OK = "{\"ok\":true}";
    private static final String NAMES = "ip:127.0.0.1,dns:localhost,dns:api.test";

    @TempDir
    private static Path authorities;

    @SuppressWarnings("NullAway.Init") // before all tests
    private static TestAuthority authority;

    @SuppressWarnings("NullAway.Init") // likewise
    private static TestAuthority next;

    @TempDir
    private Path folder;

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
        return server(FakeApiServer.saying(200, OK)).https(authority.server(NAMES), null);
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
                folder.resolve("home"),
                folder.resolve("pod"));
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
        return Files.writeString(folder.resolve(name), text);
    }

    /** As the kubelet and editors do it. */
    private void replace(String name, String text) throws IOException {
        Path made = file(name + ".new", text);
        Files.move(made, folder.resolve(name), StandardCopyOption.ATOMIC_MOVE);
    }

    private void afterASecond() {
        nanos.addAndGet(Duration.ofSeconds(1).toNanos());
    }

    private static String read(ApiResponse answer) throws IOException {
        try (answer) {
            return answer.status() + " " + new String(answer.body().readAllBytes(), StandardCharsets.UTF_8);
        }
    }

    private static int status(ApiClient client) throws IOException {
        try (ApiResponse answer = client.get("/version")) {
            return answer.status();
        }
    }

    private static String failure(ApiClient client) {
        try {
            return "answered " + status(client);
        } catch (IOException e) {
            return requireNonNull(e.getMessage());
        }
    }

    @Test
    void withoutAuthenticationAndThroughKubectlProxy() throws Exception {
        FakeApiServer server = server(FakeApiServer.saying(200, OK)).start();
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

    /** The JDK's client has a thread of its own, and without it fails for ever. */
    @Test
    void aClientWhoseThreadHasEndedIsReplaced() throws Exception {
        FakeApiServer server = server(FakeApiServer.saying(200, OK)).start();
        ApiClient client = masters(server.url());
        assertThat(read(client.get("/"))).isEqualTo("200 " + OK);
        Set<Thread> selectors = selectors();
        assertThat(selectors).isNotEmpty();
        for (Thread selector : selectors) {
            selector.interrupt();
            selector.join();
        }
        // Until the JDK's client has shut down its executor, too, it says so itself.
        assertThatThrownBy(() -> client.get("/"))
                .isInstanceOf(IOException.class)
                .hasMessageMatching(".*: (the HTTP client has ended|selector manager closed)");
        await().ignoreExceptions().until(() -> read(client.get("/")).equals("200 " + OK));
    }

    /** On Java 17 the garbage collector has to find that nothing refers to them. */
    @Test
    void clientsThatWereReplacedLeaveNoThread() throws Exception {
        FakeApiServer server = secure().start();
        Set<Thread> before = selectors();
        ApiClient client = kubeconfig(trusting(server), "");
        for (int i = 0; i < 8; i++) {
            replace("ca.crt", authority.certificate() + "\n# " + i);
            afterASecond();
            assertThat(status(client)).isEqualTo(200);
            if (i % 2 == 0) {
                client.distrust(server.url());
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
    void tooManyHeadersAreNotRead() throws Exception {
        FakeApiServer server = server(exchange -> {
                    exchange.getResponseHeaders().set("X", "x".repeat(500_000));
                    FakeApiServer.answer(exchange, 200, OK);
                })
                .start();
        assertThat(failure(masters(server.url()))).startsWith("no API server answers: " + server.url() + ": ");
    }

    @Test
    void anAnswerIsReadUpToTheSizeOfAnObject() throws Exception {
        FakeApiServer server = server(exchange -> {
                    exchange.sendResponseHeaders(200, 0);
                    byte[] blanks = new byte[1 << 20];
                    for (int i = 0; i < 40; i++) {
                        exchange.getResponseBody().write(blanks);
                    }
                })
                .start();
        ApiClient client = masters(server.url());
        try (ApiResponse answer = client.get("/x")) {
            assertThatThrownBy(() -> answer.body().readAllBytes())
                    .isInstanceOf(IOException.class)
                    .hasMessage("an object is larger than 16777216 bytes");
        }
        try (ApiResponse answer = client.get("/x")) {
            for (int i = 0; i < 40; i++) {
                assertThat(answer.body().readNBytes(1 << 20)).hasSize(1 << 20);
                answer.nextObject();
            }
        }
    }

    @Test
    void postsAndPathsBehindAPath() throws Exception {
        FakeApiServer server = server(FakeApiServer.saying(201, "")).start();
        ApiClient client = masters(server.url() + "/k8s/clusters/c-1/");
        assertThat(read(client.post("/api/v1/events", "{}".getBytes(StandardCharsets.UTF_8))))
                .isEqualTo("201 ");
        FakeApiServer.Request request = server.requests().get(0);
        assertThat(request.method() + " " + request.path() + " " + request.body())
                .isEqualTo("POST /k8s/clusters/c-1/api/v1/events {}");
        assertThat(request.header("Content-Type")).isEqualTo("application/json");
    }

    @Test
    void theAnswerIsPassedOnAsItIs() throws Exception {
        FakeApiServer server = server(exchange -> {
                    exchange.getResponseHeaders().set("Retry-After", "7");
                    FakeApiServer.answer(exchange, 429, "slowly");
                })
                .start();
        try (ApiResponse answer = masters(server.url()).get("/x")) {
            assertThat(answer.status()).isEqualTo(429);
            assertThat(answer.server()).isEqualTo(server.url());
            assertThat(answer.retryAfter()).isEqualTo(Optional.of(Duration.ofSeconds(7)));
            assertThat(answer.body()).hasContent("slowly");
        }
    }

    @Test
    void tokenByHandWithTheAuthority() throws Exception {
        FakeApiServer server = secure().demandBearer("secret").start();
        Path ca = file("ca.crt", authority.certificate());
        ApiClient client = client(access(List.of(), List.of(server.url()), file("token", "secret\n"), ca, false));
        assertThat(status(client)).isEqualTo(200);
    }

    @Test
    void anAuthorityThatIsNotTheServersIsNotBelieved() throws Exception {
        FakeApiServer server = secure().start();
        Path ca = file("ca.crt", next.certificate());
        ApiClient client = client(access(List.of(), List.of(server.url()), null, ca, false));
        assertThat(failure(client))
                .startsWith("no API server answers: " + server.url() + ": TLS: ")
                .contains("unable to find valid certification path")
                .contains("trusted are the authorities in " + ca);
        assertThat(server.requests()).isEmpty();
        ApiClient insecure = client(access(List.of(), List.of(server.url()), null, null, true));
        assertThat(status(insecure)).isEqualTo(200);
    }

    @Test
    void insidePodTokenAndAuthorityAreTakenOver() throws Exception {
        FakeApiServer server = secure().demandBearer("one").start();
        Files.createDirectory(folder.resolve("pod"));
        file("pod/token", "one");
        file("pod/ca.crt", authority.certificate());
        ApiClient client = client(ApiAccess.find(
                new ApiOptions(List.of(), "", List.of(), null, null, false),
                Map.of("KUBERNETES_SERVICE_HOST", "127.0.0.1", "KUBERNETES_SERVICE_PORT", "" + server.port()),
                folder.resolve("home"),
                folder.resolve("pod")));
        assertThat(status(client)).isEqualTo(200);

        // Taken from the file when it is looked at again, without a refusal.
        replace("pod/token", "two");
        afterASecond();
        server.demandBearer("two");
        assertThat(status(client)).isEqualTo(200);
        assertThat(server.requests()).hasSize(2);

        // Refused before that: looked at at once.
        replace("pod/token", "three");
        server.demandBearer("three");
        assertThat(status(client)).isEqualTo(200);
        assertThat(server.requests()).hasSize(4);

        // Nothing new: not asked again.
        server.demandBearer("four");
        assertThat(status(client)).isEqualTo(401);
        assertThat(client.credentials()).isEqualTo("the token of " + folder.resolve("pod/token"));
        assertThat(server.requests()).hasSize(5);

        // A file that is gone changes nothing.
        server.demandBearer("three");
        Files.delete(folder.resolve("pod/token"));
        afterASecond();
        assertThat(status(client)).isEqualTo(200);

        server.https(next.server(NAMES), null);
        assertThat(failureWithNewConnection(client, server)).contains("unable to find valid certification path");
        replace("pod/ca.crt", next.certificate());
        assertThat(status(client)).isEqualTo(200);
    }

    /** The connections that are idle know the old certificate. */
    private static String failureWithNewConnection(ApiClient client, FakeApiServer server) {
        client.distrust(server.url());
        return failure(client);
    }

    @Test
    void aWatchGoesOnWhileTheAuthorityIsReplaced() throws Exception {
        CountDownLatch more = new CountDownLatch(1);
        FakeApiServer server = server(exchange -> {
            if (exchange.getRequestURI().getPath().equals("/watch")) {
                exchange.sendResponseHeaders(200, 0);
                exchange.getResponseBody().write('a');
                exchange.getResponseBody().flush();
                awaitQuietly(more);
                exchange.getResponseBody().write('b');
            } else {
                FakeApiServer.answer(exchange, 200, OK);
            }
        });
        server.https(authority.server(NAMES), null).start();
        ApiClient client = kubeconfig(trusting(server), "");
        ApiResponse watch = client.get("/watch");
        assertThat(watch.body().read()).isEqualTo('a');
        // An authority that is broken is not taken over, one that is good is, and old clients may be collected.
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
    void basicAuthentication() throws Exception {
        FakeApiServer server = secure().demandBasic("me", "pass:word").start();
        assertThat(status(kubeconfig(trusting(server), "username: me, password: 'pass:word'")))
                .isEqualTo(200);
        assertThat(status(kubeconfig(trusting(server), "username: me, password: wrong")))
                .isEqualTo(401);
    }

    @ParameterizedTest
    @ValueSource(strings = {"EC", "RSA"})
    void clientCertificates(String algorithm) throws Exception {
        FakeApiServer server =
                secure().https(authority.server(NAMES), authority.certificate()).start();
        Identity us = authority.client(algorithm, "us");
        file("us.crt", us.certificate());
        file("us.key", us.key());
        ApiClient client = kubeconfig(trusting(server), "client-certificate: us.crt, client-key: us.key");
        assertThat(status(client)).isEqualTo(200);
        assertThat(failure(kubeconfig(trusting(server), ""))).startsWith("no API server answers: " + server.url());

        // Another that is not admitted, in the same files: new connections have it.
        Identity stranger = next.client(algorithm, "stranger");
        replace("us.crt", stranger.certificate());
        replace("us.key", stranger.key());
        afterASecond();
        assertThat(failure(client)).startsWith("no API server answers: " + server.url());
        replace("us.crt", us.certificate());
        replace("us.key", us.key());
        assertThat(status(client)).isEqualTo(200);
    }

    @Test
    void theKubeletsFileHoldsBoth() throws Exception {
        FakeApiServer server =
                secure().https(authority.server(NAMES), authority.certificate()).start();
        Identity us = authority.client("EC", "us");
        file("both.pem", us.certificate() + us.key());
        assertThat(status(kubeconfig(trusting(server), "client-certificate: both.pem, client-key: both.pem")))
                .isEqualTo(200);
    }

    @Test
    void theWorkingServerIsKept() throws Exception {
        FakeApiServer first = server(FakeApiServer.saying(200, "first")).start();
        FakeApiServer second = server(FakeApiServer.saying(200, "second")).start();
        ApiClient client = masters(first.url(), second.url());
        assertThat(read(client.get("/"))).isEqualTo("200 first");
        first.stop();
        assertThat(read(client.get("/"))).isEqualTo("200 second");
        first.start();
        nanos.addAndGet(Duration.ofMinutes(5).toNanos());
        assertThat(read(client.get("/"))).isEqualTo("200 second");
        client.distrust(second.url());
        assertThat(read(client.get("/"))).isEqualTo("200 first");
        assertThat(first.requests()).hasSize(2);
    }

    @Test
    void eachServerIsNamedWithWhyItDidNotAnswer() throws Exception {
        headersTimeout = Duration.ofMillis(200);
        CountDownLatch never = new CountDownLatch(1);
        FakeApiServer silent = server(exchange -> awaitQuietly(never)).start();
        FakeApiServer gone = server(FakeApiServer.saying(200, OK)).start();
        gone.stop();
        ApiClient client = masters(gone.url(), silent.url(), "http://unknown.test:1");
        assertThat(failure(client))
                .isEqualTo("no API server answers: http://unknown.test:1: the name unknown.test cannot be resolved; "
                        + gone.url() + ": connection refused; " + silent.url() + ": no answer within 200 ms");
    }

    @Test
    void aServerThatHasOnlyErrorsComesAfterOneThatAnswers() throws Exception {
        FakeApiServer ill = server(FakeApiServer.saying(503, "ill")).start();
        FakeApiServer well = server(FakeApiServer.saying(404, "well")).start();
        assertThat(read(masters(ill.url(), well.url()).get("/"))).isEqualTo("404 well");
        FakeApiServer gone = server(FakeApiServer.saying(200, OK)).start();
        gone.stop();
        assertThat(read(masters(ill.url(), gone.url()).get("/"))).isEqualTo("503 ill");
    }

    @Test
    void whatMayHaveArrivedIsNotSentTwice() throws Exception {
        headersTimeout = Duration.ofMillis(200);
        CountDownLatch never = new CountDownLatch(1);
        FakeApiServer silent = server(exchange -> awaitQuietly(never)).start();
        FakeApiServer other = server(FakeApiServer.saying(201, "")).start();
        ApiClient client = masters(silent.url(), other.url());
        assertThatThrownBy(() -> client.post("/events", new byte[0]))
                .hasMessage("no API server answers: " + silent.url() + ": no answer within 200 ms");
        assertThat(other.requests()).isEmpty();
    }

    @Test
    void backOffIsPerServerAndEnds() {
        Failover failover = new Failover(nanos::get);
        List<String> servers = List.of("a", "b", "c");
        assertThat(failover.inOrder(servers, name -> name)).containsExactly("a", "b", "c");
        failover.failed("a");
        assertThat(failover.inOrder(servers, name -> name)).containsExactly("b", "c", "a");
        failover.failed("b");
        failover.failed("b");
        failover.works("c");
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
    void theAddressesBehindANameAreTriedOneAfterAnother() throws Exception {
        FakeApiServer server = secure().at("127.0.0.2", 0).start();
        names.put("api.test.", List.of("127.0.0.1", "127.0.0.2"));
        String url = "https://api.test.:" + server.port();
        Path ca = file("ca.crt", authority.certificate());
        ApiClient client = client(access(List.of(), List.of(url), null, ca, false));
        try (ApiResponse answer = client.get("/")) {
            assertThat(answer.server()).isEqualTo(url + " (127.0.0.2)");
        }
        assertThat(server.requests().get(0).header("Host")).isEqualTo("api.test.:" + server.port());
    }

    @Test
    void whoeverHasOnlyTheAddressIsNotTakenForTheName() throws Exception {
        FakeApiServer server = secure().https(authority.server("ip:127.0.0.1,dns:node-1"), null)
                .start();
        names.put("api.test", List.of("127.0.0.1", "127.0.0.2"));
        String url = "https://api.test:" + server.port();
        Path ca = file("ca.crt", authority.certificate());
        ApiClient client = client(access(List.of(), List.of(url), null, ca, false));
        assertThat(failure(client)).contains(url + " (127.0.0.1): TLS: its certificate is not for api.test");
        assertThat(server.requests()).isEmpty();
    }

    @Test
    void tlsServerName() throws Exception {
        FakeApiServer server =
                secure().https(authority.server("dns:*.test"), null).start();
        names.put("127.0.0.1", List.of("127.0.0.1"));
        assertThat(status(kubeconfig(trusting(server) + ", tls-server-name: api.test", "")))
                .isEqualTo(200);
        assertThat(failure(kubeconfig(trusting(server) + ", tls-server-name: api.other", "")))
                .contains("its certificate is not for api.other");
        assertThat(failure(kubeconfig(trusting(server), ""))).contains("127.0.0.1");
    }

    @Test
    void throughAProxy() throws Exception {
        FakeApiServer proxy = server(FakeApiServer.saying(200, OK)).start();
        ApiClient client = kubeconfig("server: 'http://api.test:8080', proxy-url: '" + proxy.url() + "'", "");
        assertThat(status(client)).isEqualTo(200);
        assertThat(proxy.requests().get(0).header("Host")).isEqualTo("api.test:8080");
    }

    @Test
    void closingAnAnswerEndsAReadThatWaits() throws Exception {
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
        ApiResponse answer = client.get("/watch");
        assertThat(answer.body().read()).isEqualTo('a');
        Thread[] reader = new Thread[1];
        CompletableFuture<Integer> read = CompletableFuture.supplyAsync(
                () -> {
                    try {
                        return answer.body().read();
                    } catch (IOException e) {
                        return -2;
                    }
                },
                task -> {
                    reader[0] = new Thread(task);
                    reader[0].start();
                });
        await().until(() -> reader[0].getState() == Thread.State.WAITING);
        answer.close();
        assertThat(read.get()).isNegative();
    }

    @Test
    void closingTheClientEndsWhatWaits() throws Exception {
        CountDownLatch never = new CountDownLatch(1);
        FakeApiServer server = server(exchange -> awaitQuietly(never)).start();
        ApiClient client = masters(server.url());
        CompletableFuture<String> asked = CompletableFuture.supplyAsync(() -> failure(client));
        await().until(() -> !server.requests().isEmpty());
        client.close();
        assertThat(asked.get()).isEqualTo("closed");
        assertThat(failure(client)).isEqualTo("closed");
    }

    @Test
    void aConnectionCutInTheMiddleIsNoEnd() throws Exception {
        FakeApiServer server = server(exchange -> {
                    exchange.sendResponseHeaders(200, 100);
                    exchange.getResponseBody().write('a');
                    exchange.getResponseBody().flush();
                    throw new IOException("cut");
                })
                .start();
        try (ApiResponse answer = masters(server.url()).get("/")) {
            assertThatThrownBy(() -> answer.body().readAllBytes()).isInstanceOf(IOException.class);
        }
    }

    @Test
    void silentSocketThatNeverSpeaksTls() throws Exception {
        headersTimeout = Duration.ofMillis(200);
        try (ServerSocket silent = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
            String url = "https://127.0.0.1:" + silent.getLocalPort();
            assertThat(failure(masters(url))).isEqualTo("no API server answers: " + url + ": no answer within 200 ms");
        }
    }

    /** Answers questions for its version once it may, and all others once it may. */
    private FakeApiServer busy(CountDownLatch version, CountDownLatch others) {
        return server(exchange -> {
            awaitQuietly(exchange.getRequestURI().getPath().endsWith("/version") ? version : others);
            FakeApiServer.answer(exchange, 200, OK);
        });
    }

    private void awaitAsked(FakeApiServer server, String path) {
        await().until(() ->
                server.requests().stream().anyMatch(request -> request.path().equals(path)));
    }

    @Test
    void aBusyServerIsWaitedForAsLongAsItAnswersSmallQuestions() throws Exception {
        CountDownLatch list = new CountDownLatch(1);
        FakeApiServer server = busy(new CountDownLatch(0), list).start();
        ApiClient client = masters(server.url());
        CompletableFuture<ApiResponse> listing = Supervisor.call("list", () -> client.getLarge("/api/v1/services"));
        awaitAsked(server, "/api/v1/services");
        client.leaveSilent(Duration.ofSeconds(8), Duration.ofSeconds(30));
        assertThat(server.requests()).as("not silent for long enough").hasSize(1);
        nanos.addAndGet(Duration.ofSeconds(8).toNanos());
        client.leaveSilent(Duration.ofSeconds(8), Duration.ofSeconds(30));
        client.leaveSilent(Duration.ofSeconds(8), Duration.ofSeconds(30));
        assertThat(server.requests()).as("asked once").hasSize(2);
        list.countDown();
        assertThat(listing.get().status()).isEqualTo(200);
    }

    @Test
    void aServerThatAnswersNothingIsNotWaitedFor() throws Exception {
        CountDownLatch never = new CountDownLatch(1);
        FakeApiServer server = busy(never, never).start();
        ApiClient client = masters(server.url());
        CompletableFuture<ApiResponse> listing = Supervisor.call("list", () -> client.getLarge("/api/v1/services"));
        awaitAsked(server, "/api/v1/services");
        nanos.addAndGet(Duration.ofSeconds(8).toNanos());
        client.leaveSilent(Duration.ofSeconds(8), Duration.ofMillis(100));
        assertThatThrownBy(listing::get)
                .hasCauseInstanceOf(NoServerException.class)
                .hasMessageContaining("no answer, nor to the question whether it is alive");
        never.countDown();
    }

    @Test
    void aSilentWatchIsLeftOnlyWhereThereIsAnotherServer() throws Exception {
        CountDownLatch never = new CountDownLatch(1);
        FakeApiServer.Handler watch = exchange -> {
            if (!exchange.getRequestURI().getPath().endsWith("/version")) {
                exchange.sendResponseHeaders(200, 0);
                exchange.getResponseBody().flush();
            }
            awaitQuietly(never);
        };
        FakeApiServer one = server(watch).start();
        FakeApiServer other = server(FakeApiServer.saying(200, OK)).start();
        ApiClient alone = masters(one.url());
        ApiResponse kept = alone.get("/watch");
        ApiClient client = masters(one.url(), other.url());
        ApiResponse left = client.get("/watch");
        CompletableFuture<Integer> reading =
                Supervisor.call("watch", () -> left.body().read());
        nanos.addAndGet(Duration.ofSeconds(8).toNanos());
        alone.leaveSilent(Duration.ofSeconds(8), Duration.ofMillis(100));
        assertThat(one.requests()).as("no other server: not asked").hasSize(2);
        client.leaveSilent(Duration.ofSeconds(8), Duration.ofMillis(100));
        assertThatThrownBy(reading::get).hasCauseInstanceOf(IOException.class);
        assertThat(client.get("/watch").server()).isEqualTo(other.url());
        never.countDown();
        kept.close();
    }
}
