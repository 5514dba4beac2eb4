package io.sluice.forward;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import io.sluice.forward.UdpForwardingTest.Echo;
import io.sluice.model.Cidr;
import io.sluice.model.Endpoint;
import io.sluice.model.Frontend;
import io.sluice.model.Frontend.Kind;
import io.sluice.model.FrontendAddress;
import io.sluice.model.Origins;
import io.sluice.model.Protocol;
import io.sluice.model.Route;
import io.sluice.model.Route.Source;
import io.sluice.model.ServicePort;
import io.sluice.model.ServicePortName;
import io.sluice.model.ServiceSnapshot;
import io.sluice.model.SessionAffinity;
import io.sluice.model.SnapshotContext;
import io.sluice.stats.Counter;
import java.io.IOException;
import java.net.DatagramPacket;
import java.net.DatagramSocket;
import java.net.Socket;
import java.net.SocketException;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import org.junit.jupiter.api.Test;

/**
 * The origin of a client (pod, node, external) selects its route. All clients are on loopback; addresses in the pod
 * range count as pods, others as the node.
 */
class OriginRoutingTest {
    private static final String POD = "127.77.0.9";
    private static final String NODE = "127.0.0.1";
    private static final String EXTERNAL = "127.88.0.9";

    private final FrontendAddress tcp = Lab.freeAddress(Protocol.TCP);
    private final FrontendAddress udp = Lab.freeAddress(Protocol.UDP);

    private static Cidr range(String value) {
        return Objects.requireNonNull(Cidr.parse(value));
    }

    private static Route to(Endpoint endpoint) {
        return Route.forward(List.of(endpoint), Source.NODE);
    }

    /** A LoadBalancer IP whose source ranges allow the pods and the node. No address on loopback is external. */
    private static Frontend frontend(FrontendAddress address, Route pod, Route node) {
        return new Frontend(
                Kind.LOAD_BALANCER,
                address,
                pod,
                node,
                Route.DROP,
                List.of(range("127.77.0.0/16"), range("127.78.0.0/16"), range(NODE + "/32")));
    }

    private static void apply(Lab lab, String pods, Frontend frontend) {
        Set<Endpoint> flows = frontend.address().protocol() == Protocol.UDP
                ? Set.of(
                        frontend.pod().endpoints().get(0),
                        frontend.node().endpoints().get(0))
                : Set.of();
        ServicePort port = new ServicePort(
                new ServicePortName("test", "web", "", frontend.address().protocol()),
                SessionAffinity.NONE,
                flows,
                List.of(frontend));
        lab.forwarder.apply(ServiceSnapshot.of(port)
                .with(new SnapshotContext(
                        new Origins(List.of(range(pods)), Set.of()),
                        Map.of(),
                        List.of(),
                        List.of(),
                        List.of(),
                        Set.of())));
    }

    @Test
    void routesTcpClientsByOrigin() throws Exception {
        try (Lab lab = new Lab()) {
            Frontend frontend = frontend(
                    tcp,
                    to(lab.endpointServer("A").endpoint()),
                    to(lab.endpointServer("B").endpoint()));
            apply(lab, "127.77.0.0/16", frontend);
            for (int i = 0; i < 3; i++) {
                assertThat(lab.ask(tcp, POD)).isEqualTo("A");
                assertThat(lab.ask(tcp, NODE)).isEqualTo("B");
            }
        }
    }

    @Test
    void resetsTcpClientsOutsideTheAllowedSourceRanges() throws Exception {
        try (Lab lab = new Lab()) {
            EndpointServer pods = lab.endpointServer("A");
            EndpointServer node = lab.endpointServer("B");
            apply(lab, "127.77.0.0/16", frontend(tcp, to(pods.endpoint()), to(node.endpoint())));
            assertReset(lab, EXTERNAL);
            await().until(() -> lab.count(Counter.SESSIONS_REFUSED) == 1);
            assertThat(pods.accepted).hasValue(0);
            assertThat(node.accepted).hasValue(0);
        }
    }

    @Test
    void resetsTcpClientsWhoseRouteIsDrop() throws Exception {
        try (Lab lab = new Lab()) {
            apply(
                    lab,
                    "127.77.0.0/16",
                    frontend(tcp, Route.DROP, to(lab.endpointServer("B").endpoint())));
            assertReset(lab, POD);
            assertThat(lab.ask(tcp, NODE)).isEqualTo("B");
            await().until(() -> lab.count(Counter.SESSIONS_REFUSED) == 1);
        }
    }

    /** The reset may arrive before the client's connect returns. */
    private void assertReset(Lab lab, String from) {
        assertThatThrownBy(() -> lab.ask(tcp, from))
                .isInstanceOf(SocketException.class)
                .hasMessageContaining("reset");
    }

    @Test
    void aChangedOriginAffectsNewConnectionsOnly() throws Exception {
        try (Lab lab = new Lab()) {
            EndpointServer pods = lab.closing(new EndpointServer("A", EndpointServer.Kind.MANUAL));
            Frontend frontend = frontend(
                    tcp, to(pods.endpoint()), to(lab.endpointServer("B").endpoint()));
            apply(lab, "127.77.0.0/16", frontend);
            Socket open = lab.dial(tcp, POD);
            Socket server = lab.closing(pods.next());

            apply(lab, "127.78.0.0/16", frontend);
            assertThat(lab.ask(tcp, POD)).isEqualTo("B");
            Socket other = lab.dial(tcp, "127.78.0.9");
            lab.closing(pods.next()).close();
            Lab.assertEof(other.getInputStream());
            server.getOutputStream().write(7);
            assertThat(open.getInputStream().read()).isEqualTo(7);
        }
    }

    @Test
    void routesDatagramsByOrigin() throws Exception {
        try (Lab lab = new Lab()) {
            apply(lab, "127.77.0.0/16", frontend(udp, to(echo(lab, "A")), to(echo(lab, "B"))));
            assertThat(ask(client(lab, POD))).isEqualTo("A?");
            assertThat(ask(client(lab, NODE))).isEqualTo("B?");
            assertThat(ask(client(lab, POD))).isEqualTo("A?");
        }
    }

    /** Checks that the datagram was counted and opened no flow, because silence cannot be observed. */
    @Test
    void dropsDatagramsFromOutsideTheAllowedSourceRanges() throws Exception {
        try (Lab lab = new Lab()) {
            apply(lab, "127.77.0.0/16", frontend(udp, to(echo(lab, "A")), to(echo(lab, "B"))));
            DatagramSocket external = client(lab, EXTERNAL);
            external.send(new DatagramPacket(new byte[] {'?'}, 1));
            await().until(() -> lab.count(Counter.DATAGRAMS_REFUSED) == 1);
            assertThat(lab.count(Counter.FLOWS_OPENED)).isZero();
            assertThat(lab.count(Counter.DATAGRAMS_TO_ENDPOINT)).isZero();
            assertThat(ask(client(lab, NODE))).isEqualTo("B?");
        }
    }

    @Test
    void aChangedOriginAffectsNewFlowsOnly() throws Exception {
        try (Lab lab = new Lab()) {
            Frontend frontend = frontend(udp, to(echo(lab, "A")), to(echo(lab, "B")));
            apply(lab, "127.77.0.0/16", frontend);
            DatagramSocket before = client(lab, POD);
            assertThat(ask(before)).isEqualTo("A?");

            apply(lab, "127.78.0.0/16", frontend);
            assertThat(ask(client(lab, POD))).isEqualTo("B?");
            assertThat(ask(client(lab, "127.78.0.9"))).isEqualTo("A?");
            assertThat(ask(before)).isEqualTo("A?");
        }
    }

    private static Endpoint echo(Lab lab, String name) throws IOException {
        return lab.closing(new Echo(name, "127.0.0.1")).endpoint();
    }

    private DatagramSocket client(Lab lab, String from) throws IOException {
        DatagramSocket socket = lab.closing(new DatagramSocket(Lab.ip(from).toSocketAddress(0)));
        socket.connect(udp.address().toSocketAddress(udp.port()));
        socket.setSoTimeout(5_000);
        return socket;
    }

    private static String ask(DatagramSocket client) throws IOException {
        client.send(new DatagramPacket(new byte[] {'?'}, 1));
        DatagramPacket answer = new DatagramPacket(new byte[100], 100);
        client.receive(answer);
        return new String(answer.getData(), 0, answer.getLength(), StandardCharsets.UTF_8);
    }

    /** Otherwise connections to the endpoint would reach our own listener, in a loop. */
    @Test
    void doesNotListenOnAnAddressThatIsItsOwnEndpoint() throws IOException {
        Route itself = to(new Endpoint(tcp.address(), tcp.port()));
        Frontend frontend = new Frontend(Kind.EXTERNAL_IP, tcp, itself, itself, itself, List.of());
        try (Lab lab = new Lab()) {
            apply(lab, "127.77.0.0/16", frontend);
            assertThat(lab.forwarder.frontends()).singleElement().satisfies(status -> {
                assertThat(status.state()).isEqualTo(FrontendStatus.State.ACTIVE);
                assertThat(status.reason()).contains("the process on this node that is its endpoint");
            });
            assertThatThrownBy(() -> new Socket(tcp.address().toString(), tcp.port()).close())
                    .hasMessageContaining("refused");
        }
    }
}
