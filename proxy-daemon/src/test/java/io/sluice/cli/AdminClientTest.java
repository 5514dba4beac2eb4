package io.sluice.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.InputStream;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.StandardProtocolFamily;
import java.net.URI;
import java.net.UnixDomainSocketAddress;
import java.nio.channels.ServerSocketChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import picocli.CommandLine;

/** Requests over a Unix socket and to a URL, and the messages about failures. */
final class AdminClientTest {
    private static final String LEVEL = "GET /api/v1/log-level";

    @TempDir
    private Path directory;

    private final StringWriter out = new StringWriter();
    private final StringWriter err = new StringWriter();

    private int sluice(String... args) {
        return sluice(Map.of(), args);
    }

    private int sluice(Map<String, String> environment, String... args) {
        CommandLine line = Main.commandLine(environment, InputStream.nullInputStream());
        line.setOut(new PrintWriter(out)).setErr(new PrintWriter(err));
        return line.execute(args);
    }

    private Path socket() {
        return directory.resolve("admin.sock");
    }

    @Test
    void readsOverTheUnixSocket() throws Exception {
        try (FakeAdminServer server = FakeAdminServer.onUnixSocket(socket()).on(LEVEL, "{\"level\": \"info\"}")) {
            assertThat(sluice("log-level", "--admin-socket", socket().toString()))
                    .isZero();
            assertThat(sluice(Map.of("SLUICE_ADMIN_SOCKET", socket().toString()), "log-level"))
                    .isZero();
            assertThat(out).hasToString("info\ninfo\n");
            assertThat(server.requests()).containsExactly(LEVEL, LEVEL);
        }
    }

    @Test
    void keepsThePathOfTheUrl() throws Exception {
        String proxied = "GET /api/v1/namespaces/kube-system/pods/sluice-x:10261/proxy/api/v1/log-level";
        try (FakeAdminServer server = FakeAdminServer.onLoopback().on(proxied, "{\"level\": \"warn\"}")) {
            assertThat(sluice(
                            "log-level",
                            "--server=" + server.url() + "/api/v1/namespaces/kube-system/pods/sluice-x:10261/proxy/"))
                    .isZero();
            assertThat(out).hasToString("warn\n");
        }
    }

    @Test
    void readsAllPagesOfAList() throws Exception {
        try (FakeAdminServer server = FakeAdminServer.onLoopback()
                        .on(
                                "GET /api/v1/services?limit=5000",
                                "{\"items\": [{\"service\": \"a/1\"}], \"next\": \"x y\"}")
                        .on("GET /api/v1/services?limit=5000&after=x%20y", "{\"items\": [{\"service\": \"a/2\"}]}");
                AdminClient client = new AdminClient(new UrlTransport(URI.create(server.url())))) {
            AdminClient.Items list = client.list(AdminRequest.of("services"), Integer.MAX_VALUE);
            assertThat(list.items()).extracting(item -> item.text("service")).containsExactly("a/1", "a/2");
            assertThat(list.more()).isFalse();
        }
    }

    @Test
    void encodesSegmentsAndParameters() {
        assertThat(AdminRequest.of("endpoints", "a b", "x/y", "[2001:db8::1]:80")
                        .with("for", "a&b=c")
                        .with("force", null)
                        .pathAndQuery())
                .isEqualTo("/api/v1/endpoints/a%20b/x%2Fy/%5B2001%3Adb8%3A%3A1%5D%3A80?for=a%26b%3Dc");
    }

    @Test
    void reportsThatNothingListens() throws Exception {
        int port;
        try (ServerSocketChannel closed = ServerSocketChannel.open()) {
            closed.bind(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0));
            port = ((InetSocketAddress) closed.getLocalAddress()).getPort();
        }
        assertThat(sluice("status", "--server=http://127.0.0.1:" + port)).isEqualTo(1);
        assertThat(sluice("status", "--admin-socket", socket().toString())).isEqualTo(1);
        ServerSocketChannel.open(StandardProtocolFamily.UNIX)
                .bind(UnixDomainSocketAddress.of(socket()))
                .close();
        assertThat(sluice("status", "--admin-socket", socket().toString())).isEqualTo(1);
        assertThat(err.toString().lines())
                .containsExactly(
                        "sluice: http://127.0.0.1:" + port
                                + ": connection refused; check that Sluice is running and its --admin-bind-address, or set"
                                + " --admin-socket or --server",
                        "sluice: " + socket()
                                + ": does not exist; check that Sluice is running with --admin-socket, or set"
                                + " --admin-socket or --server",
                        "sluice: " + socket()
                                + ": connection refused; check that Sluice is running, or set --admin-socket or --server");
        assertThat(out.toString()).isEmpty();
    }

    @Test
    void reportsTheErrorOfTheServerInOneLine() throws Exception {
        try (FakeAdminServer server = FakeAdminServer.onLoopback()
                .then("GET /api/v1/endpoints", 400, "{\"error\": \"state: 'x' is\\ninvalid\"}")
                .then("GET /api/v1/connections", 503, "{\"error\": \"too many requests\"}")
                .then("GET /api/v1/flows", 404, "<html>not found</html>")
                .raw("GET /api/v1/affinity", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{")) {
            String url = "--server=" + server.url();
            assertThat(sluice("endpoints", url, "--state=x")).isEqualTo(1);
            assertThat(sluice("connections", url)).isEqualTo(1);
            assertThat(sluice("flows", url)).isEqualTo(1);
            assertThat(sluice("affinity", url)).isEqualTo(1);
            List<String> lines = err.toString().lines().toList();
            assertThat(lines)
                    .hasSize(4)
                    .startsWith(
                            "sluice: state: 'x' is\\u000Ainvalid",
                            "sluice: " + server.url() + ": too many requests; try again later",
                            "sluice: " + server.url()
                                    + ": unexpected response (HTTP status 404); is this the admin API of Sluice?");
            assertThat(lines.get(3)).startsWith("sluice: " + server.url() + ": ");
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"", "ok", "[]", "{}", "{\"items\": null}", "{\"kind\": \"PodList\", \"items\": {}}"})
    void reportsAResponseThatIsNoList(String body) throws Exception {
        try (FakeAdminServer server =
                FakeAdminServer.onLoopback().on("GET /api/v1/endpoints", body).on("GET /api/v1/events", body)) {
            assertThat(sluice("endpoints", "--server=" + server.url())).isEqualTo(1);
            assertThat(sluice("events", "--server=" + server.url())).isEqualTo(1);
            String line = "sluice: " + server.url()
                    + ": unexpected response (HTTP status 200); is this the admin API of Sluice?";
            assertThat(err.toString().lines()).containsExactly(line, line);
            assertThat(out.toString()).isEmpty();
        }
    }

    @Test
    void reportsAResponseThatIsCutOffOnTheUnixSocket() throws Exception {
        try (FakeAdminServer server =
                FakeAdminServer.onUnixSocket(socket()).raw(LEVEL, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{")) {
            AdminClient client = new AdminClient(new UnixSocketTransport(socket()));
            assertThatThrownBy(() -> client.get(AdminRequest.of("log-level")))
                    .isInstanceOf(CommandFailedException.class)
                    .hasMessageStartingWith(socket() + ": ");
            assertThat(server.requests()).hasSize(1);
            client.close();
        }
    }

    @Test
    void reportsInvalidUsage() throws Exception {
        String socket = "--admin-socket=" + socket();
        assertThat(sluice("status", socket, "--server=http://127.0.0.1:1")).isEqualTo(2);
        assertThat(sluice("status", "--server=127.0.0.1:10261")).isEqualTo(2);
        assertThat(sluice("status", "--server=http://x y")).isEqualTo(2);
        assertThat(sluice("status", "--admin-socket=/" + "x".repeat(107))).isEqualTo(2);
        assertThat(sluice("endpoint", "drain", "shop/web", "10.1.0.4:8080", "--server=http://127.0.0.1:1"))
                .isEqualTo(2);
        assertThat(err.toString().lines().filter(line -> line.startsWith("sluice: ")))
                .containsExactly(
                        "sluice: --admin-socket and --server cannot be combined",
                        "sluice: --server: '127.0.0.1:10261' is invalid; must be a URL such as http://127.0.0.1:10261",
                        "sluice: --server: 'http://x y' is invalid; must be a URL such as http://127.0.0.1:10261",
                        "sluice: --admin-socket: path has 108 bytes; must have 1 to 107",
                        "sluice: --server is read-only; use --admin-socket on the machine of the daemon");
        assertThat(Files.exists(socket())).isFalse();
    }
}
