package io.sluice.forward;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import io.sluice.forward.ConnectionStatus.State;
import io.sluice.model.Endpoint;
import io.sluice.model.FrontendAddress;
import io.sluice.model.IpAddress;
import io.sluice.model.Protocol;
import io.sluice.stats.Counter;
import java.net.DatagramPacket;
import java.net.DatagramSocket;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;

/** Lists of open connections and flows. */
class OpenConnectionsTest {
    private final FrontendAddress tcp = Lab.freeAddress(Protocol.TCP);

    private static ConnectionFilter filter(
            @Nullable String service, @Nullable IpAddress client, int clientPort, @Nullable Endpoint endpoint) {
        return new ConnectionFilter(
                service == null ? null : "test",
                service,
                null,
                client,
                clientPort,
                endpoint == null ? null : endpoint.address(),
                endpoint == null ? 0 : endpoint.port(),
                null);
    }

    private static List<ConnectionStatus> list(Lab lab, ConnectionFilter filter) {
        return lab.forwarder.connections(filter, null, 1_000).items();
    }

    @Test
    void showsClientEndpointAndBytes() throws Exception {
        try (Lab lab = new Lab()) {
            EndpointServer server = lab.endpointServer(EndpointServer.Kind.MANUAL);
            lab.apply(Lab.service("web", tcp, server.endpoint()));
            Socket client = lab.dial(tcp);
            client.getOutputStream().write(Lab.bytes(100));
            Socket accepted = server.next();
            accepted.getInputStream().readNBytes(100);
            accepted.getOutputStream().write(Lab.bytes(30));
            client.getInputStream().readNBytes(30);
            ConnectionStatus only = list(lab, ConnectionFilter.ALL).get(0);
            assertThat(only.service().serviceName()).isEqualTo("test/web");
            assertThat(only.frontend()).isEqualTo(tcp);
            assertThat(only.client()).isEqualTo(Lab.ip("127.0.0.1"));
            assertThat(only.clientPort()).isEqualTo(client.getLocalPort());
            assertThat(only.endpoint()).isEqualTo(server.endpoint());
            assertThat(only.state()).isEqualTo(State.OPEN);
            assertThat(only.ageNanos()).isPositive();
            assertThat(only.bytesToEndpoint()).isEqualTo(100);
            assertThat(only.bytesToClient()).isEqualTo(30);
            client.shutdownOutput();
            await().untilAsserted(() ->
                    assertThat(list(lab, ConnectionFilter.ALL).get(0).state()).isEqualTo(State.HALF_CLOSED));
            accepted.close();
            await().untilAsserted(
                            () -> assertThat(list(lab, ConnectionFilter.ALL)).isEmpty());
        }
    }

    @Test
    void showsAConnectionThatIsConnecting() throws Exception {
        try (Lab lab = new Lab()) {
            Endpoint silent = lab.silent();
            lab.apply(Lab.service("web", tcp, silent));
            lab.dial(tcp);
            await().untilAsserted(() -> assertThat(list(lab, ConnectionFilter.ALL))
                    .singleElement()
                    .satisfies(only -> {
                        assertThat(only.state()).isEqualTo(State.CONNECTING);
                        assertThat(only.endpoint()).isEqualTo(silent);
                    }));
        }
    }

    @Test
    void filters() throws Exception {
        FrontendAddress other = Lab.freeAddress(Protocol.TCP);
        try (Lab lab = new Lab()) {
            EndpointServer one = lab.endpointServer(EndpointServer.Kind.ECHO);
            EndpointServer two = lab.endpointServer(EndpointServer.Kind.ECHO);
            lab.apply(Lab.service("one", tcp, one.endpoint()), Lab.service("two", other, two.endpoint()));
            Socket first = lab.dial(tcp, "127.0.0.7");
            lab.dial(other);
            lab.dial(other);
            await().until(() -> lab.count(Counter.SESSIONS_ACTIVE) == 3);
            assertThat(list(lab, filter("one", null, 0, null))).hasSize(1);
            assertThat(list(lab, filter("two", null, 0, null))).hasSize(2);
            assertThat(list(lab, filter("three", null, 0, null))).isEmpty();
            assertThat(list(lab, filter(null, Lab.ip("127.0.0.7"), 0, null))).hasSize(1);
            assertThat(list(lab, filter(null, Lab.ip("127.0.0.7"), first.getLocalPort(), null)))
                    .hasSize(1);
            assertThat(list(lab, filter(null, Lab.ip("127.0.0.7"), 1, null))).isEmpty();
            assertThat(list(lab, filter(null, null, 0, two.endpoint()))).hasSize(2);
            ConnectionFilter frontend = new ConnectionFilter(null, null, null, null, 0, null, 0, other);
            assertThat(list(lab, frontend)).hasSize(2);
        }
    }

    /** Every connection that is open all the time is on exactly one page, whatever else opens and closes. */
    @Test
    void pagesContainEveryConnectionOnce() throws Exception {
        try (Lab lab = new Lab(2)) {
            EndpointServer server = lab.endpointServer(EndpointServer.Kind.ECHO);
            lab.apply(Lab.service("web", tcp, server.endpoint()));
            List<Integer> ports = new ArrayList<>();
            List<Socket> shortLived = new ArrayList<>();
            for (int i = 0; i < 600; i++) {
                Socket socket = lab.dial(tcp);
                if (i % 3 == 0) {
                    shortLived.add(socket);
                } else {
                    ports.add(socket.getLocalPort());
                }
            }
            await().until(() -> lab.count(Counter.SESSIONS_ACTIVE) == 600);
            List<Integer> listed = new ArrayList<>();
            Listing.Position next = null;
            do {
                Listing<ConnectionStatus> page = lab.forwarder.connections(ConnectionFilter.ALL, next, 50);
                assertThat(page.items()).hasSizeLessThanOrEqualTo(50);
                page.items().forEach(item -> listed.add(item.clientPort()));
                next = page.next() == null
                        ? null
                        : Listing.Position.parse(page.next().toString());
                shortLived.subList(0, Math.min(10, shortLived.size())).forEach(OpenConnectionsTest::close);
                shortLived = shortLived.subList(Math.min(10, shortLived.size()), shortLived.size());
            } while (next != null);
            assertThat(listed).doesNotHaveDuplicates().containsAll(ports);
        }
    }

    private static void close(Socket socket) {
        try {
            socket.close();
        } catch (java.io.IOException e) {
            throw new java.io.UncheckedIOException(e);
        }
    }

    /** Entries are removed and added between two turns of a walk, among them the one at which the walk has paused. */
    @Test
    void aWalkSurvivesChangesBetweenItsTurns() throws Exception {
        try (Lab lab = new Lab(1)) {
            Loop loop = lab.forwarder.loops().get(0);
            LoopList list = new LoopList();
            List<ListEntry> entries = new ArrayList<>();
            for (int i = 0; i < 1_000; i++) {
                entries.add(new ListEntry() {});
            }
            List<ListEntry> visited = new ArrayList<>();
            CountDownLatch removed = new CountDownLatch(1);
            CompletableFuture<Void> prepared = new CompletableFuture<>();
            loop.executor.execute(() -> {
                entries.forEach(list::add);
                prepared.complete(null);
            });
            prepared.get(10, TimeUnit.SECONDS);
            var walk = LoopWalk.start(loop, list, entry -> {
                visited.add(entry);
                if (visited.size() == 256) {
                    // Runs after this turn and before the next one.
                    loop.executor.execute(() -> {
                        for (int i = 200; i < 400; i++) {
                            list.remove(entries.get(i));
                        }
                        removed.countDown();
                    });
                }
                return true;
            });
            assertThat(removed.await(10, TimeUnit.SECONDS)).isTrue();
            assertThat(walk.await(10, TimeUnit.SECONDS)).isTrue();
            assertThat(visited).hasSize(1_000 - 144).doesNotHaveDuplicates();
            assertThat(visited.subList(256, visited.size())).isEqualTo(entries.subList(400, 1_000));
        }
    }

    /** The loop handles its sockets between two turns. */
    @Test
    void aConnectionIsServedDuringAWalkThatDoesNotEnd() throws Exception {
        try (Lab lab = new Lab(1)) {
            lab.apply(Lab.service(
                    "web", tcp, lab.endpointServer(EndpointServer.Kind.ECHO).endpoint()));
            Socket client = lab.dial(tcp);
            client.getOutputStream().write(1);
            assertThat(client.getInputStream().read()).isEqualTo(1);
            Loop loop = lab.forwarder.loops().get(0);
            LoopList list = new LoopList();
            AtomicBoolean answered = new AtomicBoolean();
            CountDownLatch walking = new CountDownLatch(3);
            CountDownLatch ended = new CountDownLatch(1);
            loop.executor.execute(() -> {
                for (int i = 0; i < 1_000; i++) {
                    list.add(new ListEntry() {});
                }
                walk(loop, list, answered, walking, ended);
            });
            assertThat(walking.await(10, TimeUnit.SECONDS)).isTrue();
            client.getOutputStream().write(2);
            assertThat(client.getInputStream().read()).isEqualTo(2);
            answered.set(true);
            assertThat(ended.await(10, TimeUnit.SECONDS)).isTrue();
        }
    }

    /** Walks over the list again and again until the flag is set. */
    private static void walk(
            Loop loop, LoopList list, AtomicBoolean over, CountDownLatch walking, CountDownLatch ended) {
        walking.countDown();
        LoopWalk.start(loop, list, entry -> true).addListener(done -> {
            if (over.get() || !done.isSuccess()) {
                ended.countDown();
            } else {
                walk(loop, list, over, walking, ended);
            }
        });
    }

    @Test
    void showsFlows() throws Exception {
        FrontendAddress udp = Lab.freeAddress(Protocol.UDP);
        try (Lab lab = new Lab();
                DatagramSocket server = new DatagramSocket(Lab.ip("127.0.0.1").toSocketAddress(0));
                DatagramSocket client = new DatagramSocket(Lab.ip("127.0.0.1").toSocketAddress(0))) {
            Endpoint endpoint = new Endpoint(Lab.ip("127.0.0.1"), server.getLocalPort());
            lab.apply(Lab.service("dns", udp, endpoint));
            InetSocketAddress to = udp.address().toSocketAddress(udp.port());
            client.send(new DatagramPacket(new byte[40], 40, to));
            DatagramPacket request = new DatagramPacket(new byte[100], 100);
            server.receive(request);
            server.send(new DatagramPacket(new byte[70], 70, request.getSocketAddress()));
            client.receive(new DatagramPacket(new byte[100], 100));
            FlowStatus only =
                    lab.forwarder.flows(ConnectionFilter.ALL, null, 10).items().get(0);
            assertThat(only.frontend()).isEqualTo(udp);
            assertThat(only.clientPort()).isEqualTo(client.getLocalPort());
            assertThat(only.endpoint()).isEqualTo(endpoint);
            assertThat(only.datagramsToEndpoint()).isEqualTo(1);
            assertThat(only.datagramsToClient()).isEqualTo(1);
            assertThat(only.bytesToEndpoint()).isEqualTo(40);
            assertThat(only.bytesToClient()).isEqualTo(70);
        }
    }
}
