package io.sluice.daemon;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import java.io.IOException;
import java.net.ConnectException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.net.http.HttpResponse;
import java.nio.channels.SocketChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * A daemon that runs out of descriptors keeps established connections, logs one warning, and accepts connections again
 * when descriptors are free.
 */
@Tag("end-to-end")
@Tag("one-jdk")
final class ExhaustionIT {
    private static final int DESCRIPTORS = 200;

    @TempDir
    private Path directory;

    private static void echo(ServerSocket server) {
        while (!server.isClosed()) {
            try {
                Socket socket = server.accept();
                Thread thread = new Thread(() -> {
                    try (socket) {
                        socket.getInputStream().transferTo(socket.getOutputStream());
                    } catch (IOException e) {
                        // The client closed the connection.
                    }
                });
                thread.setDaemon(true);
                thread.start();
            } catch (IOException e) {
                return;
            }
        }
    }

    private static boolean answers(Socket client) {
        try {
            client.getOutputStream().write(7);
            return client.getInputStream().read() == 7;
        } catch (IOException e) {
            return false;
        }
    }

    private static boolean answersNewConnection(InetSocketAddress address, String from) {
        try (Socket client = new Socket()) {
            client.bind(new InetSocketAddress(from, 0));
            client.setSoTimeout(5_000);
            client.connect(address, 5_000);
            return answers(client);
        } catch (IOException e) {
            return false;
        }
    }

    private Path limited() throws IOException {
        Path launcher = directory.resolve("limited");
        Files.writeString(
                launcher,
                "#!/bin/sh\nulimit -n " + DESCRIPTORS + "\nexec '" + SluiceProcess.HOME + "/bin/sluice' \"$@\"\n");
        Files.setPosixFilePermissions(launcher, PosixFilePermissions.fromString("rwxr-xr-x"));
        return launcher;
    }

    /** Most ports are closed, so load balancers must not send clients to this node. The other ports serve. */
    @Test
    void isNotReadyWithoutDescriptorsForAllFrontends() throws Exception {
        try (ServerSocket server = new ServerSocket(0, 500, InetAddress.getLoopbackAddress())) {
            Thread acceptor = new Thread(() -> echo(server));
            acceptor.setDaemon(true);
            acceptor.start();
            withTooManyFrontends(server.getLocalPort());
        }
    }

    private void withTooManyFrontends(int endpointPort) throws Exception {
        int port = NameServer.freePort("127.96.10.1");
        StringBuilder feed = new StringBuilder();
        for (int i = 0; i < 2 * DESCRIPTORS; i++) {
            feed.append("""
                    ---
                    apiVersion: v1
                    kind: Service
                    metadata: {name: s%1$d, namespace: it}
                    spec: {clusterIP: 127.96.%2$d.%3$d, ports: [{port: %5$d}]}
                    ---
                    apiVersion: v1
                    kind: Endpoints
                    metadata: {name: s%1$d, namespace: it}
                    subsets: [{addresses: [{ip: 127.0.0.1}], ports: [{port: %4$d}]}]
                    """.formatted(i, 10 + i / 200, 1 + i % 200, endpointPort, port));
        }
        Files.writeString(directory.resolve("feed.yaml"), feed);
        try (SluiceProcess sluice = SluiceProcess.start(
                directory,
                limited(),
                Map.of(),
                "run",
                "--feed=feed.yaml",
                "--loops=1",
                "--healthz-bind-address=127.0.0.1:0",
                "--metrics-bind-address=127.0.0.1:0")) {
            await().atMost(RunIT.TIMEOUT).until(() -> sluice.err().contains("synced: "));
            HttpResponse<String> ready = RunIT.get(RunIT.uri(sluice, "health", "/readyz"));
            assertThat(ready.statusCode()).isEqualTo(503);
            assertThat(ready.body())
                    .matches("not ready: \\d+ of " + 2 * DESCRIPTORS
                            + " frontends failed for lack of descriptors or memory \\(see /debug/frontends\\)\n");
            assertThat(RunIT.get(RunIT.uri(sluice, "metrics", "/metrics")).body())
                    .containsPattern("sluice_frontends_failed\\{reason=\"out_of_descriptors\"} [1-9]");
            assertThat(RunIT.get(RunIT.uri(sluice, "health", "/livez")).statusCode())
                    .isEqualTo(200);
            try (Socket client = connectToAny(2 * DESCRIPTORS, port)) {
                assertThat(answers(client)).isTrue();
            }
        }
    }

    /** A connection to one of the frontends that have a listener. */
    private static Socket connectToAny(int frontends, int port) throws IOException {
        for (int i = 0; i < frontends; i++) {
            Socket client = new Socket();
            client.setSoTimeout((int) RunIT.TIMEOUT.toMillis());
            try {
                client.connect(new InetSocketAddress("127.96." + (10 + i / 200) + "." + (1 + i % 200), port));
                return client;
            } catch (ConnectException e) {
                client.close();
            }
        }
        throw new AssertionError("no frontend listens");
    }

    private static List<SocketChannel> connections(InetSocketAddress address, String from) throws IOException {
        List<SocketChannel> connections = new ArrayList<>();
        for (int i = 0; i < 2 * DESCRIPTORS; i++) {
            SocketChannel channel = SocketChannel.open();
            connections.add(channel);
            channel.bind(new InetSocketAddress(from, 0));
            channel.configureBlocking(false);
            channel.connect(address);
        }
        return connections;
    }

    private static void closeAll(List<SocketChannel> connections) throws IOException {
        for (SocketChannel channel : connections) {
            channel.close();
        }
    }

    private static List<String> lines(SluiceProcess sluice, String text) {
        return sluice.err().lines().filter(line -> line.contains(text)).toList();
    }

    private interface TestCase {
        void run(SluiceProcess sluice, InetSocketAddress address) throws Exception;
    }

    private void withFewDescriptors(TestCase test, String... flags) throws Exception {
        int port = NameServer.freePort("127.96.1.2");
        InetSocketAddress address = new InetSocketAddress(InetAddress.getByAddress(new byte[] {127, 96, 1, 2}), port);
        Path launcher = limited();
        List<String> args = new ArrayList<>(List.of(
                "run", "--feed=feed", "--healthz-bind-address=127.0.0.1:0", "--metrics-bind-address=127.0.0.1:0"));
        args.addAll(List.of(flags));
        try (ServerSocket server = new ServerSocket(0, 500, InetAddress.getLoopbackAddress())) {
            Thread acceptor = new Thread(() -> echo(server));
            acceptor.setDaemon(true);
            acceptor.start();
            writeFeed(port, server.getLocalPort());
            try (SluiceProcess sluice =
                    SluiceProcess.start(directory, launcher, Map.of(), args.toArray(String[]::new))) {
                RunIT.awaitReady(sluice);
                test.run(sluice, address);
            }
        }
    }

    @Test
    void recoversFromDescriptorExhaustion() throws Exception {
        withFewDescriptors(
                (sluice, address) -> {
                    try (Socket established = new Socket()) {
                        established.setSoTimeout(5_000);
                        established.connect(address);
                        assertThat(answers(established)).isTrue();
                        List<SocketChannel> connections = connections(address, "127.0.0.1");
                        await().atMost(RunIT.TIMEOUT).until(() -> sluice.err().contains("out of file descriptors"));
                        for (int i = 0; i < 20; i++) {
                            assertThat(answers(established)).isTrue();
                        }
                        // If the liveness probe failed, the kubelet would restart the daemon and so end its
                        // connections.
                        assertThat(RunIT.get(RunIT.uri(sluice, "health", "/livez"))
                                        .statusCode())
                                .isEqualTo(200);
                        closeAll(connections);
                        await().atMost(RunIT.TIMEOUT).until(() -> answersNewConnection(address, "127.0.0.1"));
                        assertThat(answers(established)).isTrue();
                        assertThat(sluice.isAlive()).isTrue();
                        assertThat(lines(sluice, "WARN  out of file descriptors"))
                                .hasSize(1);
                    }
                },
                "--max-client-share=100");
    }

    /** The limit per client address leaves descriptors for other clients. */
    @Test
    void oneClientCannotUseAllDescriptors() throws Exception {
        withFewDescriptors((sluice, address) -> {
            List<SocketChannel> connections = connections(address, "127.0.0.2");
            await().atMost(RunIT.TIMEOUT).until(() -> sluice.err().contains("client 127.0.0.2 holds its share (25 %)"));
            for (int i = 0; i < 20; i++) {
                assertThat(answersNewConnection(address, "127.0.0.3")).isTrue();
            }
            assertThat(answersNewConnection(address, "127.0.0.2")).isFalse();
            assertThat(RunIT.get(RunIT.uri(sluice, "metrics", "/metrics")).body())
                    .containsPattern("sluice_sessions_rejected_total\\{.*reason=\"client_limit\".*} [1-9]");
            closeAll(connections);
            await().atMost(RunIT.TIMEOUT).until(() -> answersNewConnection(address, "127.0.0.2"));
            await().atMost(RunIT.TIMEOUT)
                    .until(() ->
                            lines(sluice, "no client is limited to its share").size() == 1);
            assertThat(lines(sluice, "client 127.0.0.2 holds its share")).hasSize(1);
            assertThat(lines(sluice, "out of file descriptors")).isEmpty();
        });
    }

    private void writeFeed(int port, int endpointPort) throws IOException {
        Files.writeString(Files.createDirectories(directory.resolve("feed")).resolve("echo.yaml"), """
                apiVersion: v1
                kind: Service
                metadata: {name: echo, namespace: it}
                spec:
                  clusterIP: 127.96.1.2
                  ports: [{port: %d}]
                ---
                apiVersion: v1
                kind: Endpoints
                metadata: {name: echo, namespace: it}
                subsets: [{addresses: [{ip: 127.0.0.1}], ports: [{port: %d}]}]
                """.formatted(
                        port, endpointPort));
    }
}
