package io.sluice.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import io.sluice.config.Configuration;
import io.sluice.feed.FileReflector;
import io.sluice.ops.TraceReport;
import io.sluice.rules.BuildOptions;
import io.sluice.rules.Trace;
import io.sluice.socketlb.SocketPath;
import java.io.IOException;
import java.io.InputStream;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.io.Writer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.FutureTask;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import picocli.CommandLine;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/** Output of the commands that use the admin API. */
final class AdminCommandsTest {
    private static final String ENDPOINT = """
            {"service": "shop/web:http", "protocol": "tcp", "address": "10.1.0.4:8080", "state": "refusing",
             "since": "%s", "lastError": "connection refused", "failures": 17, "failed": 19, "active": 0,
             "total": 4020, "bytesToEndpoint": 40100, "bytesToClient": 3010000,
             "connectMillis": {"p50": 0.2, "p90": 0.5, "p99": 2.0}, "until": null}""";

    private final StringWriter out = new StringWriter();
    private final StringWriter err = new StringWriter();
    private FakeAdminServer server;

    @BeforeEach
    void start() throws Exception {
        server = FakeAdminServer.onLoopback();
    }

    @AfterEach
    void stop() throws Exception {
        server.close();
    }

    private int sluice(String... args) {
        return sluice(out, args);
    }

    private int sluice(Writer to, String... args) {
        CommandLine line = Main.commandLine(Map.of(), InputStream.nullInputStream());
        line.setOut(new PrintWriter(to)).setErr(new PrintWriter(err, true));
        List<String> all = new ArrayList<>(List.of(args));
        try {
            all.add("--server=" + server.url());
        } catch (IOException e) {
            throw new AssertionError(e);
        }
        return line.execute(all.toArray(String[]::new));
    }

    private static String list(String... items) {
        return "{\"items\": [" + String.join(", ", items) + "], \"next\": null}";
    }

    private static String secondsAgo(int seconds) {
        return Instant.now().minusSeconds(seconds).toString();
    }

    @Test
    void listsEndpointsAsATable() {
        server.on("GET /api/v1/endpoints", list(ENDPOINT.formatted(secondsAgo(200))));
        assertThat(sluice("endpoints")).isZero();
        assertThat(out).hasToString("""
                SERVICE        ENDPOINT       STATE     SINCE  ACTIVE  TOTAL  FAILED  LAST ERROR
                shop/web:http  10.1.0.4:8080  refusing     3m       0   4.0k      19  connectio…
                """);
        out.getBuffer().setLength(0);
        assertThat(sluice("endpoints", "-o", "wide")).isZero();
        assertThat(out.toString()).contains("3.0 MB", "40 kB", "0.2 ms", "2.0 ms", "connection refused\n");
    }

    @Test
    void printsOneLineAndSucceedsIfThereIsNothing() {
        server.on("GET /api/v1/endpoints", list());
        server.on("GET /api/v1/affinity", list());
        assertThat(sluice("endpoints", "shop/web", "--state=refusing")).isZero();
        assertThat(sluice("affinity")).isZero();
        assertThat(sluice("affinity", "-o", "json")).isZero();
        assertThat(out)
                .hasToString("no endpoints with service shop/web, state refusing\nno session affinity entries\n[ ]\n");
        assertThat(server.requests().get(0))
                .isEqualTo("GET /api/v1/endpoints?service=shop%2Fweb&state=refusing&limit=5000");
    }

    @Test
    void printsAtMostTheLimitAsJsonAndMentionsFurtherItems() {
        server.on("GET /api/v1/connections?client=10.1.0.9&limit=2", """
                {"items": [{"client": "10.1.0.9:1"}, {"client": "10.1.0.9:2"}], "next": "t"}""");
        assertThat(sluice("connections", "--client=10.1.0.9", "--limit=2", "-o", "json"))
                .isZero();
        JsonNode array = JsonMapper.shared().readTree(out.toString());
        assertThat(array.valueStream().map(item -> item.at("/client").stringValue()))
                .containsExactly("10.1.0.9:1", "10.1.0.9:2");
        assertThat(err)
                .hasToString("sluice: printed the first 2 connections; set a filter, or a higher --limit, to see the"
                        + " others\n");
    }

    @Test
    void escapesControlCharacters() {
        server.on("GET /api/v1/flows", list("{\"service\": \"a/b\\u001b[31m\", \"client\": \"x\\ny\"}"));
        assertThat(sluice("flows", "-o", "wide")).isZero();
        assertThat(out.toString()).hasLineCount(2).contains("a/b\\u001B[31m", "x\\u000Ay");
    }

    @Test
    void showsTheDetailsOfAService() {
        server.on("GET /api/v1/services/shop/web", """
                {"service": "shop/web", "state": "degraded", "ports": [{
                 "name": "http", "protocol": "tcp",
                 "policy": {"balance": "maglev", "affinityTimeoutSeconds": 10800, "max-connections": "100",
                            "source-ranges": "10.0.0.0/8"},
                 "frontends": [{"address": "10.96.0.10:80/tcp", "kind": "CLUSTER_IP", "state": "ACTIVE", "reason": "",
                                "routes": {"pod": "FORWARD", "node": "FORWARD", "external": "REJECT"}}],
                 "endpoints": [%s], "counters": {"sessions_opened": 1204, "bytes_to_client": 9120034}}]}""".formatted(ENDPOINT.formatted(secondsAgo(5))));
        server.on("GET /api/v1/events?service=shop%2Fweb&kind=failure&limit=5", list("""
                {"id": 93, "time": "2026-11-30T08:03:00.120Z", "kind": "failure", "service": "shop/web:http",
                 "endpoint": "10.1.0.4:8080", "reason": "connection refused"}"""));
        assertThat(sluice("services", "shop/web")).isZero();
        assertThat(out.toString()).startsWith("""
                shop/web: degraded

                Port http, tcp: maglev, session affinity ClientIP for 3h
                  max-connections: 100
                  source-ranges: 10.0.0.0/8
                FRONTEND           KIND        STATE   POD      NODE     EXTERNAL  REASON
                10.96.0.10:80/tcp  CLUSTER_IP  ACTIVE  FORWARD  FORWARD  REJECT    -
                ENDPOINT       STATE     SINCE  ACTIVE  TOTAL  FAILED  LAST ERROR
                """).endsWith("""
                counters: sessions_opened 1204, bytes_to_client 9120034

                Recent failures:
                TIME (UTC)      ENDPOINT       REASON
                11-30 08:03:00  10.1.0.4:8080  connection refused
                """);
    }

    @Test
    void showsThePathOfEachFrontend() {
        String details = """
                {"service": "shop/web", "state": "ok", "ports": [{"name": "", "protocol": "tcp", "policy": {},
                 "frontends": [
                  {"address": "10.96.0.10:80/tcp", "kind": "CLUSTER_IP", "state": "ACTIVE", "reason": "", %s},
                  {"address": "192.0.2.1:30080/tcp", "kind": "NODE_PORT", "state": "ACTIVE", "reason": "", %s}],
                 "endpoints": [], "counters": {}}]}""";
        server.on("GET /api/v1/events", list());
        server.on(
                "GET /api/v1/services/shop/web",
                details.formatted(
                        "\"path\": \"socket\", \"pathReason\": \"\"",
                        "\"path\": \"proxy\", \"pathReason\": \"NodePort\""));
        assertThat(sluice("services", "shop/web")).isZero();
        assertThat(out.toString()).contains("""
                FRONTEND             KIND        STATE   POD  NODE  EXTERNAL  PATH              REASON
                10.96.0.10:80/tcp    CLUSTER_IP  ACTIVE  -    -     -         socket            -
                192.0.2.1:30080/tcp  NODE_PORT   ACTIVE  -    -     -         proxy (NodePort)  -
                """);
        out.getBuffer().setLength(0);
        String off = "\"path\": \"proxy\", \"pathReason\": \"off\"";
        server.on("GET /api/v1/services/shop/web", details.formatted(off, off));
        assertThat(sluice("services", "shop/web")).isZero();
        assertThat(out.toString()).contains("REASON").doesNotContain("PATH");
        server.on("GET /api/v1/services", list("""
                {"service": "shop/web", "paths": ["proxy (NodePort)", "socket"]}"""));
        assertThat(sluice("services", "-o", "wide")).isZero();
        assertThat(out.toString()).containsPattern("PATH .*\n.*proxy \\(NodePort\\), socket");
    }

    private String feed(Path directory) throws IOException {
        return Files.writeString(directory.resolve("web.yaml"), """
                apiVersion: v1
                kind: Service
                metadata:
                  name: web
                  namespace: shop
                  annotations: {service.sluice.io/balance: maglev, service.sluice.io/max-connections: "100"}
                spec:
                  type: LoadBalancer
                  clusterIPs: [10.96.0.10, "fd00::a"]
                  clusterIP: 10.96.0.10
                  loadBalancerSourceRanges: [203.0.113.0/24]
                  sessionAffinity: ClientIP
                  ports: [{name: http, port: 80, nodePort: 30080}]
                status: {loadBalancer: {ingress: [{ip: 198.51.100.7}]}}
                ---
                {apiVersion: v1, kind: Service, metadata: {name: BAD}}
                ---
                apiVersion: discovery.k8s.io/v1
                kind: EndpointSlice
                metadata: {name: web-1, namespace: shop, labels: {kubernetes.io/service-name: web}}
                addressType: IPv4
                ports: [{name: http, port: 8080}]
                endpoints: [{addresses: [10.244.1.5]}, {addresses: [10.244.2.7], nodeName: n2}]
                """).toString();
    }

    private String offline(String... args) {
        StringWriter text = new StringWriter();
        CommandLine line = Main.commandLine(Map.of(), InputStream.nullInputStream());
        line.setOut(new PrintWriter(text)).setErr(new PrintWriter(err)).execute(args);
        return text.toString();
    }

    @Test
    void checkPrintsTheSameForARunningDaemonAsForItsFeed(@TempDir Path directory) throws Exception {
        String[] offline = {
            "check", "--feed=" + feed(directory), "--node-ip=198.18.0.1", "--mode=node", "--socket-lb=auto"
        };
        String json = offline(offline[0], offline[1], offline[2], offline[3], offline[4], "-o", "json");
        server.on("GET /api/v1/check", json);
        assertThat(sluice("check", "--live")).isEqualTo(1);
        assertThat(out.toString())
                .isEqualTo(offline(offline))
                .contains(
                        "only from 203.0.113.0/24",
                        "ClientIP 3h",
                        "  shop/web:http/tcp  balance: maglev; max-connections: 100\n",
                        "198.18.0.1, given by --node-ip",
                        "Socket-level load balancing: 0 of 4 addresses; not: 1 LoadBalancer IP, 1 NodePort,"
                                + " 2 policy balance\n",
                        "1 error");
        out.getBuffer().setLength(0);
        assertThat(sluice("check", "--live", "-o", "json")).isEqualTo(1);
        assertThat(out).hasToString(json);
        server.on("GET /api/v1/check", "{\"services\": [{\"addresses\": [{\"kind\": \"?\"}]}], \"problems\": []}");
        assertThat(sluice("check", "--live")).isEqualTo(1);
        assertThat(err.toString())
                .startsWith("sluice: unexpected response of Sluice: ")
                .hasLineCount(1);
    }

    @Test
    void tracePrintsTheSameForARunningDaemonAsForItsFeed(@TempDir Path directory) throws Exception {
        Path file = Path.of(feed(directory));
        BuildOptions options = Configuration.load(null, Map.of("SLUICE_NODE_NAME", "n1"), Map.of())
                .settings()
                .buildOptions();
        Trace.TraceResult result = FileReflector.read(file, options, List.of())
                .tracer()
                .trace(TraceReport.packet("10.244.1.9", "10.96.0.10:80/tcp"));
        String json = JsonMapper.shared()
                .writeValueAsString(TraceReport.of(result, (port, frontend) -> SocketPath.OFF)
                        .json(true));
        server.on("GET /api/v1/trace?from=10.244.1.9&to=10.96.0.10%3A80%2Ftcp", json);
        String[] packet = {"--from=10.244.1.9", "--to=10.96.0.10:80/tcp"};
        assertThat(sluice("trace", "--live", packet[0], packet[1])).isZero();
        assertThat(out).hasToString(offline("trace", "-f", file.toString(), "--node-name=n1", packet[0], packet[1]));
        assertThat(out.toString()).contains("endpoints  10.244.1.5:8080", "verdict    FORWARD: to 2 endpoints");
    }

    @Test
    void checkAndTraceUseTheUnixSocket(@TempDir Path directory) throws Exception {
        Path socket = directory.resolve("s");
        try (FakeAdminServer unix = FakeAdminServer.onUnixSocket(socket)
                .on("GET /api/v1/check", "{\"services\": [], \"problems\": []}")
                .on("GET /api/v1/trace?from=10.0.0.1&to=10.0.0.2%3A80%2Ftcp", "{\"verdict\": \"PASS\"}")) {
            String flag = "--admin-socket=" + socket;
            offline("check", "--live", flag);
            assertThat(offline("trace", "--live", flag, "--from=10.0.0.1", "--to=10.0.0.2:80/tcp"))
                    .contains("PASS");
            assertThat(err.toString()).isEmpty();
            assertThat(unix.requests()).hasSize(2);
        }
    }

    private static String status(boolean ready, long connections, String more) {
        return """
                {"version": "0.1.0", "pid": 4711, "mode": "node", "node": "node-a", "ready": %s,
                 "reason": "%s", "draining": false, "startTime": "%s", "logLevel": "info",
                 "feed": {"source": "API server https://10.96.0.1:443", "lastChange": "%s", "stale": false,
                          "problems": {"error": 0, "warning": 1, "note": 0},
                          "watches": [{"resource": "services", "synced": true, "trouble": ""},
                                      {"resource": "nodes", "synced": false, "trouble": "timed out"}]},
                 "counts": {"services": 4, "servicePorts": 6, "frontends": {"pending": 0, "active": 12, "failed": 1},
                            "endpoints": {"unknown": 3, "up": 5, "refusing": 1}, "connections": 31, "flows": 2},
                 "totals": {"connectionsOpened": %d, "connectionsFailed": 2, "flowsOpened": 0, "bytesToEndpoint": 0,
                            "bytesToClient": 0}, "failedThreads": []%s}""".formatted(
                        ready,
                        ready ? "ready: 12 frontends" : "no snapshot",
                        secondsAgo(7300),
                        secondsAgo(65),
                        connections,
                        more);
    }

    @Test
    void statusSummarizesADaemonAndItsFailures() {
        server.on("GET /api/v1/status", status(true, 1000, ""), status(true, 1_000_000, ""));
        server.on("GET /api/v1/endpoints?state=refusing&limit=5", list(ENDPOINT.formatted(secondsAgo(70))));
        assertThat(sluice("status")).isZero();
        assertThat(out.toString().lines().toList())
                .hasSizeLessThan(20)
                .allSatisfy(line -> assertThat(line.length()).isLessThanOrEqualTo(80))
                .contains(
                        "state      ready: 12 frontends",
                        "process    Sluice 0.1.0, pid 4711, node mode on node-a, up 2h, log level info",
                        "watches    1 of 2 synced",
                        "           nodes: timed out",
                        "frontends  12 active, 1 failed",
                        "endpoints  3 unknown, 5 up, 1 refusing",
                        "failures   2 of 1000000 connections since the start; now 0/s")
                .anySatisfy(line -> assertThat(line)
                        .startsWith("feed       API server https://10.96.0.1:443; last change 1m ago; 1 warning"))
                .anySatisfy(line -> assertThat(line).matches("traffic    31 connections, 2 flows; \\d{3}k new/s, .*"))
                .contains("           shop/web:http 10.1.0.4:8080: refusing for 1m, connection refused");
    }

    @Test
    void statusShowsSocketLbUnlessItIsOff() {
        String socketLb = ", \"socketLb\": {\"mode\": \"auto\", \"state\": \"%s\", \"reason\": \"%s\","
                + " \"frontends\": 12, \"connections\": 1}";
        server.on("GET /api/v1/endpoints", list());
        server.on("GET /api/v1/status", status(true, 0, socketLb.formatted("on", "")));
        assertThat(sluice("status")).isZero();
        assertThat(out.toString().lines()).contains("socket-lb  on: 12 frontends, 1 connection");
        out.getBuffer().setLength(0);
        server.on(
                "GET /api/v1/status", status(true, 0, socketLb.formatted("on", "no room in the maps for 2 frontends")));
        assertThat(sluice("status")).isZero();
        assertThat(out.toString().lines())
                .contains("socket-lb  on: 12 frontends, 1 connection; no room in the maps for 2 frontends");
        out.getBuffer().setLength(0);
        server.on("GET /api/v1/status", status(true, 0, socketLb.formatted("unavailable", "this machine: no bpffs")));
        assertThat(sluice("status")).isZero();
        assertThat(out.toString().lines()).contains("socket-lb  unavailable: this machine: no bpffs");
        out.getBuffer().setLength(0);
        server.on("GET /api/v1/status", status(true, 0, socketLb.formatted("off", "")));
        assertThat(sluice("status")).isZero();
        assertThat(out.toString()).doesNotContain("socket-lb");
    }

    @Test
    void statusFailsIfTheDaemonIsNotReady() {
        server.on("GET /api/v1/status", status(false, 0, ""));
        assertThat(sluice("status", "-o", "json")).isEqualTo(1);
        assertThat(JsonMapper.shared().readTree(out.toString()).at("/pid").intValue())
                .isEqualTo(4711);
    }

    @Test
    void topPrintsServicesByRate() {
        server.on("GET /api/v1/status", status(true, 0, ""));
        String busy =
                "{\"service\": \"a/busy\", \"state\": \"ok\", \"active\": 1, \"total\": %d, \"bytesToClient\": 0}";
        String bulk =
                "{\"service\": \"b/bulk\", \"state\": \"ok\", \"active\": 2, \"total\": 0, \"bytesToClient\": %d}";
        server.on(
                "GET /api/v1/services",
                list(bulk.formatted(0), busy.formatted(0)),
                list(bulk.formatted(90_000_000), busy.formatted(9_000)));
        assertThat(sluice("top", "--once")).isZero();
        List<String> lines = out.toString().lines().toList();
        assertThat(lines.get(0)).startsWith("31 connections, 2 flows; 0 new/s, ");
        assertThat(lines.get(1)).isEqualTo("sorted by connections");
        assertThat(lines.get(3)).matches("a/busy   ok          1   [89]\\.\\dk .*");
        assertThat(lines.get(4)).matches("b/bulk   ok          2      0 .* [89]\\d MB .*");
    }

    @Test
    void followsEventsAcrossARestart() throws Exception {
        String one = "{\"id\": 8, \"time\": \"T1\", \"kind\": \"change\", \"service\": \"a/b\", \"reason\": \"r1\"}";
        String two = "{\"id\": 1, \"time\": \"T2\", \"kind\": \"failure\", \"service\": \"a/b\", \"reason\": \"r2\"}";
        String before = "{\"pid\": 1, \"startTime\": \"A\"}";
        server.on("GET /api/v1/status", before)
                .then("GET /api/v1/status", 503, "{}")
                .then("GET /api/v1/status", 200, "{\"pid\": 2, \"startTime\": \"B\"}");
        server.on("GET /api/v1/events?limit=100", "{\"items\": [" + one + "], \"next\": \"8\"}");
        server.on("GET /api/v1/events?limit=1000", "{\"items\": [" + two + "], \"next\": \"1\"}");
        server.on("GET /api/v1/events?limit=1000&after=1", "{\"items\": [], \"next\": \"1\"}");
        Pipe pipe = new Pipe();
        FutureTask<Integer> command = new FutureTask<>(() -> sluice(pipe, "events", "-f"));
        new Thread(command, "follower").start();
        await().until(() -> server.requests().stream().anyMatch(each -> each.endsWith("after=1")));
        pipe.closed = true;
        assertThat(command.get()).isZero();
        assertThat(pipe.text.toString()).isEqualTo("T1  change  a/b  -  r1\nT2  failure  a/b  -  r2\n");
        assertThat(err.toString().lines())
                .containsExactly(
                        "sluice: " + server.url() + ": HTTP status 503; try again later; waiting for Sluice",
                        "sluice: Sluice was restarted; following process 2");
    }

    /** A pipe whose reader can exit. */
    private static final class Pipe extends Writer {
        private final StringBuilder text = new StringBuilder();
        private volatile boolean closed;

        @Override
        public void write(char[] characters, int from, int length) {
            text.append(characters, from, length);
        }

        @Override
        public void flush() throws IOException {
            if (closed) {
                throw new IOException("broken pipe");
            }
        }

        @Override
        public void close() {}
    }

    @Test
    void drainsAnEndpointThroughTheUnixSocket(@TempDir Path directory) throws Exception {
        Path socket = directory.resolve("s");
        String until = Instant.now().plus(Duration.ofMinutes(10)).toString();
        try (FakeAdminServer unix = FakeAdminServer.onUnixSocket(socket)
                .on(
                        "POST /api/v1/endpoints/shop/web/10.1.0.4%3A8080/drain?for=10m&force=true",
                        "{\"service\": \"shop/web\", \"address\": \"10.1.0.4:8080\", \"state\": \"draining\","
                                + " \"until\": \"" + until + "\", \"active\": 3}")
                .then("POST /api/v1/endpoints/shop/web/10.1.0.4%3A8080/disable", 409, "{\"error\": \"the last one\"}")
                .on("PUT /api/v1/log-level?level=debug", "{\"level\": \"debug\", \"previous\": \"info\"}")) {
            CommandLine line =
                    Main.commandLine(Map.of("SLUICE_ADMIN_SOCKET", socket.toString()), InputStream.nullInputStream());
            line.setOut(new PrintWriter(out)).setErr(new PrintWriter(err));
            assertThat(line.execute("endpoint", "drain", "shop/web", "10.1.0.4:8080", "--for=10m", "--force"))
                    .isZero();
            assertThat(line.execute("endpoint", "disable", "shop/web", "10.1.0.4:8080"))
                    .isEqualTo(1);
            assertThat(line.execute("log-level", "debug")).isZero();
            assertThat(out)
                    .hasToString("shop/web 10.1.0.4:8080: draining for 10m; 3 open connections\ndebug (was info)\n");
            assertThat(err).hasToString("sluice: the last one\n");
            assertThat(unix.requests()).hasSize(3);
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"", "10.1.0.4", "10.1.0.4:0", "fd00::4:8080", "web:8080", ".."})
    void rejectsAnInvalidEndpointWithoutARequest(String address, @TempDir Path directory) throws Exception {
        Path socket = directory.resolve("s");
        try (FakeAdminServer unix = FakeAdminServer.onUnixSocket(socket)) {
            CommandLine line =
                    Main.commandLine(Map.of("SLUICE_ADMIN_SOCKET", socket.toString()), InputStream.nullInputStream());
            line.setErr(new PrintWriter(err));
            assertThat(line.execute("endpoint", "drain", "shop/web", address)).isEqualTo(2);
            assertThat(unix.requests()).isEmpty();
        }
        assertThat(err.toString())
                .startsWith("sluice: '" + address + "' is invalid; must be ADDRESS:PORT or [ADDRESS]:PORT, such as");
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "services web",
                "services shop/web --state=ok",
                "endpoints a/b/c",
                "connections --limit=0",
                "connections --service=web",
                "flows --limit=x",
                "affinity --limit=-1",
                "events --limit=1001",
                "top --sort=x",
                "services -o xml",
                "status -o wide",
                "log-level loud",
                "endpoint drain shop/web",
                "endpoint drain web 10.1.0.4:8080",
                "endpoint drain shop/web 10.1.0.4:8080 --for=10",
                "endpoint enable shop/web 10.1.0.4:8080 --force",
                "check --live --feed=x",
                "check --live --config=x",
                "trace --live --node-name=x --from=10.0.0.1 --to=10.0.0.1:80/tcp"
            })
    void rejectsInvalidUsageWithoutARequest(String arguments) {
        assertThat(sluice(arguments.split(" "))).isEqualTo(2);
        assertThat(err.toString().lines().filter(line -> line.startsWith("sluice: ")))
                .hasSize(1);
        assertThat(server.requests()).isEmpty();
    }
}
