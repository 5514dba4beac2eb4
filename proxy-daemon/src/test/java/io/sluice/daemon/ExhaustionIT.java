package io.sluice.daemon;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import io.sluice.demo.DemoServers;
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
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** A daemon that runs out of descriptors keeps what it has, says so once, and serves again once there are some. */
@Tag("end-to-end")
final class ExhaustionIT {
    private static final int DESCRIPTORS = 200;

    @TempDir
    private Path folder;

    private static void echo(ServerSocket server) {
        while (!server.isClosed()) {
            try {
                Socket socket = server.accept();
                Thread thread = new Thread(() -> {
                    try (socket) {
                        socket.getInputStream().transferTo(socket.getOutputStream());
                    } catch (IOException e) {
                        assertThat(e).as("its client went").isNotNull();
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

    private static boolean answersAnew(InetSocketAddress address, String from) {
        try (Socket client = new Socket()) {
            client.bind(new InetSocketAddress(from, 0));
            client.setSoTimeout(1_000);
            client.connect(address, 1_000);
            return answers(client);
        } catch (IOException e) {
            return false;
        }
    }

    private Path limited() throws IOException {
        Path launcher = folder.resolve("limited");
        Files.writeString(
                launcher, "#!/bin/sh\nulimit -n " + DESCRIPTORS + "\nexec '" + Sluice.HOME + "/bin/sluice' \"$@\"\n");
        Files.setPosixFilePermissions(launcher, PosixFilePermissions.fromString("rwxr-xr-x"));
        return launcher;
    }

    /** Most clients would find a closed port, so no load balancer is to send any here. The other ports do serve. */
    @Test
    void withoutDescriptorsForItsFrontendsItIsNotReady() throws Exception {
        try (ServerSocket server = new ServerSocket(0, 500, InetAddress.getLoopbackAddress())) {
            Thread acceptor = new Thread(() -> echo(server));
            acceptor.setDaemon(true);
            acceptor.start();
            withTooManyFrontends(server.getLocalPort());
        }
    }

    private void withTooManyFrontends(int endpointPort) throws Exception {
        StringBuilder feed = new StringBuilder();
        for (int i = 0; i < 2 * DESCRIPTORS; i++) {
            feed.append("""
                    ---
                    apiVersion: v1
                    kind: Service
                    metadata: {name: s%1$d, namespace: it}
                    spec: {clusterIP: 127.96.%2$d.%3$d, ports: [{port: 8189}]}
                    ---
                    apiVersion: v1
                    kind: Endpoints
                    metadata: {name: s%1$d, namespace: it}
                    subsets: [{addresses: [{ip: 127.0.0.1}], ports: [{port: %4$d}]}]
                    """.formatted(i, 10 + i / 200, 1 + i % 200, endpointPort));
        }
        Files.writeString(folder.resolve("feed.yaml"), feed);
        try (Sluice sluice = Sluice.start(
                folder,
                limited(),
                Map.of(),
                "run",
                "--feed=feed.yaml",
                "--loops=1",
                "--healthz-bind-address=127.0.0.1:0",
                "--metrics-bind-address=127.0.0.1:0")) {
            await().atMost(RunIT.PATIENCE).until(() -> sluice.err().contains("synced: "));
            HttpResponse<String> ready = RunIT.get(RunIT.uri(sluice, "health", "/readyz"));
            assertThat(ready.statusCode()).isEqualTo(503);
            assertThat(ready.body())
                    .matches("not ready: \\d+ of " + 2 * DESCRIPTORS
                            + " frontends lack descriptors or memory \\(see /debug/frontends\\)\n");
            assertThat(RunIT.get(RunIT.uri(sluice, "metrics", "/metrics")).body())
                    .containsPattern("sluice_frontends_failed\\{reason=\"out_of_descriptors\"} [1-9]");
            assertThat(RunIT.get(RunIT.uri(sluice, "health", "/livez")).statusCode())
                    .isEqualTo(200);
            try (Socket client = connectToAny(2 * DESCRIPTORS)) {
                assertThat(answers(client)).isTrue();
            }
        }
    }

    /** A connection to one of the frontends that have a listener. */
    private static Socket connectToAny(int frontends) throws IOException {
        for (int i = 0; i < frontends; i++) {
            Socket client = new Socket();
            client.setSoTimeout((int) RunIT.PATIENCE.toMillis());
            try {
                client.connect(new InetSocketAddress("127.96." + (10 + i / 200) + "." + (1 + i % 200), 8189));
                return client;
            } catch (ConnectException e) {
                client.close();
            }
        }
        throw new AssertionError("no frontend listens");
    }

    private static List<SocketChannel> crowd(InetSocketAddress address, String from) throws IOException {
        List<SocketChannel> crowd = new ArrayList<>();
        for (int i = 0; i < 2 * DESCRIPTORS; i++) {
            SocketChannel one = SocketChannel.open();
            crowd.add(one);
            one.bind(new InetSocketAddress(from, 0));
            one.configureBlocking(false);
            one.connect(address);
        }
        return crowd;
    }

    private static void leave(List<SocketChannel> crowd) throws IOException {
        for (SocketChannel one : crowd) {
            one.close();
        }
    }

    private static List<String> lines(Sluice sluice, String text) {
        return sluice.err().lines().filter(line -> line.contains(text)).toList();
    }

    private interface Case {
        void run(Sluice sluice, InetSocketAddress address) throws Exception;
    }

    private void withFewDescriptors(Case test, String... flags) throws Exception {
        int port = DemoServers.freePort(8188, "127.96.1.2");
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
            try (Sluice sluice = Sluice.start(folder, launcher, Map.of(), args.toArray(String[]::new))) {
                RunIT.awaitReady(sluice);
                test.run(sluice, address);
            }
        }
    }

    @Test
    void outOfDescriptorsAndBack() throws Exception {
        withFewDescriptors(
                (sluice, address) -> {
                    try (Socket old = new Socket()) {
                        old.setSoTimeout(5_000);
                        old.connect(address);
                        assertThat(answers(old)).isTrue();
                        List<SocketChannel> crowd = crowd(address, "127.0.0.1");
                        await().atMost(RunIT.PATIENCE).until(() -> sluice.err().contains("out of file descriptors"));
                        for (int i = 0; i < 20; i++) {
                            assertThat(answers(old)).isTrue();
                        }
                        // A probe that hears nothing would have the daemon restarted, and the sessions with it.
                        assertThat(RunIT.get(RunIT.uri(sluice, "health", "/livez"))
                                        .statusCode())
                                .isEqualTo(200);
                        leave(crowd);
                        await().atMost(Duration.ofSeconds(20)).until(() -> answersAnew(address, "127.0.0.1"));
                        assertThat(answers(old)).isTrue();
                        assertThat(sluice.isAlive()).isTrue();
                        assertThat(lines(sluice, "WARN  out of file descriptors"))
                                .hasSize(1);
                    }
                },
                "--max-client-share=100");
    }

    /** The most connections that one client address gets leave room for those of others. */
    @Test
    void oneClientCannotHaveAllDescriptors() throws Exception {
        withFewDescriptors((sluice, address) -> {
            List<SocketChannel> crowd = crowd(address, "127.0.0.2");
            await().atMost(RunIT.PATIENCE).until(() -> sluice.err().contains("client 127.0.0.2 holds its share, 25 %"));
            for (int i = 0; i < 20; i++) {
                assertThat(answersAnew(address, "127.0.0.3")).isTrue();
            }
            assertThat(answersAnew(address, "127.0.0.2")).isFalse();
            assertThat(RunIT.get(RunIT.uri(sluice, "metrics", "/metrics")).body())
                    .containsPattern("sluice_sessions_over_client_share_total\\{.*} [1-9]");
            leave(crowd);
            await().atMost(Duration.ofSeconds(20)).until(() -> answersAnew(address, "127.0.0.2"));
            await().atMost(Duration.ofSeconds(20))
                    .until(() -> lines(sluice, "no client is denied").size() == 1);
            assertThat(lines(sluice, "client 127.0.0.2 holds its share")).hasSize(1);
            assertThat(lines(sluice, "out of file descriptors")).isEmpty();
        });
    }

    private void writeFeed(int port, int endpointPort) throws IOException {
        Files.writeString(Files.createDirectories(folder.resolve("feed")).resolve("echo.yaml"), """
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
