package io.sluice.socketlb;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import io.sluice.TestShell;
import io.sluice.daemon.NeedsRoot;
import io.sluice.model.Endpoint;
import io.sluice.model.Family;
import io.sluice.model.Frontend;
import io.sluice.model.FrontendAddress;
import io.sluice.model.Protocol;
import io.sluice.model.Route;
import io.sluice.model.ServicePort;
import io.sluice.model.ServicePortName;
import io.sluice.model.ServiceSnapshot;
import io.sluice.model.SessionAffinity;
import io.sluice.socket.InetSocket;
import io.sluice.socketlb.ForwarderView.Traffic;
import io.sluice.socketlb.SocketLbOptions.Mode;
import io.sluice.thread.Supervisor;
import java.io.IOException;
import java.net.ConnectException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Real BPF programs in a cgroup of the test's own, with real connections on loopback. */
@NeedsRoot
final class SocketLoadBalancerTest {
    private static final ServicePortName WEB = new ServicePortName("shop", "web", "http", Protocol.TCP);
    private static final FrontendAddress FRONTEND = BpfLab.frontend("127.9.0.1", 80);

    @SuppressWarnings("NullAway.Init") // made before each test
    private BpfLab lab;

    private final FakeForwarder forwarder = new FakeForwarder();
    private final Supervisor supervisor = new Supervisor();
    private final List<AutoCloseable> toClose = new ArrayList<>();

    @BeforeEach
    void enter(@TempDir Path directory) throws IOException {
        lab = new BpfLab(directory);
        lab.enter();
    }

    @AfterEach
    void leave() throws Exception {
        for (AutoCloseable each : toClose) {
            each.close();
        }
        lab.close();
    }

    private SocketLoadBalancer start() {
        return open(0);
    }

    private SocketLoadBalancer open(int maxEndpoints) {
        SocketLoadBalancer balancer =
                SocketLoadBalancer.open(lab.options(), (port, frontend) -> "", forwarder, Runnable::run, maxEndpoints);
        balancer.start(supervisor);
        toClose.add(balancer);
        return balancer;
    }

    private Endpoint serve() throws IOException {
        return serve(0);
    }

    private Endpoint serve(int port) throws IOException {
        TestEndpoint server = new TestEndpoint(port);
        toClose.add(server);
        return server.endpoint();
    }

    private static ServiceSnapshot snapshot(int affinitySeconds, Endpoint... endpoints) {
        return ServiceSnapshot.of(servicePort(FRONTEND, affinitySeconds, endpoints));
    }

    private static ServicePort servicePort(FrontendAddress address, int affinitySeconds, Endpoint... endpoints) {
        Frontend frontend = Frontend.of(address, Route.forward(List.of(endpoints), Route.Source.CLIENT));
        return new ServicePort(WEB, new SessionAffinity(affinitySeconds), Set.of(), List.of(frontend));
    }

    private static int connect() throws IOException {
        return connect(FRONTEND);
    }

    /** Connects to a frontend and returns the port of the endpoint. */
    private static int connect(FrontendAddress to) throws IOException {
        try (Socket socket = new Socket()) {
            socket.connect(to.address().toSocketAddress(to.port()), 5_000);
            return TestEndpoint.readPort(socket);
        }
    }

    /** Connects several times and returns the ports of the endpoints. */
    private static List<Integer> connect(int times) throws IOException {
        List<Integer> ports = new ArrayList<>();
        for (int i = 0; i < times; i++) {
            ports.add(connect());
        }
        return ports;
    }

    @Test
    void choosesEndpointsInTurn() throws IOException {
        Endpoint a = serve();
        Endpoint b = serve();
        Endpoint c = serve();
        SocketLoadBalancer balancer = start();
        balancer.apply(snapshot(0, a, b, c));
        assertThat(connect(4)).containsExactly(a.port(), b.port(), c.port(), a.port());
        // The next one is c, because b is gone.
        balancer.apply(snapshot(0, c, a));
        assertThat(connect(3)).containsExactly(c.port(), a.port(), c.port());
        Endpoint d = serve();
        balancer.apply(snapshot(0, d, c, a));
        assertThat(connect(3)).containsExactly(a.port(), d.port(), c.port());
    }

    @Test
    void showsTheServiceAsPeerAndTheEndpointInTheKernel() throws IOException {
        Endpoint a = serve();
        start().apply(snapshot(0, a));
        InetSocket socket = TestSockets.connect(FRONTEND);
        // The peer that getpeername(2) returns, also for a socket of the family AF_INET.
        assertThat(socket.remoteAddress()).isEqualTo(FRONTEND.address().toSocketAddress(80));
        assertThat(TestShell.sh("ss -Htn sport = :" + socket.localAddress().getPort()))
                .contains(":" + a.port())
                .doesNotContain("127.9.0.1");
        socket.close();
    }

    @Test
    void keepsAClientOnItsEndpoint() throws IOException {
        Endpoint a = serve();
        Endpoint b = serve();
        SocketLoadBalancer balancer = start();
        balancer.apply(snapshot(3, a, b));
        assertThat(connect(3)).containsOnly(a.port());
        List<SocketAffinity> entries = new ArrayList<>();
        balancer.affinity(entries::add);
        assertThat(entries).singleElement().satisfies(entry -> {
            assertThat(entry.service()).isEqualTo(WEB);
            assertThat(entry.client()).isEqualTo(BpfLab.loopback(Family.IPV4));
            assertThat(entry.endpoint()).isEqualTo(a);
            assertThat(entry.idleNanos()).isBetween(0L, 60_000_000_000L);
        });
        // A change keeps the client on its endpoint.
        Endpoint c = serve();
        balancer.apply(snapshot(3, c, b, a));
        assertThat(connect(3)).containsOnly(a.port());
        balancer.apply(snapshot(3, c, b));
        int next = connect();
        assertThat(next).isNotEqualTo(a.port());
        assertThat(connect(3)).containsOnly(next);
        // The entry expires three seconds after the last connection.
        await().pollDelay(3_100, TimeUnit.MILLISECONDS).until(() -> connect() != next);
    }

    @Test
    void servesIpv6AndChangesOfOneFamilyOnly() throws IOException {
        FrontendAddress v6 = BpfLab.frontend("::1", 81);
        TestEndpoint server = new TestEndpoint(0, "::1");
        toClose.add(server);
        start().apply(ServiceSnapshot.of(servicePort(v6, 0, server.endpoint())));
        assertThat(connect(v6)).isEqualTo(server.endpoint().port());
        InetSocket socket = TestSockets.connect(v6);
        assertThat(socket.remoteAddress()).isEqualTo(v6.address().toSocketAddress(81));
        socket.close();
    }

    @Test
    void leavesOtherConnectionsAlone() throws IOException {
        Endpoint a = serve();
        SocketLoadBalancer balancer = start();
        balancer.apply(snapshot(0, a));
        assertThat(connect(BpfLab.frontend("127.0.0.1", a.port()))).isEqualTo(a.port());
        balancer.apply(ServiceSnapshot.empty());
        assertThatThrownBy(() -> connect()).isInstanceOf(ConnectException.class);
        balancer.apply(snapshot(0, a));
        assertThat(connect()).isEqualTo(a.port());
        balancer.close();
        assertThatThrownBy(() -> connect()).isInstanceOf(ConnectException.class);
        assertThat(lab.pins()).doesNotExist();
    }

    @Test
    void anotherProcessAdoptsProgramsAndMaps() throws IOException {
        Endpoint a = serve();
        Endpoint b = serve();
        SocketLoadBalancer killed = start();
        killed.apply(snapshot(3_600, a, b));
        assertThat(connect()).isEqualTo(a.port());
        killed.end(true);
        // Without a process, connections go on.
        assertThat(connect(2)).containsOnly(a.port());
        String links = lab.links();
        SocketLoadBalancer next = start();
        next.apply(snapshot(3_600, b, a));
        assertThat(lab.links()).isEqualTo(links).isNotEmpty();
        assertThat(connect(2)).containsOnly(a.port());
        next.apply(snapshot(0, b, a));
        assertThat(new HashSet<>(connect(2))).containsExactlyInAnyOrder(a.port(), b.port());
        next.close();
        assertThat(lab.links()).isEmpty();
    }

    @Test
    void passesOverEndpointsOutOfUse() throws IOException {
        Endpoint a = serve();
        Endpoint b = serve();
        SocketLoadBalancer balancer = start();
        balancer.apply(snapshot(0, a, b));
        forwarder.outOfUse.add(a);
        balancer.changed(WEB);
        await().ignoreExceptionsInstanceOf(ConnectException.class)
                .untilAsserted(() -> assertThat(connect(2)).containsOnly(b.port()));
        await().untilAsserted(() -> assertThat(forwarder.tried).isNotEmpty());
        forwarder.outOfUse.add(b);
        balancer.changed(WEB);
        await().untilAsserted(() -> assertThatThrownBy(() -> connect()).isInstanceOf(ConnectException.class));
        forwarder.outOfUse.clear();
        balancer.changed(WEB);
        await().ignoreExceptionsInstanceOf(ConnectException.class)
                .untilAsserted(() -> assertThat(connect(2)).containsOnly(a.port(), b.port()));
    }

    @Test
    void leavesAddressesOfTheNodeToItsProcesses() throws IOException {
        Endpoint a = serve();
        SocketLoadBalancer balancer = start();
        balancer.apply(snapshot(0, a));
        forwarder.nodeAddresses = Set.of(FRONTEND.address());
        await().untilAsserted(() -> assertThatThrownBy(() -> connect()).isInstanceOf(ConnectException.class));
        forwarder.nodeAddresses = Set.of();
        await().ignoreExceptionsInstanceOf(ConnectException.class)
                .untilAsserted(() -> assertThat(connect()).isEqualTo(a.port()));
    }

    @Test
    void reportsOutcomes() throws IOException {
        TestEndpoint server = new TestEndpoint(0);
        Endpoint a = server.endpoint();
        SocketLoadBalancer balancer = start();
        balancer.apply(snapshot(0, a));
        connect();
        await().untilAsserted(() -> assertThat(forwarder.traffic(WEB, a)).isEqualTo(new Traffic(1, 0, 0, 0)));
        server.close();
        assertThatThrownBy(() -> connect()).isInstanceOf(ConnectException.class);
        await().untilAsserted(() -> assertThat(forwarder.outcomes).containsExactly("refused " + a));
        toClose.add(new TestEndpoint(a.port()));
        try (Socket socket = new Socket()) {
            socket.connect(FRONTEND.address().toSocketAddress(80));
            TestEndpoint.readPort(socket);
            await().untilAsserted(
                            () -> assertThat(forwarder.outcomes).containsExactly("refused " + a, "answered " + a));
            await().untilAsserted(() -> assertThat(forwarder.traffic(WEB, a)).isEqualTo(new Traffic(2, 1, 1, 0)));
            List<SocketConnection> open = new ArrayList<>();
            balancer.connections(open::add);
            assertThat(open).singleElement().satisfies(connection -> {
                assertThat(connection.service()).isEqualTo(WEB);
                assertThat(connection.frontend()).isEqualTo(FRONTEND);
                assertThat(connection.endpoint()).isEqualTo(a);
                assertThat(connection.clientPort()).isEqualTo(socket.getLocalPort());
                assertThat(System.nanoTime() - connection.sinceNanos()).isBetween(0L, 60_000_000_000L);
            });
        }
        await().untilAsserted(() -> assertThat(forwarder.traffic(WEB, a)).isEqualTo(new Traffic(2, 0, 1, 0)));
    }

    /** Its connections would otherwise stay counted as open for ever. */
    @Test
    void countsTheEndOfConnectionsWhoseFrontendHasLeftTheMaps() throws IOException {
        Endpoint a = serve();
        SocketLoadBalancer balancer = start();
        balancer.apply(snapshot(0, a));
        try (Socket socket = new Socket()) {
            socket.connect(FRONTEND.address().toSocketAddress(80));
            TestEndpoint.readPort(socket);
            await().untilAsserted(() -> assertThat(forwarder.traffic(WEB, a)).isEqualTo(new Traffic(1, 1, 0, 0)));
            forwarder.outOfUse.add(a);
            balancer.changed(WEB);
            await().untilAsserted(() -> assertThatThrownBy(() -> connect()).isInstanceOf(ConnectException.class));
        }
        await().untilAsserted(() -> assertThat(forwarder.traffic(WEB, a)).isEqualTo(new Traffic(1, 0, 0, 0)));
    }

    @Test
    void aServicePortThatGetsAFrontendGetsItsOpenConnections() throws IOException {
        Endpoint a = serve();
        SocketLoadBalancer balancer = start();
        balancer.apply(snapshot(0, a));
        ServicePortName renamed = new ServicePortName("shop", "web", "other", Protocol.TCP);
        ServicePort before = servicePort(FRONTEND, 0, a);
        try (Socket socket = new Socket()) {
            socket.connect(FRONTEND.address().toSocketAddress(80));
            TestEndpoint.readPort(socket);
            await().untilAsserted(() -> assertThat(forwarder.traffic(WEB, a)).isEqualTo(new Traffic(1, 1, 0, 0)));
            balancer.apply(
                    ServiceSnapshot.of(new ServicePort(renamed, before.affinity(), Set.of(), before.frontends())));
            await().untilAsserted(
                            () -> assertThat(forwarder.traffic(renamed, a)).isEqualTo(new Traffic(0, 1, 0, 0)));
        }
        await().untilAsserted(() -> assertThat(forwarder.traffic(renamed, a)).isEqualTo(new Traffic(0, 0, 0, 0)));
    }

    @Test
    void leavesProgramsOfOthersOnTheSameHooksAlone() throws IOException {
        Endpoint a = serve();
        Endpoint b = serve();
        FrontendAddress other = BpfLab.frontend("127.9.0.2", 80);
        SocketLoadBalancer balancer = start();
        balancer.apply(snapshot(0, a));
        // The same programs, but with maps and links of their own.
        SocketLbOptions options =
                new SocketLbOptions(Mode.REQUIRED, lab.cgroup, lab.pins().resolveSibling("others"));
        SocketLoadBalancer others =
                SocketLoadBalancer.open(options, (port, frontend) -> "", new FakeForwarder(), Runnable::run, 0);
        toClose.add(others);
        others.apply(ServiceSnapshot.of(servicePort(other, 0, b)));
        assertThat(connect()).isEqualTo(a.port());
        assertThat(connect(other)).isEqualTo(b.port());
        balancer.close();
        assertThatThrownBy(() -> connect()).isInstanceOf(ConnectException.class);
        assertThat(connect(other)).isEqualTo(b.port());
    }

    /** Such as a process that waits for a handover, or that is started twice by mistake. */
    @Test
    void aProcessThatNeverServedRemovesNothing() throws IOException {
        Endpoint a = serve();
        start().apply(snapshot(0, a));
        String links = lab.links();
        SocketLoadBalancer waiting = start();
        waiting.close();
        assertThat(lab.links()).isEqualTo(links);
        assertThat(connect()).isEqualTo(a.port());
    }

    /** The waiting process has opened the maps before the other one removed their pins. */
    @Test
    void pinsMapsAgainThatAnotherProcessHasRemoved() throws IOException {
        Endpoint a = serve();
        SocketLoadBalancer serving = start();
        serving.apply(snapshot(0, a));
        SocketLoadBalancer waiting = start();
        serving.close();
        waiting.apply(snapshot(0, a));
        waiting.end(true);
        SocketLoadBalancer next = start();
        assertThat(connect()).isEqualTo(a.port());
        next.apply(snapshot(0, a));
        assertThat(connect()).isEqualTo(a.port());
    }

    @Test
    void asksWhyAConnectionEndedBeforeAnAnswer() throws IOException {
        try (ServerSocket full = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
            Endpoint a = new Endpoint(BpfLab.loopback(Family.IPV4), full.getLocalPort());
            start().apply(snapshot(0, a));
            for (int i = 0; i < 3; i++) {
                InetSocket socket = TestSockets.startConnecting(FRONTEND);
                if (i < 2) {
                    toClose.add(socket::close);
                } else {
                    socket.close();
                }
            }
            await().untilAsserted(() -> assertThat(forwarder.outcomes).contains("check " + a));
        }
    }

    @Test
    void anEndpointThatIsSilentIsReportedOnce() throws IOException {
        try (ServerSocket full = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
            Endpoint a = new Endpoint(BpfLab.loopback(Family.IPV4), full.getLocalPort());
            start().apply(snapshot(0, a));
            List<InetSocket> waiting = new ArrayList<>();
            for (int i = 0; i < 3; i++) {
                waiting.add(TestSockets.startConnecting(FRONTEND));
            }
            await().atMost(Duration.ofSeconds(10))
                    .untilAsserted(() -> assertThat(forwarder.outcomes).containsExactly("silent " + a));
            for (InetSocket socket : waiting) {
                socket.close();
            }
        }
        assertThat(forwarder.outcomes).hasSize(1);
    }

    @Test
    void afterAFullMapTheForwarderServesTheFrontend() throws IOException {
        Endpoint[] endpoints = new Endpoint[8];
        for (int i = 0; i < endpoints.length; i++) {
            endpoints[i] = serve();
        }
        SocketLoadBalancer balancer = open(8);
        ServicePort small = servicePort(FRONTEND, 0, Arrays.copyOf(endpoints, 4));
        balancer.apply(ServiceSnapshot.of(small));
        assertThat(connect(4)).containsOnlyOnceElementsOf(ports(Arrays.copyOf(endpoints, 4)));
        ServicePort large = servicePort(FRONTEND, 0, endpoints);
        balancer.apply(ServiceSnapshot.of(large));
        assertThatThrownBy(() -> connect()).isInstanceOf(ConnectException.class);
        assertThat(balancer.path(large, large.frontends().get(0)).reason()).contains("full");
        assertThat(balancer.status().reason()).isEqualTo("no room in the maps for 1 frontends");
        balancer.apply(ServiceSnapshot.of(small));
        await().atMost(Duration.ofSeconds(20))
                .untilAsserted(() -> assertThat(balancer.status().reason()).isEmpty());
        assertThat(connect(4)).containsOnlyOnceElementsOf(ports(Arrays.copyOf(endpoints, 4)));
    }

    private static List<Integer> ports(Endpoint... endpoints) {
        return Arrays.stream(endpoints).map(Endpoint::port).toList();
    }

    /** Two processes with a different cgroup. */
    @Test
    void requiresWhatIsMissing() {
        SocketLbOptions noBpf = new SocketLbOptions(Mode.REQUIRED, lab.cgroup, Path.of("/tmp/sluice-no-bpf"));
        assertThatThrownBy(() -> SocketLoadBalancer.open(noBpf, false, forwarder, Runnable::run))
                .hasMessageContaining("is not in a BPF file system");
        SocketLbOptions noCgroup = new SocketLbOptions(Mode.REQUIRED, Path.of("/tmp"), lab.pins());
        assertThatThrownBy(() -> SocketLoadBalancer.open(noCgroup, false, forwarder, Runnable::run))
                .hasMessageContaining("'/tmp' is not a directory in a cgroup v2 file system");
        SocketLoadBalancer auto = SocketLoadBalancer.open(
                new SocketLbOptions(Mode.AUTO, Path.of("/tmp"), lab.pins()), false, forwarder, Runnable::run);
        assertThat(auto.status().state()).isEqualTo(SocketLbStatus.State.UNAVAILABLE);
        auto.apply(ServiceSnapshot.empty());
        auto.close();
    }

    @Test
    void offRemovesWhatAKilledProcessLeft() throws IOException {
        Endpoint a = serve();
        SocketLoadBalancer killed = start();
        killed.apply(snapshot(0, a));
        killed.end(true);
        assertThat(connect()).isEqualTo(a.port());
        SocketLoadBalancer off = SocketLoadBalancer.open(
                new SocketLbOptions(Mode.OFF, null, lab.pins()), false, forwarder, Runnable::run);
        off.apply(ServiceSnapshot.empty());
        // The kernel detaches the programs some time after their pins are removed.
        await().untilAsserted(() -> assertThatThrownBy(() -> connect()).isInstanceOf(ConnectException.class));
        assertThat(lab.pins()).doesNotExist();
        off.close();
    }
}
