package io.sluice.daemon;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import java.io.IOException;
import java.net.ConnectException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Tests {@code sluice run} as a process, with a feed in files, a TCP server and signals. */
@Tag("end-to-end")
public final class RunIT {
    public static final Duration TIMEOUT = Duration.ofSeconds(60);

    @TempDir
    private Path directory;

    /** The endpoint of the Service; tests accept its connections themselves. */
    private final ServerSocket endpoint;

    private final int port;

    RunIT() throws IOException {
        endpoint = new ServerSocket(0, 50, InetAddress.getLoopbackAddress());
        port = NameServer.freePort("127.96.1.1");
    }

    private void writeFeed() throws IOException {
        Files.writeString(Files.createDirectories(directory.resolve("feed")).resolve("web.yaml"), """
                apiVersion: v1
                kind: Service
                metadata: {name: web, namespace: it}
                spec:
                  clusterIP: 127.96.1.1
                  ports: [{port: %d, protocol: TCP}]
                ---
                apiVersion: discovery.k8s.io/v1
                kind: EndpointSlice
                metadata:
                  name: web-1
                  namespace: it
                  labels: {kubernetes.io/service-name: web}
                addressType: IPv4
                ports: [{name: "", port: %d, protocol: TCP}]
                endpoints: [{addresses: ["127.0.0.1"], conditions: {ready: true}}]
                """.formatted(
                        port, endpoint.getLocalPort()));
    }

    private SluiceProcess start(String... more) throws IOException {
        writeFeed();
        List<String> args = new ArrayList<>(List.of(
                "run", "--feed=feed", "--healthz-bind-address=127.0.0.1:0", "--metrics-bind-address=127.0.0.1:0"));
        args.addAll(List.of(more));
        return SluiceProcess.start(directory, args.toArray(String[]::new));
    }

    static URI uri(SluiceProcess sluice, String server, String path) {
        Pattern line = Pattern.compile(server + " on (http://127\\.0\\.0\\.1:\\d+)");
        await().atMost(TIMEOUT).until(() -> line.matcher(sluice.err()).find());
        Matcher matcher = line.matcher(sluice.err());
        assertThat(matcher.find()).isTrue();
        return URI.create(matcher.group(1) + path);
    }

    static HttpResponse<String> get(URI uri) throws Exception {
        return HttpClient.newHttpClient()
                .send(HttpRequest.newBuilder(uri).timeout(TIMEOUT).build(), BodyHandlers.ofString());
    }

    static void awaitReady(SluiceProcess sluice) {
        URI readyz = uri(sluice, "health", "/readyz");
        await().atMost(TIMEOUT).until(() -> get(readyz).statusCode() == 200);
    }

    private Socket connect() throws IOException {
        Socket client = new Socket("127.96.1.1", port);
        client.setSoTimeout((int) TIMEOUT.toMillis());
        return client;
    }

    private static void exchange(Socket from, Socket to, String text) throws IOException {
        from.getOutputStream().write(text.getBytes(StandardCharsets.UTF_8));
        assertThat(new String(to.getInputStream().readNBytes(text.length()), StandardCharsets.UTF_8))
                .isEqualTo(text);
    }

    @Test
    void forwardsAndReportsMetricsAndState() throws Exception {
        try (SluiceProcess sluice = start()) {
            awaitReady(sluice);
            try (Socket client = connect();
                    Socket server = endpoint.accept()) {
                exchange(client, server, "ping");
                exchange(server, client, "pong!");
                String metrics = get(uri(sluice, "metrics", "/metrics")).body();
                assertThat(metrics)
                        .contains(
                                "sluice_sessions_active{namespace=\"it\",port=\"\",protocol=\"tcp\",service=\"web\"} 1.0")
                        .contains("sluice_frontends{state=\"active\"} 1.0");
            }
            assertThat(get(uri(sluice, "metrics", "/proxyMode")).body()).isEqualTo("sluice");
            assertThat(get(uri(sluice, "metrics", "/configz")).body()).contains("\"feed\" : \"feed\"");
            assertThat(get(uri(sluice, "metrics", "/debug/frontends")).body())
                    .contains("\"address\" : \"127.96.1.1:" + port + "/tcp\"", "\"state\" : \"ACTIVE\"");
            assertThat(get(uri(sluice, "health", "/healthz")).statusCode()).isEqualTo(200);
            assertThat(sluice.out()).isEmpty();
            await().atMost(TIMEOUT).until(() -> sluice.err().contains("frontend 127.96.1.1:" + port + "/tcp active"));
            assertThat(sluice.err()).contains(" synced: 1 service with 1 port, 1 address, 1 endpoint");
            sluice.signal("TERM");
            assertThat(sluice.exitCode()).isZero();
        }
    }

    @Test
    void logsAnAppliedChangeInOneLine() throws Exception {
        try (SluiceProcess sluice = start("--log-format=json")) {
            awaitReady(sluice);
            Path feed = directory.resolve("feed/web.yaml");
            Path next = directory.resolve("next");
            Files.writeString(next, Files.readString(feed).replace("ready: true", "ready: false"));
            Files.move(next, feed, StandardCopyOption.ATOMIC_MOVE);
            String change = "-1 endpoint 127.0.0.1:" + endpoint.getLocalPort() + "; no endpoints left";
            awaitError(sluice, "\"message\":\"it/web: " + change + "\",\"service\":\"it/web\",\"reason\":\"" + change);
            assertThat(sluice.err()).containsOnlyOnce("no endpoints left\",\"service");
        }
    }

    @Test
    void requiresAConnectionLogThatCanBeWritten() throws Exception {
        try (SluiceProcess sluice = start("--connection-log=missing/connections.log")) {
            assertThat(sluice.exitCode()).isEqualTo(2);
            assertThat(sluice.err())
                    .isEqualTo("sluice: --connection-log: cannot open 'missing/connections.log': No such file or"
                            + " directory\n");
        }
        try (SluiceProcess sluice = start("--connection-log", "-")) {
            awaitReady(sluice);
            assertThat(get(uri(sluice, "metrics", "/metrics")).body())
                    .contains("sluice_connection_log_dropped_total 0.0");
            sluice.signal("TERM");
            assertThat(sluice.exitCode()).isZero();
        }
        assertThat(directory.resolve("-")).doesNotExist();
    }

    @Test
    void sigtermDrainsAnOpenConnection() throws Exception {
        try (SluiceProcess sluice = start()) {
            awaitReady(sluice);
            URI readyz = uri(sluice, "health", "/readyz");
            URI livez = uri(sluice, "health", "/livez");
            try (Socket client = connect();
                    Socket server = endpoint.accept()) {
                exchange(client, server, "before");
                sluice.signal("TERM");
                await().atMost(TIMEOUT).until(() -> get(readyz).statusCode() == 503);
                assertThat(get(readyz).body()).isEqualTo("not ready: shutting down\n");
                assertThat(get(livez).statusCode()).isEqualTo(200);
                await().atMost(TIMEOUT).until(this::isRejected);
                exchange(client, server, "still open");
                exchange(server, client, "both ways");
            }
            assertThat(sluice.exitCode()).isZero();
            assertThat(sluice.err()).contains("SIGTERM: stopping", "draining 1 open connection ", "stopped");
        }
    }

    private boolean isRejected() throws IOException {
        try (Socket late = connect()) {
            return !late.isConnected();
        } catch (ConnectException e) {
            return true;
        }
    }

    @Test
    void hardFailExitsIfAPortIsInUse() throws Exception {
        int portInUse = endpoint.getLocalPort();
        writeFeed();
        try (SluiceProcess sluice = SluiceProcess.start(
                directory,
                "run",
                "--feed=feed",
                "--bind-address-hard-fail",
                "--healthz-bind-address=127.0.0.1:0",
                "--metrics-bind-address=127.0.0.1:" + portInUse)) {
            assertThat(sluice.exitCode()).isEqualTo(1);
            assertThat(sluice.err())
                    .contains("cannot start: cannot serve metrics on 127.0.0.1:" + portInUse
                            + ": Address already in use");
        }
    }

    @Test
    void warnsInBindModeThatNetworkPoliciesDoNotApplyInACluster() throws Exception {
        try (ServerSocket unused = new ServerSocket(0, 1, InetAddress.getLoopbackAddress());
                SluiceProcess sluice = SluiceProcess.start(
                        directory,
                        "run",
                        "--master=http://127.0.0.1:" + unused.getLocalPort(),
                        "--healthz-bind-address=127.0.0.1:0",
                        "--metrics-bind-address=off")) {
            awaitError(sluice, "bind mode: endpoints see the node's address, so NetworkPolicies");
        }
        try (SluiceProcess sluice = start()) {
            awaitReady(sluice);
            assertThat(sluice.err()).doesNotContain("NetworkPolicies");
        }
    }

    @Test
    void closesOpenConnectionsAtTheDrainTimeout() throws Exception {
        try (SluiceProcess sluice = start("--drain-timeout=100ms")) {
            awaitReady(sluice);
            try (Socket client = connect();
                    Socket server = endpoint.accept()) {
                exchange(client, server, "before");
                sluice.signal("TERM");
                assertThat(sluice.exitCode()).isZero();
                assertThat(sluice.err()).contains("drain timeout expired; closing 1 open connection");
            }
        }
    }

    @Test
    void shutsDownGracefullyOnASignalDuringStartup() throws Exception {
        try (SluiceProcess sluice = start()) {
            // The first line, with the version; no socket is open yet.
            await().pollDelay(Duration.ZERO)
                    .pollInterval(Duration.ofMillis(1))
                    .atMost(TIMEOUT)
                    .until(() -> sluice.err().contains(" on Java "));
            sluice.signal("TERM");
            assertThat(sluice.exitCode()).as(sluice.err()).isZero();
            assertThat(sluice.err()).contains("SIGTERM: stopping").endsWith("stopped\n");
        }
    }

    @Test
    void secondSignalExitsImmediately() throws Exception {
        try (SluiceProcess sluice = start("--drain-timeout=1h")) {
            awaitReady(sluice);
            try (Socket client = connect();
                    Socket server = endpoint.accept()) {
                exchange(client, server, "before");
                sluice.signal("TERM");
                await().atMost(TIMEOUT).until(() -> sluice.err().contains("draining 1 open connection "));
                assertThat(sluice.isAlive()).isTrue();
                sluice.signal("TERM");
                assertThat(sluice.exitCode()).isEqualTo(143);
            }
        }
    }

    @Test
    void sigintTerminatesToo() throws Exception {
        try (SluiceProcess sluice = start("--log-format=json")) {
            awaitReady(sluice);
            sluice.signal("INT");
            assertThat(sluice.exitCode()).isZero();
            assertThat(sluice.err().lines())
                    .isNotEmpty()
                    .allSatisfy(
                            line -> assertThat(line).startsWith("{\"time\":").endsWith("}"));
        }
    }

    @Test
    void sighupFromATerminalTerminates() throws Exception {
        Path pid = directory.resolve("pid");
        String run = "echo $$ > '" + pid + "'; exec '" + SluiceProcess.HOME + "/bin/sluice' run --feed='"
                + directory.resolve("feed") + "' --healthz-bind-address=127.0.0.1:0 --metrics-bind-address=off";
        Path launcher =
                Files.writeString(directory.resolve("attached"), "#!/bin/sh\nexec script -qec \"$1\" /dev/null\n");
        assertThat(launcher.toFile().setExecutable(true)).isTrue();
        writeFeed();
        try (SluiceProcess script = SluiceProcess.start(directory, launcher, Map.of(), run)) {
            // The terminal shows standard output and standard error.
            await().atMost(TIMEOUT).untilAsserted(() -> assertThat(script.out()).contains("synced: "));
            int killed = new ProcessBuilder(
                            "kill", "-HUP", Files.readString(pid).strip())
                    .inheritIO()
                    .start()
                    .waitFor();
            assertThat(killed).isZero();
            assertThat(script.exitCode()).isZero();
            assertThat(script.out()).contains("SIGHUP: stopping");
        }
    }

    @Test
    void sighupWithoutATerminalReloads() throws Exception {
        String head = "apiVersion: sluice.io/v1alpha1\nkind: SluiceConfiguration\n";
        Path config = Files.writeString(directory.resolve("sluice.yaml"), head + "logLevel: info\n");
        Path launcher = Files.writeString(
                directory.resolve("detached"),
                "#!/bin/sh\nexec setsid '" + SluiceProcess.HOME + "/bin/sluice' \"$@\"\n");
        assertThat(launcher.toFile().setExecutable(true)).isTrue();
        String[] args = {
            "run",
            "--config=" + config,
            "--feed=" + directory.resolve("feed"),
            "--healthz-bind-address=127.0.0.1:0",
            "--metrics-bind-address=off"
        };
        writeFeed();
        try (SluiceProcess sluice = SluiceProcess.start(directory, launcher, Map.of(), args)) {
            awaitReady(sluice);
            sluice.signal("USR1");
            Files.writeString(config, head + "logLevel: debug\n");
            sluice.signal("HUP");
            awaitError(
                    sluice,
                    "SIGHUP: log level is debug (was info); rescanning the feed; other settings need a" + " restart");
            Files.writeString(config, head + "logLevel: loud\n");
            sluice.signal("HUP");
            awaitError(
                    sluice,
                    "SIGHUP: rescanning the feed; configuration not reloaded: " + config
                            + ": logLevel: 'loud' is invalid");
            try (Socket client = connect();
                    Socket server = endpoint.accept()) {
                exchange(client, server, "served");
            }
            sluice.signal("TERM");
            assertThat(sluice.exitCode()).isZero();
        }
    }

    private static void awaitError(SluiceProcess sluice, String text) {
        await().atMost(TIMEOUT).untilAsserted(() -> assertThat(sluice.err()).contains(text));
    }

    @Test
    void reportsAForeignAddressWithAHintAndServesTheRest() throws Exception {
        writeFeed();
        String foreign = Files.readString(directory.resolve("feed/web.yaml"))
                .replace("127.96.1.1", "198.51.100.7")
                .replace("web", "far");
        Files.writeString(directory.resolve("feed/far.yaml"), foreign);
        try (SluiceProcess sluice = start()) {
            awaitReady(sluice);
            await().atMost(TIMEOUT)
                    .until(() -> sluice.err()
                            .contains(
                                    "198.51.100.7 is not an address of this machine; to listen on the same ports under"
                                            + " 127.0.0.0/8, add --map-frontends 198.48.0.0/12=127.48.0.0/12"));
            try (Socket client = connect();
                    Socket server = endpoint.accept()) {
                exchange(client, server, "served");
            }
        }
        try (SluiceProcess sluice = start("--map-frontends=198.48.0.0/12=127.48.0.0/12")) {
            awaitReady(sluice);
            try (Socket client = new Socket("127.51.100.7", port);
                    Socket server = endpoint.accept()) {
                exchange(client, server, "mapped");
            }
        }
    }
}
