package io.sluice.daemon;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;
import static org.junit.jupiter.api.Assumptions.assumeFalse;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.net.DatagramPacket;
import java.net.DatagramSocket;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * Limits the system calls of the event loops of a running daemon, counted by strace. Connections cost mostly system
 * calls.
 */
@Tag("end-to-end")
final class SystemCallsIT {
    private static final int TIMES = 320;
    private static final int WARM_UP_TIMES = 1_600;
    /** Simulates load, where one wake-up of an event loop serves several connections. */
    private static final int CONCURRENT_CONNECTIONS = 32;

    private static final String ADDRESS = "127.96.1.5";

    @TempDir
    private Path directory;

    private final ServerSocket endpoint = new ServerSocket(0, 50, InetAddress.getLoopbackAddress());
    private final DatagramSocket udpEndpoint =
            new DatagramSocket(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0));
    private final InetSocketAddress frontend =
            new InetSocketAddress(InetAddress.getByAddress(new byte[] {127, 96, 1, 5}), NameServer.freePort(ADDRESS));
    private final byte[] bytes = new byte[100];
    private SluiceProcess sluice;

    SystemCallsIT() throws IOException {}

    private interface Operation {
        void run() throws IOException;
    }

    /** The number of system calls per operation, by name. */
    private record Calls(Map<String, Double> byName) {
        /** Calls caused by the JVM's compiler and garbage collector; they decrease as the JVM warms up. */
        private static final Set<String> JVM_CALLS = Set.of("futex", "madvise", "mmap", "mprotect", "munmap");

        /** The number of calls without those of the JVM. */
        double sum() {
            return byName.entrySet().stream()
                    .filter(each -> !JVM_CALLS.contains(each.getKey()))
                    .mapToDouble(Map.Entry::getValue)
                    .sum();
        }

        @Override
        public String toString() {
            return byName.entrySet().stream()
                    .sorted(Map.Entry.<String, Double>comparingByValue().reversed())
                    .map(each -> "%8.2f  %s".formatted(each.getValue(), each.getKey()))
                    .collect(Collectors.joining(
                            "\n",
                            "system calls per operation:\n",
                            "\n%8.2f  in total, without those of the JVM".formatted(sum())));
        }
    }

    @BeforeEach
    void start() throws IOException {
        endpoint.setSoTimeout(10_000);
        udpEndpoint.setSoTimeout(10_000);
        Files.writeString(directory.resolve("feed.yaml"), """
                apiVersion: v1
                kind: Service
                metadata: {name: web, namespace: it}
                spec:
                  clusterIP: %1$s
                  ports: [{name: t, port: %2$d, protocol: TCP}, {name: u, port: %2$d, protocol: UDP}]
                ---
                apiVersion: discovery.k8s.io/v1
                kind: EndpointSlice
                metadata: {name: web-1, namespace: it, labels: {kubernetes.io/service-name: web}}
                addressType: IPv4
                ports: [{name: t, port: %3$d, protocol: TCP}, {name: u, port: %4$d, protocol: UDP}]
                endpoints: [{addresses: ["127.0.0.1"], conditions: {ready: true}}]
                """.formatted(
                        ADDRESS, frontend.getPort(), endpoint.getLocalPort(), udpEndpoint.getLocalPort()));
        sluice = SluiceProcess.start(
                directory,
                "run",
                "--feed=feed.yaml",
                "--healthz-bind-address=127.0.0.1:0",
                "--metrics-bind-address=off");
        RunIT.awaitReady(sluice);
    }

    @AfterEach
    void stop() throws IOException {
        sluice.close();
        endpoint.close();
        udpEndpoint.close();
    }

    /**
     * Counts the system calls of the event loops per operation.
     *
     * @param perRun operations in one call of {@code operation}
     */
    private Calls count(int perRun, Operation operation) throws IOException, InterruptedException {
        for (int i = 0; i < WARM_UP_TIMES; i += perRun) {
            operation.run();
        }
        Path counts = directory.resolve("counts.txt");
        Path output = directory.resolve("strace.txt");
        List<String> command = new ArrayList<>(List.of("strace", "-c", "-o", counts.toString()));
        List<String> threads = loopThreads();
        threads.forEach(thread -> command.addAll(List.of("-p", thread)));
        Process strace = start(command, output);
        try {
            await().atMost(RunIT.TIMEOUT)
                    .until(() -> !strace.isAlive()
                            || Files.readString(output)
                                            .lines()
                                            .filter(line -> line.contains("attached"))
                                            .count()
                                    == threads.size());
            assumeFalse(
                    Files.readString(output).contains("not permitted"),
                    "ptrace is not permitted: " + Files.readString(output));
            for (int i = 0; i < TIMES; i += perRun) {
                operation.run();
            }
            strace.destroy();
            assertThat(strace.waitFor(10, TimeUnit.SECONDS)).isTrue();
        } finally {
            strace.destroyForcibly();
        }
        Map<String, Double> byName = new TreeMap<>();
        for (String line : Files.readAllLines(counts)) {
            String[] words = line.trim().split("\\s+");
            if (words.length >= 5 && words[3].matches("\\d+") && !words[words.length - 1].equals("total")) {
                byName.put(words[words.length - 1], Double.parseDouble(words[3]) / TIMES);
            }
        }
        assertThat(byName).as("the output of strace").isNotEmpty();
        return new Calls(byName);
    }

    private static Process start(List<String> command, Path output) {
        try {
            return new ProcessBuilder(command)
                    .redirectErrorStream(true)
                    .redirectOutput(output.toFile())
                    .start();
        } catch (IOException e) {
            assumeTrue(false, "strace is not installed: " + e.getMessage());
            throw new AssertionError(e);
        }
    }

    private List<String> loopThreads() throws IOException {
        List<String> threads = new ArrayList<>();
        try (Stream<Path> all = Files.list(Path.of("/proc", String.valueOf(sluice.pid()), "task"))) {
            for (Path thread : all.toList()) {
                if (Files.readString(thread.resolve("comm")).startsWith("sluice-loop-")) {
                    threads.add(thread.getFileName().toString());
                }
            }
        }
        assertThat(threads).isNotEmpty();
        return threads;
    }

    private Socket connect() throws IOException {
        Socket client = new Socket(frontend.getAddress(), frontend.getPort());
        client.setSoTimeout(10_000);
        client.setTcpNoDelay(true);
        return client;
    }

    private void send(Socket from, Socket to) throws IOException {
        from.getOutputStream().write(bytes);
        assertThat(to.getInputStream().readNBytes(bytes, 0, bytes.length)).isEqualTo(bytes.length);
    }

    @Test
    void limitsSystemCallsOfAShortConnection() throws Exception {
        Calls calls = count(CONCURRENT_CONNECTIONS, () -> {
            List<Socket> clients = new ArrayList<>();
            for (int i = 0; i < CONCURRENT_CONNECTIONS; i++) {
                Socket client = connect();
                clients.add(client);
                client.getOutputStream().write(bytes);
            }
            for (int i = 0; i < CONCURRENT_CONNECTIONS; i++) {
                try (Socket server = endpoint.accept()) {
                    assertThat(server.getInputStream().readNBytes(bytes, 0, bytes.length))
                            .isEqualTo(bytes.length);
                    server.getOutputStream().write(bytes);
                }
            }
            for (Socket client : clients) {
                assertThat(client.getInputStream().readAllBytes()).hasSize(bytes.length);
                client.close();
            }
        });
        assertThat(calls.sum()).as(calls::toString).isLessThanOrEqualTo(20);
    }

    @Test
    void limitsSystemCallsOfATcpRoundTrip() throws Exception {
        try (Socket client = connect();
                Socket server = endpoint.accept()) {
            server.setTcpNoDelay(true);
            Calls calls = count(1, () -> {
                send(client, server);
                send(server, client);
            });
            assertThat(calls.sum()).as(calls::toString).isLessThanOrEqualTo(6.5);
        }
    }

    @Test
    void limitsSystemCallsOfAUdpRoundTrip() throws Exception {
        try (DatagramSocket client = new DatagramSocket()) {
            client.connect(frontend);
            client.setSoTimeout(10_000);
            Calls calls = count(1, () -> {
                DatagramPacket packet = new DatagramPacket(bytes, bytes.length);
                client.send(packet);
                udpEndpoint.receive(packet);
                udpEndpoint.send(packet);
                client.receive(packet);
            });
            assertThat(calls.sum()).as(calls::toString).isLessThanOrEqualTo(7.5);
        }
    }
}
