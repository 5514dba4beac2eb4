package io.sluice.forward;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assumptions.assumeThat;
import static org.awaitility.Awaitility.await;

import io.sluice.balance.EndpointHealth;
import io.sluice.model.Endpoint;
import io.sluice.model.FrontendAddress;
import io.sluice.model.Protocol;
import io.sluice.model.ServicePort;
import io.sluice.model.SessionAffinity;
import io.sluice.socket.Descriptors;
import io.sluice.socket.UnixListener;
import io.sluice.socket.UnixSocket;
import io.sluice.stats.Counter;
import java.io.IOException;
import java.net.ConnectException;
import java.net.DatagramPacket;
import java.net.DatagramSocket;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * Handover between two forwarders. Both run in this process, but descriptors are sent over a Unix socket.
 */
class ForwarderHandoverTest {
    private static final Duration LIMIT = Duration.ofSeconds(10);

    @TempDir
    private Path directory;

    private final FrontendAddress tcp = Lab.freeAddress(Protocol.TCP);
    private final FrontendAddress udp = Lab.freeAddress(Protocol.UDP);

    /** Duplicates the descriptors, as another process would receive them. */
    private ForwarderHandover received(ForwarderHandover released) throws IOException {
        Path path = directory.resolve("socket");
        try (UnixListener listening = UnixListener.bind(path);
                UnixSocket sending = UnixSocket.connect(path, LIMIT);
                UnixSocket receiving = Objects.requireNonNull(listening.accept(LIMIT))) {
            List<Integer> copies = new ArrayList<>();
            for (int descriptor : released.descriptors()) {
                sending.send(List.of(descriptor));
                copies.addAll(receiving.receive(1));
            }
            return released.withDescriptors(copies);
        }
    }

    private static UdpForwardingTest.Echo echo(Lab lab, String name) throws IOException {
        return lab.closing(new UdpForwardingTest.Echo(name, "127.0.0.1"));
    }

    private static String ask(DatagramSocket client) throws IOException {
        client.send(new DatagramPacket(new byte[] {'?'}, 1));
        DatagramPacket answer = new DatagramPacket(new byte[100], 100);
        client.receive(answer);
        return new String(answer.getData(), 0, answer.getLength(), StandardCharsets.UTF_8);
    }

    private DatagramSocket udpClient(Lab lab) throws IOException {
        DatagramSocket client = lab.closing(new DatagramSocket());
        client.setSoTimeout(5_000);
        client.connect(udp.address().toSocketAddress(udp.port()));
        return client;
    }

    private ServicePort web(Lab lab, SessionAffinity affinity) throws IOException {
        return Lab.service(
                "web",
                tcp,
                affinity,
                lab.endpointServer("a").endpoint(),
                lab.endpointServer("b").endpoint(),
                lab.endpointServer("c").endpoint());
    }

    @Test
    void roundRobinContinuesAtItsPosition() throws IOException {
        try (Lab before = new Lab();
                Lab after = new Lab(1)) {
            ServicePort web = web(before, SessionAffinity.NONE);
            before.apply(web);
            List<String> answers = new ArrayList<>(List.of(before.ask(tcp), before.ask(tcp)));
            ForwarderHandover released = before.forwarder.release();
            // Arrives while no process accepts, and waits in the accept queue.
            Socket waiting = before.dial(tcp);
            after.forwarder.inherit(received(released));
            after.apply(web);
            before.forwarder.closeReleased(released);
            answers.add(Lab.read(waiting));
            assertThat(answers).containsExactlyInAnyOrder("a", "b", "c");
            List<String> again = List.of(after.ask(tcp), after.ask(tcp), after.ask(tcp));
            assertThat(again).as("same order").isEqualTo(answers);
            assertThat(before.count(Counter.SESSIONS_OPENED)).isEqualTo(2);
            assertThat(after.count(Counter.SESSIONS_OPENED)).isEqualTo(4);
        }
    }

    /** From then on, the rules of the new process redirect connections to its own listening port. */
    @Test
    void theNewProcessListensOnItsOwnPorts() throws IOException {
        assumeThat(Files.getAttribute(Path.of("/proc/self"), "unix:uid"))
                .as("needs root, for transparent sockets")
                .isEqualTo(0);
        try (Lab before = transparent(0);
                Lab after = transparent(0x7000)) {
            ServicePort web = web(before, SessionAffinity.NONE);
            before.apply(web);
            ForwarderHandover released = before.forwarder.release();
            after.forwarder.inherit(received(released));
            after.apply(web);
            before.forwarder.closeReleased(released);
            assertThat(after.ask(new FrontendAddress(Protocol.TCP, tcp.address(), tcp.port() ^ 0x7000)))
                    .isIn("a", "b", "c");
            assertThatThrownBy(() -> after.ask(tcp)).isInstanceOf(ConnectException.class);
        }
    }

    private static Lab transparent(int flippedPortBits) {
        return new Lab(ForwarderConfig.defaults()
                .withTransparentSockets(new TransparentSockets(
                        ip -> false, (client, endpoint) -> false, endpoint -> 0, flippedPortBits)));
    }

    @Test
    void anAffinityEntryKeepsItsRemainingTime() throws IOException {
        try (Lab before = new Lab();
                Lab after = new Lab()) {
            ServicePort web = web(before, new SessionAffinity(100));
            before.apply(web);
            String assigned = before.ask(tcp);
            before.advance(Duration.ofSeconds(60));
            ForwarderHandover released = before.forwarder.release();
            assertThat(released.services().get(0).pins().get(0).idleNanos())
                    .isGreaterThanOrEqualTo(Duration.ofSeconds(60).toNanos());
            after.forwarder.inherit(received(released));
            after.apply(web);
            before.forwarder.closeReleased(released);
            assertThat(after.ask(tcp)).isEqualTo(assigned);
        }
    }

    @Test
    void aUdpFlowKeepsItsEndpointAndItsSocket() throws IOException {
        try (Lab before = new Lab();
                Lab after = new Lab(1)) {
            ServicePort dns = Lab.service(
                    "dns",
                    udp,
                    echo(before, "a").endpoint(),
                    echo(before, "b").endpoint(),
                    echo(before, "c").endpoint());
            before.apply(dns);
            List<DatagramSocket> clients = new ArrayList<>();
            List<String> answers = new ArrayList<>();
            for (int i = 0; i < 12; i++) {
                clients.add(udpClient(before));
                answers.add(ask(clients.get(i)));
            }
            ForwarderHandover released = before.forwarder.release();
            assertThat(released.flows()).isEqualTo(12);
            after.forwarder.inherit(received(released));
            after.apply(dns);
            before.forwarder.closeReleased(released);
            for (int i = 0; i < 12; i++) {
                assertThat(ask(clients.get(i))).isEqualTo(answers.get(i));
            }
            assertThat(after.count(Counter.FLOWS_OPENED)).isZero();
            assertThat(after.count(Counter.FLOWS_ACTIVE)).isEqualTo(12);
            assertThat(before.count(Counter.FLOWS_ACTIVE)).isZero();
            assertThat(before.forwarder.clients().areEmpty()).isTrue();
            assertThat(after.forwarder.clients().areEmpty()).isFalse();
            after.advance(Duration.ofMinutes(3));
            await().until(() -> after.forwarder.clients().areEmpty());
        }
    }

    @Test
    void takesBackSocketsThatWereNotHandedOver() throws IOException {
        try (Lab lab = new Lab()) {
            ServicePort web = web(lab, SessionAffinity.NONE);
            UdpForwardingTest.Echo a = echo(lab, "a");
            lab.apply(web, Lab.service("dns", udp, a.endpoint(), echo(lab, "b").endpoint()));
            List<String> answers = new ArrayList<>(List.of(lab.ask(tcp)));
            DatagramSocket client = udpClient(lab);
            String answer = ask(client);
            int open = Descriptors.open();
            ForwarderHandover released = lab.forwarder.release();
            Socket waiting = lab.dial(tcp);
            lab.forwarder.takeBack(released);
            answers.add(Lab.read(waiting));
            waiting.close();
            answers.add(lab.ask(tcp));
            assertThat(answers).containsExactlyInAnyOrder("a", "b", "c");
            assertThat(ask(client)).isEqualTo(answer);
            assertThat(lab.count(Counter.FLOWS_OPENED)).isEqualTo(1);
            assertThat(lab.count(Counter.FLOWS_ACTIVE)).isEqualTo(1);
            await().untilAsserted(() -> assertThat(Descriptors.open()).isLessThanOrEqualTo(open));
            lab.apply(web);
            assertThat(lab.status(tcp).state()).isEqualTo(FrontendStatus.State.ACTIVE);
        }
    }

    @Test
    void theSnapshotOfTheNewProcessDecidesWhatIsServed() throws IOException {
        try (Lab before = new Lab();
                Lab after = new Lab()) {
            UdpForwardingTest.Echo old = echo(before, "gone");
            before.apply(web(before, SessionAffinity.NONE), Lab.service("dns", udp, old.endpoint()));
            DatagramSocket client = udpClient(before);
            assertThat(ask(client)).isEqualTo("gone?");
            ForwarderHandover released = before.forwarder.release();
            after.forwarder.inherit(received(released));
            after.apply(Lab.service("dns", udp, echo(before, "new").endpoint()));
            before.forwarder.closeReleased(released);
            assertThat(ask(client)).isEqualTo("new?");
            assertThatThrownBy(() -> after.dial(tcp)).isInstanceOf(ConnectException.class);
        }
    }

    @Test
    void openConnectionsStayInTheOldProcess() throws IOException, InterruptedException {
        try (Lab before = new Lab();
                Lab after = new Lab()) {
            ServicePort echo = Lab.service(
                    "echo", tcp, before.endpointServer(EndpointServer.Kind.ECHO).endpoint());
            before.apply(echo);
            Socket session = before.dial(tcp);
            session.getOutputStream().write('1');
            assertThat(session.getInputStream().read()).isEqualTo('1');
            ForwarderHandover released = before.forwarder.release();
            after.forwarder.inherit(received(released));
            after.apply(echo);
            before.forwarder.closeReleased(released);
            session.getOutputStream().write('2');
            assertThat(session.getInputStream().read()).isEqualTo('2');
            assertThat(before.forwarder.sessions()).isEqualTo(1);
            session.close();
            assertThat(before.forwarder.drain(Duration.ofSeconds(5))).isZero();
        }
    }

    @Test
    void aHandoverKeepsTheEndpointsThatAreTakenOut() throws Exception {
        try (Lab old = new Lab();
                Lab successor = new Lab()) {
            Endpoint a = old.endpointServer("a").endpoint();
            ServicePort web = Lab.service("web", tcp, a, old.endpointServer("b").endpoint());
            old.apply(web);
            old.forwarder.takeOut("test/web", a, EndpointHealth.State.DRAINING, Duration.ofMinutes(10), false);
            ForwarderHandover handover = old.forwarder.release();
            assertThat(old.forwarder.putBack("test/web", a)).isEqualTo(EndpointControl.Outcome.NOT_NOW);
            successor.forwarder.inherit(received(handover));
            successor.apply(web);
            old.forwarder.closeReleased(handover);
            assertThat(List.of(successor.ask(tcp), successor.ask(tcp))).containsOnly("b");
            successor.advance(Duration.ofMinutes(10));
            successor.forwarder.runHousekeeping();
            assertThat(List.of(successor.ask(tcp), successor.ask(tcp))).containsExactlyInAnyOrder("a", "b");
        }
    }
}
