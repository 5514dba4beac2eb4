package io.sluice.forward;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import io.sluice.model.Endpoint;
import io.sluice.model.FrontendAddress;
import io.sluice.model.Protocol;
import io.sluice.model.SessionAffinity;
import io.sluice.stats.Counter;
import io.sluice.stats.Timing;
import java.io.IOException;
import java.io.OutputStream;
import java.net.ConnectException;
import java.net.ServerSocket;
import java.net.Socket;
import java.net.SocketException;
import java.net.StandardSocketOptions;
import java.nio.ByteBuffer;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.Callable;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class TcpForwardingTest {
    private final FrontendAddress address = Lab.freeAddress(Protocol.TCP);

    private static Map<String, Integer> tally(Iterable<String> answers) {
        Map<String, Integer> tally = new HashMap<>();
        answers.forEach(answer -> tally.merge(answer, 1, Integer::sum));
        return tally;
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 2, 4})
    void distributesSequentialConnectionsEvenly(int loops) throws Exception {
        try (Lab lab = new Lab(loops)) {
            lab.apply(Lab.service(
                    "web",
                    address,
                    lab.endpointServer("a").endpoint(),
                    lab.endpointServer("b").endpoint(),
                    lab.endpointServer("c").endpoint()));
            List<String> answers = new ArrayList<>();
            for (int i = 0; i < 30; i++) {
                answers.add(lab.ask(address));
            }
            assertThat(tally(answers)).isEqualTo(Map.of("a", 10, "b", 10, "c", 10));
        }
    }

    @Test
    void forwardsUrgentDataBothWays() throws Exception {
        try (Lab lab = new Lab(1)) {
            FrontendAddress address = Lab.freeAddress(Protocol.TCP);
            EndpointServer server = lab.endpointServer(EndpointServer.Kind.MANUAL);
            lab.apply(Lab.service("web", address, server.endpoint()));
            Socket client = lab.dial(address);
            Socket endpoint = lab.closing(server.next());
            for (int i = 0; i < 3; i++) {
                client.getOutputStream().write("ab".getBytes(StandardCharsets.US_ASCII));
                client.sendUrgentData('c');
                assertThat(endpoint.getInputStream().readNBytes(3)).asString().isEqualTo("abc");
                endpoint.getOutputStream().write("xy".getBytes(StandardCharsets.US_ASCII));
                endpoint.sendUrgentData('z');
                assertThat(client.getInputStream().readNBytes(3)).asString().isEqualTo("xyz");
            }
        }
    }

    @Test
    void distributesConcurrentConnectionsEvenly() throws Exception {
        ExecutorService clients = Executors.newFixedThreadPool(6);
        try (Lab lab = new Lab(3)) {
            lab.apply(Lab.service(
                    "web",
                    address,
                    lab.endpointServer("a").endpoint(),
                    lab.endpointServer("b").endpoint(),
                    lab.endpointServer("c").endpoint()));
            List<Callable<String>> asks = new ArrayList<>();
            for (int i = 0; i < 300; i++) {
                String from = "127.0.0." + (1 + i % 6);
                asks.add(() -> lab.ask(address, from));
            }
            List<String> answers = new ArrayList<>();
            for (Future<String> answer : clients.invokeAll(asks)) {
                answers.add(answer.get());
            }
            assertThat(tally(answers)).isEqualTo(Map.of("a", 100, "b", 100, "c", 100));
        } finally {
            clients.shutdownNow();
        }
    }

    @Test
    void unrelatedChangesKeepTheRoundRobinPosition() throws Exception {
        try (Lab lab = new Lab()) {
            Endpoint a = lab.endpointServer("a").endpoint();
            Endpoint b = lab.endpointServer("b").endpoint();
            Endpoint c = lab.endpointServer("c").endpoint();
            FrontendAddress other = Lab.freeAddress(Protocol.TCP);
            List<String> answers = new ArrayList<>();
            for (int i = 0; i < 9; i++) {
                lab.apply(
                        Lab.service("web", address, a, b, c),
                        i % 2 == 0 ? Lab.service("other", other, a) : Lab.service("other", other, b));
                answers.add(lab.ask(address));
            }
            assertThat(tally(answers)).isEqualTo(Map.of("a", 3, "b", 3, "c", 3));
            assertThat(answers.subList(3, 6)).isEqualTo(answers.subList(0, 3));
        }
    }

    @Test
    void aChangedListContinuesWithTheNextEndpoint() throws Exception {
        try (Lab lab = new Lab()) {
            Endpoint a = lab.endpointServer("a").endpoint();
            Endpoint b = lab.endpointServer("b").endpoint();
            Endpoint c = lab.endpointServer("c").endpoint();
            Endpoint d = lab.endpointServer("d").endpoint();
            lab.apply(Lab.service("web", address, a, b, c));
            String answer = lab.ask(address);
            while (!answer.equals("a")) {
                answer = lab.ask(address);
            }
            lab.apply(Lab.service("web", address, a, b, c, d));
            assertThat(List.of(lab.ask(address), lab.ask(address), lab.ask(address), lab.ask(address)))
                    .containsExactly("b", "c", "d", "a");
        }
    }

    @Test
    void sessionAffinityLastsUntilItsTimeout() throws Exception {
        try (Lab lab = new Lab(3)) {
            SessionAffinity tenSeconds = new SessionAffinity(10);
            Endpoint[] endpoints = {
                lab.endpointServer("a").endpoint(),
                lab.endpointServer("b").endpoint(),
                lab.endpointServer("c").endpoint()
            };
            lab.apply(Lab.service("web", address, tenSeconds, endpoints));
            String first = lab.ask(address, "127.0.0.2");
            for (int i = 0; i < 8; i++) {
                assertThat(lab.ask(address, "127.0.0.2")).isEqualTo(first);
            }
            // Each connection restarts the timeout, so twice nine seconds do not exceed it.
            for (int i = 0; i < 2; i++) {
                lab.advance(Duration.ofSeconds(9));
                assertThat(lab.ask(address, "127.0.0.2")).isEqualTo(first);
            }
            lab.advance(Duration.ofSeconds(10));
            assertThat(lab.ask(address, "127.0.0.2")).isNotEqualTo(first);
            // A changed timeout applies to existing affinity entries.
            String second = lab.ask(address, "127.0.0.2");
            lab.apply(Lab.service("web", address, new SessionAffinity(100), endpoints));
            lab.advance(Duration.ofSeconds(99));
            assertThat(lab.ask(address, "127.0.0.2")).isEqualTo(second);
        }
    }

    @Test
    void sessionAffinityMovesToAnotherEndpointWhenOneDoesNotAnswer() throws Exception {
        try (Lab lab = new Lab()) {
            EndpointServer a = lab.endpointServer("a");
            EndpointServer b = lab.endpointServer("b");
            lab.apply(Lab.service("web", address, new SessionAffinity(100), a.endpoint(), b.endpoint()));
            String first = lab.ask(address);
            (first.equals("a") ? a : b).close();
            String second = first.equals("a") ? "b" : "a";
            for (int i = 0; i < 5; i++) {
                assertThat(lab.ask(address)).isEqualTo(second);
            }
            assertThat(lab.count(Counter.CONNECT_REFUSED)).isEqualTo(1);
        }
    }

    @Test
    void skipsEndpointsThatRefuseWithoutAnErrorForTheClient() throws Exception {
        try (Lab lab = new Lab()) {
            lab.apply(Lab.service(
                    "web",
                    address,
                    Lab.closedPort(),
                    lab.endpointServer("a").endpoint(),
                    Lab.closedPort(),
                    Lab.closedPort()));
            for (int i = 0; i < 12; i++) {
                assertThat(lab.ask(address)).isEqualTo("a");
            }
            assertThat(lab.count(Counter.CONNECT_RETRIED)).isEqualTo(lab.count(Counter.CONNECT_REFUSED));
            assertThat(lab.count(Counter.SESSIONS_FAILED)).isZero();
        }
    }

    @Test
    void skipsAnUnreachableEndpoint() throws Exception {
        try (Lab lab = new Lab()) {
            // The broadcast address of loopback: connect fails as unreachable, and nothing leaves the machine.
            Endpoint unreachable = new Endpoint(Lab.ip("127.255.255.255"), 80);
            lab.apply(Lab.service(
                    "web", address, unreachable, lab.endpointServer("a").endpoint()));
            for (int i = 0; i < 4; i++) {
                assertThat(lab.ask(address)).isEqualTo("a");
            }
            assertThat(lab.count(Counter.CONNECT_UNREACHABLE)).isBetween(3L, 4L);
        }
    }

    @Test
    void skipsASilentEndpointAfterTwoConnectTimeouts() throws Exception {
        try (Lab lab = new Lab()) {
            lab.apply(Lab.service(
                    "web", address, lab.silent(), lab.endpointServer("a").endpoint()));
            // Two of the first four connections try it first; which ones depends on the round-robin position.
            for (int answers = 1; answers <= 4; answers++) {
                Socket socket = lab.dial(address);
                int expected = answers;
                await().until(() -> {
                    lab.advance(Duration.ofMillis(300));
                    return lab.count(Counter.BYTES_TO_CLIENT) == expected;
                });
                assertThat(Lab.read(socket)).isEqualTo("a");
            }
            for (int i = 0; i < 10; i++) {
                assertThat(lab.ask(address)).isEqualTo("a");
            }
            assertThat(lab.count(Counter.CONNECT_TIMEOUT)).isEqualTo(2);
            assertThat(lab.count(Counter.SESSIONS_FAILED)).isZero();
        }
    }

    /** The kernel drops the first SYN to the only endpoint, and the clock is far beyond the connect timeout. */
    @Test
    void waitsForTheOnlyEndpointUntilTheConnectDeadline() throws Exception {
        try (Lab lab = new Lab()) {
            ServerSocket server = lab.fullAcceptQueue();
            lab.apply(Lab.service("web", address, new Endpoint(Lab.ip("127.0.0.1"), server.getLocalPort())));
            Socket client = lab.dial(address);
            await().until(() -> lab.count(Counter.SESSIONS_ACTIVE) == 1);
            lab.advance(Duration.ofSeconds(8));
            client.getOutputStream().write('x');
            server.accept();
            server.accept();
            assertThat(lab.closing(server.accept()).getInputStream().read()).isEqualTo('x');
            assertThat(lab.count(Counter.CONNECT_TIMEOUT)).isZero();
        }
    }

    @Test
    void resetsTheClientAtTheConnectDeadline() throws Exception {
        try (Lab lab = new Lab()) {
            lab.apply(Lab.service("web", address, lab.silent()));
            Socket client = lab.dial(address);
            await().until(() -> lab.count(Counter.SESSIONS_ACTIVE) == 1);
            lab.advance(Duration.ofSeconds(10));
            assertThatThrownBy(() -> Lab.read(client))
                    .isInstanceOf(SocketException.class)
                    .hasMessageContaining("reset");
            assertThat(lab.count(Counter.CONNECT_TIMEOUT)).isEqualTo(1);
            assertThat(lab.count(Counter.SESSIONS_FAILED)).isEqualTo(1);
        }
    }

    @Test
    void resetsTheClientWhenAllEndpointsRefuse() throws Exception {
        try (Lab lab = new Lab()) {
            lab.apply(Lab.service("web", address, Lab.closedPort(), Lab.closedPort()));
            assertThatThrownBy(() -> Lab.read(lab.dial(address)))
                    .isInstanceOf(SocketException.class)
                    .hasMessageContaining("reset");
            assertThat(lab.count(Counter.SESSIONS_FAILED)).isEqualTo(1);
            assertThat(lab.count(Counter.CONNECT_REFUSED)).isEqualTo(2);
            await().until(() -> lab.forwarder.sessions() == 0);
        }
    }

    @Test
    void forwardsLargeTransfersUnchanged() throws Exception {
        try (Lab lab = new Lab()) {
            lab.apply(Lab.service(
                    "echo",
                    address,
                    lab.endpointServer(EndpointServer.Kind.ECHO).endpoint()));
            byte[] sent = Lab.bytes(20 << 20);
            Socket socket = lab.dial(address);
            Thread writer = new Thread(() -> {
                try {
                    socket.getOutputStream().write(sent);
                    socket.shutdownOutput();
                } catch (IOException e) {
                    throw new java.io.UncheckedIOException(e);
                }
            });
            writer.start();
            assertThat(socket.getInputStream().readAllBytes()).isEqualTo(sent);
            writer.join();
            assertThat(lab.count(Counter.BYTES_TO_ENDPOINT)).isEqualTo(sent.length);
            assertThat(lab.count(Counter.BYTES_TO_CLIENT)).isEqualTo(sent.length);
        }
    }

    /** Regression: shutdown(2) failed with ENOTCONN, for which Netty throws an unexpected exception. */
    @Test
    void finOfTheEndpointAndResetOfTheClientInOneRoundOfEvents() throws Exception {
        try (Lab lab = new Lab(1)) {
            EndpointServer endpointServer = lab.endpointServer(EndpointServer.Kind.MANUAL);
            lab.apply(Lab.service("echo", address, endpointServer.endpoint()));
            Socket client = lab.dial(address);
            Socket server = endpointServer.next();
            server.getOutputStream().write(1);
            assertThat(client.getInputStream().read()).isEqualTo(1);
            CountDownLatch both = lab.stopLoop();
            server.close();
            client.setSoLinger(true, 0);
            client.close();
            both.countDown();
            await().until(() -> lab.forwarder.sessions() == 0);
            assertThat(lab.count(Counter.SESSIONS_RESET_BY_CLIENT)).isEqualTo(1);
        }
    }

    /** When the connection was last checked for stalled output. */
    private static long lastCheck(Lab lab) throws Exception {
        Loop loop = lab.forwarder.loops().get(0);
        return loop.executor
                .submit(() -> {
                    TimeoutEntry session = loop.timeouts.unacknowledged.oldest();
                    return session == null ? Long.MIN_VALUE : session.sinceNanos;
                })
                .get();
    }

    /** Bytes that the endpoint does not read must not keep a connection open whose client was reset. */
    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void aResetBehindUnreadBytesEndsTheConnection(boolean readerResumes) throws Exception {
        try (Lab lab = new Lab(1)) {
            EndpointServer endpointServer = lab.endpointServer(EndpointServer.Kind.MANUAL);
            lab.apply(Lab.service("sink", address, endpointServer.endpoint()));
            SocketChannel client = SocketChannel.open(address.address().toSocketAddress(address.port()));
            Socket server = lab.closing(endpointServer.next());
            client.configureBlocking(false);
            ByteBuffer piece = ByteBuffer.allocate(1 << 16);
            await().pollInterval(Duration.ofMillis(50)).until(() -> client.write(piece.clear()) == 0);
            client.setOption(StandardSocketOptions.SO_LINGER, 0);
            client.close();
            Loop loop = lab.forwarder.loops().get(0);
            await().until(() -> loop.executor
                    .submit(() -> !loop.timeouts.halfClosed.isEmpty())
                    .get());
            if (readerResumes) {
                assertThatThrownBy(() -> server.getInputStream().transferTo(OutputStream.nullOutputStream()))
                        .isInstanceOf(SocketException.class);
            } else {
                lab.advance(ForwarderConfig.defaults().halfClosedTimeout());
            }
            await().until(() -> lab.forwarder.sessions() == 0);
            assertThat(lab.forwarder.bufferedBytes()).isZero();
            assertThat(lab.count(Counter.SESSIONS_RESET_BY_CLIENT)).isEqualTo(readerResumes ? 1 : 0);
            assertThat(lab.count(Counter.SESSIONS_TIMED_OUT)).isEqualTo(readerResumes ? 0 : 1);
        }
    }

    @Test
    void aStalledReaderStopsTheSenderWithoutLoss() throws Exception {
        try (Lab lab = new Lab(1)) {
            EndpointServer endpointServer = lab.endpointServer(EndpointServer.Kind.MANUAL);
            lab.apply(Lab.service("sink", address, endpointServer.endpoint()));
            Socket client = lab.dial(address);
            Socket server = lab.closing(endpointServer.next());
            byte[] sent = Lab.bytes(64 << 20);
            Thread writer = new Thread(() -> {
                try {
                    client.getOutputStream().write(sent);
                    client.shutdownOutput();
                } catch (IOException e) {
                    throw new java.io.UncheckedIOException(e);
                }
            });
            writer.start();
            await().pollInterval(Duration.ofMillis(200)).until(new Callable<>() {
                private long last = -1;

                @Override
                public Boolean call() {
                    long now = lab.count(Counter.BYTES_TO_ENDPOINT);
                    boolean still = now == last && now > 0;
                    last = now;
                    return still;
                }
            });
            assertThat(lab.count(Counter.BYTES_TO_ENDPOINT)).isLessThan(sent.length);
            // The endpoint acknowledges every window probe, so the connection is not stalled.
            for (int i = 0; i < 3; i++) {
                long before = lastCheck(lab);
                lab.advance(Duration.ofMinutes(5));
                await().until(() -> lastCheck(lab) > before);
            }
            assertThat(lab.count(Counter.SESSIONS_ACTIVE)).isEqualTo(1);
            assertThat(server.getInputStream().readAllBytes()).isEqualTo(sent);
            writer.join();
        }
    }

    @Test
    void closesThePortWhileThereIsNoEndpoint() throws Exception {
        try (Lab lab = new Lab()) {
            Endpoint a = lab.endpointServer("a").endpoint();
            for (int i = 0; i < 3; i++) {
                lab.apply(Lab.service("web", address));
                assertThatThrownBy(() -> lab.dial(address)).isInstanceOf(ConnectException.class);
                assertThat(lab.status(address).state()).isEqualTo(FrontendStatus.State.ACTIVE);
                assertThat(lab.status(address).reason()).isEqualTo("no endpoint to forward to; the port is closed");
                lab.apply(Lab.service("web", address, a));
                assertThat(lab.ask(address)).isEqualTo("a");
                assertThat(lab.status(address).reason()).isEmpty();
            }
            lab.apply();
            assertThatThrownBy(() -> lab.dial(address)).isInstanceOf(ConnectException.class);
            assertThat(lab.forwarder.frontends()).isEmpty();
            assertThat(lab.changes.get(lab.changes.size() - 1).state()).isEqualTo(FrontendStatus.State.GONE);
        }
    }

    /** The ACK of the handshake is delayed only if the client has sent bytes that can carry it. */
    @Test
    void completesTheHandshakeForASilentClient() throws Exception {
        try (Lab lab = new Lab()) {
            EndpointServer endpointServer = lab.endpointServer(EndpointServer.Kind.MANUAL);
            lab.apply(Lab.service("web", address, endpointServer.endpoint()));
            long start = System.nanoTime();
            for (int i = 0; i < 30; i++) {
                try (Socket client = lab.dial(address);
                        Socket accepted = endpointServer.next()) {
                    accepted.getOutputStream().write('x');
                    assertThat(client.getInputStream().read()).isEqualTo('x');
                }
            }
            // Otherwise the kernel would delay each ACK by 200 ms.
            assertThat(System.nanoTime() - start)
                    .isLessThan(Duration.ofSeconds(5).toNanos());
        }
    }

    @Test
    void anEstablishedConnectionOutlivesItsEndpointAndItsService() throws Exception {
        try (Lab lab = new Lab()) {
            Endpoint echo = lab.endpointServer(EndpointServer.Kind.ECHO).endpoint();
            lab.apply(Lab.service("echo", address, echo));
            Socket client = lab.dial(address);
            client.getOutputStream().write(1);
            assertThat(client.getInputStream().read()).isEqualTo(1);
            lab.apply(Lab.service("echo", address, lab.endpointServer("a").endpoint()));
            client.getOutputStream().write(2);
            assertThat(client.getInputStream().read()).isEqualTo(2);
            lab.apply(Lab.service("echo", address));
            client.getOutputStream().write(3);
            assertThat(client.getInputStream().read()).isEqualTo(3);
            lab.apply();
            client.getOutputStream().write(4);
            assertThat(client.getInputStream().read()).isEqualTo(4);
        }
    }

    @Test
    void addressMovesFromOneServiceToAnother() throws Exception {
        try (Lab lab = new Lab()) {
            lab.apply(Lab.service("one", address, lab.endpointServer("a").endpoint()));
            assertThat(lab.ask(address)).isEqualTo("a");
            lab.apply(Lab.service("two", address, lab.endpointServer("b").endpoint()));
            assertThat(lab.ask(address)).isEqualTo("b");
            assertThat(lab.status(address).service().service()).isEqualTo("two");
        }
    }

    @Test
    void servesATakenPortOnceItIsFree() throws Exception {
        try (Lab lab = new Lab()) {
            EndpointServer otherProcess = new EndpointServer(
                    "squatter", EndpointServer.Kind.NAME, Lab.ip("127.0.0.9").toInetAddress());
            FrontendAddress taken = new FrontendAddress(
                    Protocol.TCP,
                    otherProcess.endpoint().address(),
                    otherProcess.endpoint().port());
            lab.apply(
                    Lab.service("web", taken, lab.endpointServer("a").endpoint()),
                    Lab.service("other", address, lab.endpointServer("b").endpoint()));
            assertThat(lab.status(taken).state()).isEqualTo(FrontendStatus.State.FAILED);
            assertThat(lab.status(taken).failure()).isEqualTo(FrontendStatus.Failure.ADDRESS_IN_USE);
            assertThat(lab.ask(address)).isEqualTo("b");
            otherProcess.close();
            await().until(() -> {
                lab.advance(Duration.ofSeconds(1));
                return lab.status(taken).state() == FrontendStatus.State.ACTIVE;
            });
            assertThat(lab.ask(taken)).isEqualTo("a");
        }
    }

    @Test
    void reportsAnAddressThatIsNotLocal() throws Exception {
        try (Lab lab = new Lab()) {
            FrontendAddress foreign = new FrontendAddress(Protocol.TCP, Lab.ip("192.0.2.1"), 80);
            lab.apply(Lab.service("web", foreign, lab.endpointServer("a").endpoint()));
            assertThat(lab.status(foreign).failure()).isEqualTo(FrontendStatus.Failure.ADDRESS_NOT_LOCAL);
        }
    }

    @Test
    void ipv6FrontendReachesIpv4AndIpv6Endpoints() throws Exception {
        try (Lab lab = new Lab()) {
            EndpointServer six = lab.closing(new EndpointServer(
                    "six", EndpointServer.Kind.NAME, Lab.ip("::1").toInetAddress()));
            FrontendAddress v6 = new FrontendAddress(Protocol.TCP, Lab.ip("::1"), address.port());
            lab.apply(Lab.service(
                    "web", v6, six.endpoint(), lab.endpointServer("four").endpoint()));
            Set<String> answers = new HashSet<>(List.of(lab.ask(v6), lab.ask(v6)));
            assertThat(answers).containsExactlyInAnyOrder("six", "four");
        }
    }

    @Test
    void recordsCountersAndTimings() throws Exception {
        try (Lab lab = new Lab()) {
            lab.apply(Lab.service("web", address, lab.endpointServer("abc").endpoint()));
            lab.ask(address);
            lab.ask(address);
            await().until(() -> lab.count(Counter.SESSIONS_ACTIVE) == 0);
            assertThat(lab.count(Counter.SESSIONS_OPENED)).isEqualTo(2);
            assertThat(lab.count(Counter.BYTES_TO_CLIENT)).isEqualTo(6);
            for (Timing timing : Timing.values()) {
                assertThat(lab.forwarder.stats().total().read(timing).getTotalCount())
                        .as(timing.name())
                        .isEqualTo(2);
            }
            assertThat(lab.forwarder.stats().services().get(0).hasTimes()).isTrue();
        }
    }

    @Test
    void stopAcceptingRefusesNewConnectionsAndDrainWaitsForOpenOnes() throws Exception {
        try (Lab lab = new Lab()) {
            lab.apply(Lab.service(
                    "echo",
                    address,
                    lab.endpointServer(EndpointServer.Kind.ECHO).endpoint()));
            Socket client = lab.dial(address);
            client.getOutputStream().write(1);
            assertThat(client.getInputStream().read()).isEqualTo(1);
            lab.forwarder.stopAccepting();
            assertThatThrownBy(() -> lab.dial(address)).isInstanceOf(ConnectException.class);
            assertThat(lab.forwarder.drain(Duration.ofMillis(50))).isEqualTo(1);
            client.getOutputStream().write(2);
            assertThat(client.getInputStream().read()).isEqualTo(2);
            client.close();
            assertThat(lab.forwarder.drain(Duration.ofSeconds(20))).isZero();
        }
    }

    @Test
    void enablesKeepAliveOnLongLivedConnections() throws Exception {
        try (Lab lab = new Lab(1)) {
            Endpoint echo = lab.endpointServer(EndpointServer.Kind.ECHO).endpoint();
            lab.apply(Lab.service("echo", address, echo));
            Socket idle = lab.dial(address);
            exchange(idle);
            await().until(() -> timersOfConnectionsTo(echo).equals(List.of("00")));
            lab.advance(Duration.ofSeconds(3));
            await().until(() -> timersOfConnectionsTo(echo).equals(List.of("02")));
            Socket busy = lab.dial(address);
            exchange(busy);
            exchange(busy);
            await().until(() -> timersOfConnectionsTo(echo).equals(List.of("02", "02")));
            idle.close();
            busy.close();
        }
    }

    private static void exchange(Socket socket) throws IOException {
        socket.getOutputStream().write(7);
        assertThat(socket.getInputStream().read()).isEqualTo(7);
    }

    /**
     * The kernel timer of each connection to the endpoint: 00 none, 01 retransmission, 02 keep-alive.
     */
    private static List<String> timersOfConnectionsTo(Endpoint endpoint) throws IOException {
        String remote = "0100007F:%04X".formatted(endpoint.port());
        try (Stream<String> lines = Files.lines(Path.of("/proc/net/tcp"))) {
            return lines.map(line -> line.trim().split(" +"))
                    .filter(fields -> fields[2].equals(remote) && fields[3].equals("01"))
                    .map(fields -> fields[5].substring(0, 2))
                    .toList();
        }
    }
}
