package io.sluice.daemon;

import static java.util.Objects.requireNonNull;
import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import com.sun.management.UnixOperatingSystemMXBean;
import io.sluice.model.IpAddress;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.net.SocketException;
import java.nio.ByteBuffer;
import java.nio.channels.SocketChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/**
 * A client that opens thousands of connections does not affect another client of another Service, with and without a
 * limit. Writes its measurements to {@code target/fairness.txt}.
 */
@Tag("long")
@Timeout(300)
@Tag("one-jdk")
final class FairnessIT {
    private static final int LIMIT = 100;
    /** The greedy client's connections to each Service have an end at the client and at the endpoint in this process. */
    private static final int CONNECTIONS = (int) Math.min(5_000, (maxDescriptors() - 1_000) / 4);

    private static final int REQUESTS = 2_000;

    private static final IpAddress GREEDY = requireNonNull(IpAddress.parse("127.0.0.2"));
    private static final IpAddress OTHER = requireNonNull(IpAddress.parse("127.0.0.3"));

    @TempDir
    private Path directory;

    private static long maxDescriptors() {
        return ManagementFactory.getPlatformMXBean(UnixOperatingSystemMXBean.class)
                .getMaxFileDescriptorCount();
    }

    /** An endpoint that accepts connections and keeps them open. */
    private static final class SilentServer implements AutoCloseable {
        private final ServerSocket server = new ServerSocket(0, 4_096, InetAddress.getLoopbackAddress());
        private final ConcurrentLinkedQueue<Socket> accepted = new ConcurrentLinkedQueue<>();

        SilentServer() throws IOException {
            Thread thread = new Thread(this::acceptAll, "silent-server");
            thread.setDaemon(true);
            thread.start();
        }

        private void acceptAll() {
            try {
                while (!server.isClosed()) {
                    accepted.add(server.accept());
                }
            } catch (IOException e) {
                assertThat(server.isClosed()).as(e.toString()).isTrue();
            }
        }

        @Override
        public void close() throws IOException {
            server.close();
            for (Socket socket : accepted) {
                socket.close();
            }
        }
    }

    private static String service(String name, InetSocketAddress frontend, int endpointPort, String annotations) {
        return """
                ---
                apiVersion: v1
                kind: Service
                metadata: {name: %1$s, namespace: it, annotations: {%5$s}}
                spec: {clusterIP: %2$s, ports: [{port: %3$d}]}
                ---
                apiVersion: v1
                kind: Endpoints
                metadata: {name: %1$s, namespace: it}
                subsets: [{addresses: [{ip: 127.0.0.1}], ports: [{port: %4$d}]}]
                """.formatted(
                        name, frontend.getAddress().getHostAddress(), frontend.getPort(), endpointPort, annotations);
    }

    private static InetSocketAddress frontend(String address) throws IOException {
        return new InetSocketAddress(InetAddress.getByName(address), NameServer.freePort(address));
    }

    @Test
    void aGreedyClientDoesNotAffectAnotherService() throws Exception {
        InetSocketAddress limited = frontend("127.96.20.1");
        InetSocketAddress unlimited = frontend("127.96.20.2");
        InetSocketAddress other = frontend("127.96.20.3");
        List<SocketChannel> toLimited = new ArrayList<>();
        List<SocketChannel> toUnlimited = new ArrayList<>();
        try (SilentServer ofLimited = new SilentServer();
                SilentServer ofUnlimited = new SilentServer();
                NameServer ofOther = new NameServer("127.0.0.1", 0, "other")) {
            Files.writeString(
                    directory.resolve("feed.yaml"),
                    service(
                                    "limited",
                                    limited,
                                    ofLimited.server.getLocalPort(),
                                    "service.sluice.io/max-connections-per-client: '" + LIMIT + "'")
                            + service("unlimited", unlimited, ofUnlimited.server.getLocalPort(), "")
                            + service("other", other, ofOther.port(), ""));
            try (SluiceProcess sluice = SluiceProcess.start(
                    directory,
                    "run",
                    "--feed=feed.yaml",
                    "--healthz-bind-address=127.0.0.1:0",
                    "--metrics-bind-address=127.0.0.1:0")) {
                RunIT.awaitReady(sluice);
                // Compiles the code that is measured.
                measure(other, ofOther.port(), REQUESTS, CompletableFuture.completedFuture(null));
                Latencies before = measure(other, ofOther.port(), REQUESTS, CompletableFuture.completedFuture(null));
                CompletableFuture<Void> opened = CompletableFuture.runAsync(() -> {
                    for (int i = 0; i < CONNECTIONS; i++) {
                        toLimited.add(connect(limited));
                        toUnlimited.add(connect(unlimited));
                    }
                });
                Latencies during = measure(other, ofOther.port(), 0, opened);
                opened.get(60, TimeUnit.SECONDS);
                await().atMost(RunIT.TIMEOUT).until(() -> ofUnlimited.accepted.size() == CONNECTIONS);
                await().atMost(RunIT.TIMEOUT)
                        .until(() ->
                                toLimited.stream().filter(FairnessIT::isReset).count() == CONNECTIONS - LIMIT);
                assertThat(ofLimited.accepted).hasSize(LIMIT);
                assertThat(toUnlimited).noneMatch(FairnessIT::isReset);
                Latencies after = measure(other, ofOther.port(), REQUESTS, CompletableFuture.completedFuture(null));
                assertThat(RunIT.get(RunIT.uri(sluice, "metrics", "/metrics")).body())
                        .containsPattern(
                                "sluice_sessions_rejected_total\\{.*reason=\"client_connections\".*service=\"limited\".*} "
                                        + (CONNECTIONS - LIMIT));
                assertThat(sluice.err()).doesNotContain("WARN", "ERROR");
                Files.write(
                        Path.of("target/fairness.txt"),
                        List.of(
                                before.report("before"),
                                during.report("while one client opened " + 2 * CONNECTIONS + " connections"),
                                after.report("while " + (CONNECTIONS + LIMIT) + " of them were open")));
            }
        } finally {
            close(toLimited);
            close(toUnlimited);
        }
    }

    private static SocketChannel connect(InetSocketAddress to) {
        try {
            SocketChannel channel = SocketChannel.open();
            channel.bind(GREEDY.toSocketAddress(0));
            try {
                channel.connect(to);
            } catch (SocketException e) {
                // Sluice may reset the connection before this call returns.
                assertThat(e).hasMessageContaining("reset");
            }
            channel.configureBlocking(false);
            return channel;
        } catch (IOException e) {
            throw new AssertionError(e);
        }
    }

    private static boolean isReset(SocketChannel channel) {
        try {
            return !channel.isConnected() || channel.read(ByteBuffer.allocate(1)) < 0;
        } catch (IOException e) {
            return true;
        }
    }

    private static void close(List<SocketChannel> channels) throws IOException {
        for (SocketChannel channel : channels) {
            channel.close();
        }
    }

    /** Latencies of requests through Sluice and, for comparison, of requests directly to the endpoint. */
    private record Latencies(List<Long> proxied, List<Long> direct) {
        String report(String when) {
            return when + ": through Sluice " + summary(proxied) + "; directly " + summary(direct);
        }
    }

    /** Sends requests one after the other until both their number and the task are complete; none may fail. */
    private static Latencies measure(InetSocketAddress frontend, int endpointPort, int atLeast, Future<?> task)
            throws IOException {
        InetSocketAddress endpoint = new InetSocketAddress(InetAddress.getLoopbackAddress(), endpointPort);
        Latencies latencies = new Latencies(new ArrayList<>(), new ArrayList<>());
        while (latencies.proxied.size() < atLeast || !task.isDone()) {
            latencies.proxied.add(requestNanos(frontend));
            latencies.direct.add(requestNanos(endpoint));
        }
        return latencies;
    }

    private static long requestNanos(InetSocketAddress to) throws IOException {
        long start = System.nanoTime();
        assertThat(Peers.overTcp(OTHER, to)).isEqualTo("other");
        return System.nanoTime() - start;
    }

    private static String summary(List<Long> nanos) {
        if (nanos.isEmpty()) {
            return "no request";
        }
        Collections.sort(nanos);
        return "%d requests, p50 %d us, p99 %d us, max %d us"
                .formatted(nanos.size(), at(nanos, 50), at(nanos, 99), at(nanos, 100));
    }

    private static long at(List<Long> sorted, int percent) {
        return TimeUnit.NANOSECONDS.toMicros(sorted.get((sorted.size() - 1) * percent / 100));
    }
}
