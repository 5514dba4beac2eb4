package io.sluice.daemon;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assumptions.assumeThat;
import static org.awaitility.Awaitility.await;

import io.sluice.model.IpAddress;
import java.io.IOException;
import java.net.DatagramPacket;
import java.net.DatagramSocket;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.locks.LockSupport;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Tests handovers from an old process to a new one while TCP and UDP clients are active. */
@Tag("end-to-end")
final class HandoverIT {
    private static final String ADDRESS = "127.96.2.1";
    private static final IpAddress ADDRESS_IP = Objects.requireNonNull(IpAddress.parse(ADDRESS));
    private static final int HANDOVERS = 5;
    private static final long CONNECT_EVERY_NANOS = 1_000_000;

    @TempDir
    private Path directory;

    private final List<AutoCloseable> open = new ArrayList<>();
    private final int port = NameServer.freePort(ADDRESS);
    private final int roundRobinPort = NameServer.freePort(ADDRESS);
    private final List<NameServer> servers = new ArrayList<>();
    private final List<DatagramSocket> udpServers = new ArrayList<>();
    private int health;

    HandoverIT() throws IOException {}

    @BeforeEach
    void writeFeed() throws IOException {
        StringBuilder feed = new StringBuilder();
        for (int i = 0; i < 3; i++) {
            servers.add(closing(new NameServer("127.0.0.1", 0, "tcp" + i)));
            udpServers.add(udpServer());
        }
        try (ServerSocket free = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
            health = free.getLocalPort();
        }
        feed.append(service("web", port, "TCP", "ClientIP"));
        feed.append(service("round-robin", roundRobinPort, "TCP", "None"));
        feed.append(service("query", port, "UDP", "None"));
        for (int i = 0; i < 3; i++) {
            feed.append(slice("web", i, servers.get(i).port(), "TCP"));
            feed.append(slice("round-robin", i, servers.get(i).port(), "TCP"));
            feed.append(slice("query", i, udpServers.get(i).getLocalPort(), "UDP"));
        }
        Files.writeString(directory.resolve("feed.yaml"), feed);
    }

    private static String service(String name, int port, String protocol, String affinity) {
        return """
                ---
                apiVersion: v1
                kind: Service
                metadata: {name: %s, namespace: it}
                spec:
                  clusterIP: %s
                  sessionAffinity: %s
                  ports: [{port: %d, protocol: %s}]
                """.formatted(name, ADDRESS, affinity, port, protocol);
    }

    private static String slice(String service, int number, int port, String protocol) {
        return """
                ---
                apiVersion: discovery.k8s.io/v1
                kind: EndpointSlice
                metadata:
                  name: %s-%d
                  namespace: it
                  labels: {kubernetes.io/service-name: %s}
                addressType: IPv4
                ports: [{name: "", port: %d, protocol: %s}]
                endpoints: [{addresses: ["127.0.0.1"], conditions: {ready: true}}]
                """.formatted(service, number, service, port, protocol);
    }

    /** Answers each datagram with its own port and the port of the sender. */
    private DatagramSocket udpServer() throws IOException {
        DatagramSocket socket = closing(new DatagramSocket(0, InetAddress.getLoopbackAddress()));
        Thread thread = new Thread(() -> {
            DatagramPacket packet = new DatagramPacket(new byte[64], 64);
            try {
                while (true) {
                    packet.setLength(64);
                    socket.receive(packet);
                    byte[] answer = (socket.getLocalPort() + " " + packet.getPort()).getBytes(StandardCharsets.UTF_8);
                    socket.send(new DatagramPacket(answer, answer.length, packet.getSocketAddress()));
                }
            } catch (IOException e) {
                assertThat(socket.isClosed()).as(e.toString()).isTrue();
            }
        });
        thread.setDaemon(true);
        thread.start();
        return socket;
    }

    private <T extends AutoCloseable> T closing(T resource) {
        open.add(resource);
        return resource;
    }

    @AfterEach
    void closeAll() throws Exception {
        for (int i = open.size() - 1; i >= 0; i--) {
            open.get(i).close();
        }
    }

    private SluiceProcess start(String... more) throws IOException {
        List<String> args = new ArrayList<>(List.of(
                "run",
                "--healthz-bind-address=127.0.0.1:" + health,
                "--metrics-bind-address=127.0.0.1:0",
                "--handover-socket=handover.sock"));
        args.addAll(List.of(more));
        if (args.stream().noneMatch(arg -> arg.startsWith("--feed="))) {
            args.add("--feed=feed.yaml");
        }
        return closing(SluiceProcess.start(directory, args.toArray(String[]::new)));
    }

    private static void awaitSynced(SluiceProcess sluice) {
        await().atMost(Duration.ofSeconds(30)).until(() -> sluice.err().contains("synced: "));
    }

    private DatagramSocket udpClient() throws IOException {
        DatagramSocket client = closing(new DatagramSocket());
        client.setSoTimeout(5_000);
        client.connect(ADDRESS_IP.toSocketAddress(port));
        return client;
    }

    private static String ask(DatagramSocket client) throws IOException {
        client.send(new DatagramPacket(new byte[] {'?'}, 1));
        DatagramPacket answer = new DatagramPacket(new byte[64], 64);
        client.receive(answer);
        return new String(answer.getData(), 0, answer.getLength(), StandardCharsets.UTF_8);
    }

    /** Connects a thousand times a second until {@link #end} and records failures. */
    private final class ConnectLoop {
        final AtomicLong answered = new AtomicLong();
        final ConcurrentLinkedQueue<String> failures = new ConcurrentLinkedQueue<>();
        private final AtomicBoolean stop = new AtomicBoolean();
        private final Thread thread = new Thread(this::connect, "connect-loop");
        private final int port;

        ConnectLoop(int port) {
            this.port = port;
            open.add(this::end);
            thread.start();
        }

        private void connect() {
            long next = System.nanoTime();
            while (!stop.get()) {
                try {
                    if (NameServer.ask(ADDRESS, port).startsWith("tcp")) {
                        answered.incrementAndGet();
                    } else {
                        failures.add("no response");
                    }
                } catch (IOException e) {
                    failures.add(e.toString());
                }
                next += CONNECT_EVERY_NANOS;
                LockSupport.parkNanos(next - System.nanoTime());
            }
        }

        /** Stops the loop; further calls have no effect. */
        void end() throws InterruptedException {
            stop.set(true);
            thread.join();
        }
    }

    @Test
    @Tag("one-jdk")
    void repeatedHandoversLoseNoConnectionOrFlow() throws Exception {
        SluiceProcess serving = start();
        awaitSynced(serving);
        String endpointBefore = NameServer.ask(ADDRESS, port);
        List<DatagramSocket> clients = List.of(udpClient(), udpClient(), udpClient(), udpClient());
        List<String> flows = new ArrayList<>();
        for (DatagramSocket client : clients) {
            flows.add(ask(client));
        }
        ConnectLoop connectLoop = new ConnectLoop(roundRobinPort);
        for (int i = 0; i < HANDOVERS; i++) {
            SluiceProcess next = start();
            awaitSynced(next);
            assertThat(next.err()).contains("received 3 frontends and 4 UDP flows from the old process");
            assertThat(serving.exitCode()).as(serving.err()).isZero();
            assertThat(serving.err()).contains(" to process " + next.pid() + " in ");
            assertThat(NameServer.ask(ADDRESS, port)).as("affinity").isEqualTo(endpointBefore);
            for (int c = 0; c < clients.size(); c++) {
                assertThat(ask(clients.get(c))).as("UDP flow").isEqualTo(flows.get(c));
            }
            // The new process has the port immediately, since the old one released it before.
            assertThat(next.err()).contains("health on http://127.0.0.1:" + health);
            serving = next;
        }
        connectLoop.end();
        assertThat(connectLoop.failures).isEmpty();
        assertThat(connectLoop.answered.get()).isGreaterThan(500);
        serving.signal("TERM");
        assertThat(serving.exitCode()).isZero();
        assertThat(directory.resolve("handover.sock")).doesNotExist();
    }

    @Test
    void movesAnOpenConnection() throws Exception {
        try (ServerSocket endpoint = new ServerSocket(0, 5, InetAddress.getLoopbackAddress())) {
            Files.writeString(
                    directory.resolve("feed.yaml"),
                    service("web", port, "TCP", "None") + slice("web", 0, endpoint.getLocalPort(), "TCP"));
            SluiceProcess before = start();
            awaitSynced(before);
            try (Socket client = new Socket(ADDRESS, port);
                    Socket server = endpoint.accept()) {
                SluiceProcess serving = before;
                for (int i = 0; i < 3; i++) {
                    SluiceProcess next = start();
                    awaitSynced(next);
                    assertThat(serving.exitCode()).as(serving.err()).isZero();
                    assertThat(serving.err()).contains("moved 1 connection to process " + next.pid() + " in ");
                    assertThat(next.err()).contains("received 1 connection from the old process in ");
                    client.getOutputStream().write('?');
                    assertThat(server.getInputStream().read()).isEqualTo('?');
                    server.getOutputStream().write('!');
                    assertThat(client.getInputStream().read()).isEqualTo('!');
                    serving = next;
                }
            }
        }
    }

    /** A connection that is being established when the listeners are handed over moves once it is established. */
    @Test
    @Tag("one-jdk")
    void movesAConnectionThatIsBeingEstablished() throws Exception {
        try (ServerSocket endpoint = new ServerSocket(0, 1, InetAddress.getLoopbackAddress());
                Socket queued = new Socket(endpoint.getInetAddress(), endpoint.getLocalPort());
                Socket alsoQueued = new Socket(endpoint.getInetAddress(), endpoint.getLocalPort())) {
            assertThat(queued.isConnected() && alsoQueued.isConnected())
                    .as("the accept queue is full")
                    .isTrue();
            Files.writeString(
                    directory.resolve("feed.yaml"),
                    service("web", port, "TCP", "None") + slice("web", 0, endpoint.getLocalPort(), "TCP"));
            SluiceProcess before = start();
            awaitSynced(before);
            try (Socket client = new Socket(ADDRESS, port)) {
                SluiceProcess after = start();
                awaitSynced(after);
                endpoint.accept().close();
                endpoint.accept().close();
                try (Socket server = endpoint.accept()) {
                    assertThat(before.exitCode()).as(before.err()).isZero();
                    client.getOutputStream().write('?');
                    assertThat(server.getInputStream().read()).isEqualTo('?');
                }
                assertThat(after.err()).contains("received 1 connection from the old process");
            }
        }
    }

    @Test
    @Tag("one-jdk")
    void waitsForSigtermAfterAHandoverInAPod() throws Exception {
        SluiceProcess before = start("--exit-after-handover=false");
        awaitSynced(before);
        SluiceProcess after = start("--exit-after-handover=false");
        awaitSynced(after);
        await().atMost(Duration.ofSeconds(30)).until(() -> before.err().contains("waiting for SIGTERM"));
        assertThat(before.isAlive()).isTrue();
        assertThat(NameServer.ask(ADDRESS, port)).startsWith("tcp");
        before.signal("TERM");
        assertThat(before.exitCode()).isZero();
        after.signal("TERM");
        assertThat(after.exitCode()).isZero();
    }

    /** As in a DaemonSet, whose pods have a volume each for the marker, and whose kubelet restarts containers. */
    @Test
    @Tag("one-jdk")
    void aRestartedContainerStandsByUntilTheNewPodIsGone() throws Exception {
        String[] oldPod = {"--exit-after-handover=false", "--handover-marker=old-pod"};
        SluiceProcess before = start(oldPod);
        awaitSynced(before);
        SluiceProcess after = start("--exit-after-handover=false", "--handover-marker=new-pod");
        awaitSynced(after);
        assertThat(directory.resolve("old-pod")).exists();
        before.signal("KILL");
        assertThat(before.exitCode()).isNotZero();

        SluiceProcess restarted = start(oldPod);
        await().atMost(Duration.ofSeconds(30)).until(() -> restarted.err().contains("standing by: 'old-pod' shows"));
        assertThat(NameServer.ask(ADDRESS, port)).startsWith("tcp");
        assertThat(after.err()).doesNotContain("handed over ");
        assertThat(directory.resolve("new-pod")).doesNotExist();

        after.signal("KILL");
        awaitSynced(restarted);
        assertThat(restarted.err()).contains("no process has listened on 'handover.sock' for 5 s; starting");
        assertThat(NameServer.ask(ADDRESS, port)).startsWith("tcp");
        assertThat(directory.resolve("old-pod")).doesNotExist();
    }

    @Test
    @Tag("one-jdk")
    void anOldProcessExitsIfTheNewPodIsGone() throws Exception {
        SluiceProcess before = start("--exit-after-handover=false", "--handover-marker=old-pod");
        awaitSynced(before);
        SluiceProcess after = start("--exit-after-handover=false", "--handover-marker=new-pod");
        awaitSynced(after);
        await().atMost(Duration.ofSeconds(30)).until(() -> before.err().contains("waiting for SIGTERM"));
        after.signal("KILL");
        assertThat(before.exitCode()).isEqualTo(1);
        assertThat(before.err()).contains("the new process no longer listens on the handover socket; exiting");
        assertThat(directory.resolve("old-pod"))
                .as("the next process starts at once")
                .doesNotExist();
    }

    @Test
    void keepsServingWhenANewProcessOfVersion2DiesDuringTheHandover() throws Exception {
        SluiceProcess serving = start();
        awaitSynced(serving);
        DatagramSocket client = udpClient();
        String flow = ask(client);
        Path pipe = directory.resolve("handover.sock.4711");
        ConnectLoop connectLoop = new ConnectLoop(roundRobinPort);
        try (ServerSocketChannel listening = ServerSocketChannel.open(StandardProtocolFamily.UNIX)) {
            listening.bind(UnixDomainSocketAddress.of(pipe));
            try (SocketChannel newProcess =
                    SocketChannel.open(UnixDomainSocketAddress.of(directory.resolve("handover.sock")))) {
                newProcess.write(ByteBuffer.wrap(
                        ("sluice-hand-over-2 4711 none " + pipe + "\n").getBytes(StandardCharsets.UTF_8)));
                // Read some of the transferred state, then close.
                newProcess.read(ByteBuffer.allocate(10));
            }
            await().until(() -> serving.err().contains("handover to process 4711 failed; continuing to serve"));
            assertThat(ask(client)).isEqualTo(flow);
            long answered = connectLoop.answered.get();
            await().until(() -> connectLoop.answered.get() > answered + 100);
            connectLoop.end();
            assertThat(connectLoop.failures).isEmpty();
        }
    }

    @Test
    @Tag("one-jdk")
    void handsOverDespiteSilentAndInvalidPeers() throws Exception {
        SluiceProcess serving = start();
        awaitSynced(serving);
        UnixDomainSocketAddress socket = UnixDomainSocketAddress.of(directory.resolve("handover.sock"));
        try (SocketChannel silent = SocketChannel.open(socket);
                SocketChannel newer = SocketChannel.open(socket);
                SocketChannel invalid = SocketChannel.open(socket)) {
            newer.write(ByteBuffer.wrap("sluice-hand-over-99 1 x\n".getBytes(StandardCharsets.UTF_8)));
            invalid.write(ByteBuffer.wrap("sluice-hand-over-2 1 none a\0b\n".getBytes(StandardCharsets.UTF_8)));
            SluiceProcess next = start();
            awaitSynced(next);
            assertThat(serving.exitCode()).isZero();
            assertThat(serving.err())
                    .contains("the peer sent a control character")
                    .contains("received 'sluice-hand-over-99' instead of 'sluice-hand-over-N' with N from 2 to 4")
                    .contains(" to process " + next.pid() + " in ");
            assertThat(silent.isOpen()).isTrue();
        }
    }

    @Test
    @Tag("one-jdk")
    void startsColdWhenTheOldProcessSpeaksAnotherVersion() throws Exception {
        try (ServerSocketChannel oldProcess = ServerSocketChannel.open(StandardProtocolFamily.UNIX)) {
            oldProcess.bind(UnixDomainSocketAddress.of(directory.resolve("handover.sock")));
            Thread answering = new Thread(() -> {
                try (SocketChannel check = oldProcess.accept()) {
                    assertThat(check.isOpen()).isTrue();
                    for (int attempt = 1; attempt <= 5; attempt++) {
                        answer(oldProcess, "no\n");
                    }
                } catch (IOException e) {
                    throw new AssertionError(e);
                }
            });
            answering.start();
            SluiceProcess sluice = start();
            awaitSynced(sluice);
            answering.join();
            assertThat(sluice.err()).contains("(cold start)");
            assertThat(NameServer.ask(ADDRESS, port)).startsWith("tcp");
        }
    }

    private static void answer(ServerSocketChannel server, String text) throws IOException {
        try (SocketChannel newProcess = server.accept()) {
            newProcess.read(ByteBuffer.allocate(1000));
            newProcess.write(ByteBuffer.wrap(text.getBytes(StandardCharsets.UTF_8)));
        }
    }

    /** Starts a new process. Busy-waits until it receives the state of the old one, to act in the middle of the handover. */
    private SluiceProcess startAndAwaitTheTransfer() throws IOException {
        SluiceProcess next = startWithAnEmptyFeed();
        fillTheFeed();
        while (!next.err().contains(" from the old process")) {
            Thread.onSpinWait();
        }
        return next;
    }

    private SluiceProcess startWithAnEmptyFeed() throws IOException {
        Files.createDirectory(directory.resolve("empty"));
        SluiceProcess next = start("--feed=empty");
        await().until(() -> next.err().contains("empty' yet; the old process continues to serve"));
        return next;
    }

    private void fillTheFeed() throws IOException {
        Files.copy(directory.resolve("feed.yaml"), directory.resolve("empty/feed.yaml"));
    }

    /**
     * Imitates an old process of protocol version 2, which closes the connection before it confirms and keeps
     * listening.
     */
    @Test
    void endsWithoutAConfirmationFromTheOldProcess() throws Exception {
        Path path = directory.resolve("handover.sock");
        try (ServerSocketChannel oldProcess = ServerSocketChannel.open(StandardProtocolFamily.UNIX)) {
            oldProcess.bind(UnixDomainSocketAddress.of(path));
            SluiceProcess next = start();
            oldProcess.accept().close();
            // Supports neither version 4 nor version 3.
            answer(oldProcess, "");
            answer(oldProcess, "");
            try (SocketChannel newProcess = oldProcess.accept()) {
                ByteBuffer hello = ByteBuffer.allocate(1000);
                newProcess.read(hello);
                String pipe = new String(hello.array(), 0, hello.position(), StandardCharsets.UTF_8).split("\\s")[3];
                newProcess.write(
                        ByteBuffer.wrap("{\"frontends\":[],\"services\":[]}".getBytes(StandardCharsets.UTF_8)));
                SocketChannel.open(UnixDomainSocketAddress.of(pipe)).close();
                newProcess.read(hello.clear());
            }
            assertThat(next.exitCode()).isEqualTo(1);
            assertThat(next.err())
                    .contains("exiting, and the old process continues to serve")
                    .doesNotContain("synced");
            assertThat(path).exists();
        }
    }

    @Test
    @Tag("one-jdk")
    void waitsWithAnEmptyFeedBeforeItTakesOver() throws Exception {
        SluiceProcess serving = start();
        awaitSynced(serving);
        SluiceProcess next = startWithAnEmptyFeed();
        assertThat(NameServer.ask(ADDRESS, port)).startsWith("tcp");
        assertThat(next.err()).doesNotContain("synced: ");
        fillTheFeed();
        awaitSynced(next);
        assertThat(serving.exitCode()).isZero();
        assertThat(NameServer.ask(ADDRESS, port)).startsWith("tcp");
    }

    @Test
    @Tag("one-jdk")
    void keepsServingWhenTheNewProcessStalls() throws Exception {
        SluiceProcess serving = start();
        awaitSynced(serving);
        SluiceProcess next = startAndAwaitTheTransfer();
        next.signal("STOP");
        await().atMost(Duration.ofSeconds(30))
                .until(() -> serving.err().contains("continuing to serve: the peer took too long")
                        || serving.err().contains("INFO  handed over "));
        next.signal("CONT");
        if (serving.err().contains("INFO  handed over ")) {
            // The handover completed before the new process stopped.
            assertThat(serving.exitCode()).isZero();
        } else {
            assertThat(next.exitCode()).isEqualTo(1);
            assertThat(next.err()).contains("exiting, and the old process continues to serve");
            assertThat(directory.resolve("handover.sock")).exists();
        }
        assertThat(NameServer.ask(ADDRESS, port)).startsWith("tcp");
    }

    /** The step of the handover at which the new process is killed varies. */
    @Test
    @Tag("one-jdk")
    void losesNothingWhenTheNewProcessIsKilled() throws Exception {
        SluiceProcess serving = start();
        awaitSynced(serving);
        DatagramSocket client = udpClient();
        String flow = ask(client);
        ConnectLoop connectLoop = new ConnectLoop(roundRobinPort);
        SluiceProcess next = startAndAwaitTheTransfer();
        next.signal("KILL");
        await().atMost(Duration.ofSeconds(30))
                .until(() -> serving.err().contains("; continuing to serve: ")
                        || serving.err().contains("INFO  handed over "));
        if (serving.err().contains("INFO  handed over ")) {
            // The handover completed before the new process was killed, so its connections and flows ended with it.
            connectLoop.end();
            return;
        }
        assertThat(ask(client)).isEqualTo(flow);
        long answered = connectLoop.answered.get();
        await().until(() -> connectLoop.answered.get() > answered + 100);
        connectLoop.end();
        assertThat(connectLoop.failures).isEmpty();
        SluiceProcess another = start();
        awaitSynced(another);
        assertThat(ask(client)).isEqualTo(flow);
    }

    @Test
    void losesNothingWhenTheOldProcessIsKilledAfterTheTransfer() throws Exception {
        SluiceProcess serving = start();
        awaitSynced(serving);
        DatagramSocket client = udpClient();
        String flow = ask(client);
        SluiceProcess next = startAndAwaitTheTransfer();
        serving.signal("KILL");
        awaitSynced(next);
        assertThat(ask(client)).isEqualTo(flow);
        assertThat(NameServer.ask(ADDRESS, port)).startsWith("tcp");
        assertThat(next.err()).doesNotContain("cold start");
    }

    @Test
    @Tag("one-jdk")
    void doesNotTakeOverFromAProcessOfAnotherUser() throws Exception {
        assumeThat(Files.getAttribute(directory, "unix:uid"))
                .as("needs root to start a process of another user")
                .isEqualTo(0);
        Files.setPosixFilePermissions(directory, PosixFilePermissions.fromString("rwxrwxrwx"));
        // The checkout may be in a directory that other users cannot enter.
        Path home = directory.resolve("sluice");
        assertThat(new ProcessBuilder("cp", "-r", SluiceProcess.HOME.toString(), home.toString())
                        .start()
                        .waitFor())
                .isZero();
        Path listening = directory.resolve("handover.sock");
        Process otherUser = new ProcessBuilder(
                        "setpriv",
                        "--reuid=65534",
                        "--regid=65534",
                        "--clear-groups",
                        home.resolve("bin/sluice").toString(),
                        "run",
                        "--healthz-bind-address=",
                        "--metrics-bind-address=",
                        "--handover-socket=" + listening,
                        "--feed=" + directory.resolve("feed.yaml"))
                .redirectErrorStream(true)
                .redirectOutput(directory.resolve("other-user.txt").toFile())
                .start();
        try {
            await().atMost(Duration.ofSeconds(30)).until(() -> Files.exists(listening));
            SluiceProcess sluice = start();
            awaitSynced(sluice);
            assertThat(sluice.err())
                    .contains("it runs as user ID 65534; only root and this process's own user are trusted")
                    .doesNotContainPattern(" from the old process");
            assertThat(otherUser.isAlive()).isTrue();
            assertThat(Files.getAttribute(listening, "unix:uid"))
                    .as("the socket belongs to the new process")
                    .isEqualTo(0);
        } finally {
            otherUser.destroyForcibly();
        }
    }

    @Test
    void failsIfTheSocketPathIsAnotherFile() throws Exception {
        Path file = Files.writeString(directory.resolve("handover.sock"), "something");
        SluiceProcess sluice = start();
        assertThat(sluice.exitCode()).isEqualTo(1);
        assertThat(sluice.err()).contains("handover.sock' exists and is not a socket");
        assertThat(file).hasContent("something");
    }

    @Test
    void doesNotRemoveTheSocketOfAnotherProcess() throws Exception {
        SluiceProcess first = start();
        awaitSynced(first);
        Path socket = directory.resolve("handover.sock");
        Files.delete(socket);
        try (ServerSocketChannel other = ServerSocketChannel.open(StandardProtocolFamily.UNIX)) {
            other.bind(UnixDomainSocketAddress.of(socket));
            first.signal("TERM");
            assertThat(first.exitCode()).isZero();
            assertThat(socket).exists();
        }
    }

    @Test
    @Tag("one-jdk")
    void replacesASocketLeftByAKilledProcess() throws Exception {
        SluiceProcess killed = start();
        awaitSynced(killed);
        killed.signal("KILL");
        assertThat(killed.exitCode()).isNotZero();
        SluiceProcess next = start();
        awaitSynced(next);
        assertThat(NameServer.ask(ADDRESS, port)).startsWith("tcp");
        assertThat(next.err()).doesNotContain("cold start");
    }
}
