package io.sluice.forward;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assumptions.assumeThat;
import static org.awaitility.Awaitility.await;

import io.sluice.model.Endpoint;
import io.sluice.model.Frontend;
import io.sluice.model.FrontendAddress;
import io.sluice.model.Protocol;
import io.sluice.model.Route;
import io.sluice.model.ServicePort;
import io.sluice.model.ServicePortName;
import io.sluice.model.SessionAffinity;
import io.sluice.stats.Counter;
import java.io.IOException;
import java.net.DatagramPacket;
import java.net.DatagramSocket;
import java.net.InetSocketAddress;
import java.net.SocketAddress;
import java.net.SocketTimeoutException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import org.junit.jupiter.api.Test;

/** Flows that are over give their sockets on, as the endpoint sees it. */
class SpareSocketsTest {
    private static final int MOST_FLOWS = 8;

    private final FrontendAddress address = Lab.freeAddress(Protocol.UDP);

    private static Lab lab() {
        return new Lab(Lab.withMostFlows(MOST_FLOWS));
    }

    private static DatagramSocket socket(Lab lab, String address) throws IOException {
        DatagramSocket socket = lab.closing(
                new DatagramSocket(new InetSocketAddress(Lab.ip(address).toInetAddress(), 0)));
        socket.setSoTimeout(5_000);
        return socket;
    }

    private static Endpoint endpoint(DatagramSocket socket) {
        return new Endpoint(Lab.ip(socket.getLocalAddress().getHostAddress()), socket.getLocalPort());
    }

    private DatagramSocket client(Lab lab, String from) throws IOException {
        DatagramSocket client = socket(lab, from);
        client.connect(address.address().toSocketAddress(address.port()));
        return client;
    }

    /** A question and its answer; where from the endpoint saw it come. */
    private static SocketAddress ask(DatagramSocket client, DatagramSocket endpoint, int question) throws IOException {
        client.send(new DatagramPacket(new byte[] {(byte) question}, 1));
        DatagramPacket asked = new DatagramPacket(new byte[9], 9);
        endpoint.receive(asked);
        assertThat(asked.getData()[0]).isEqualTo((byte) question);
        endpoint.send(new DatagramPacket(new byte[] {(byte) -question}, 1, asked.getSocketAddress()));
        DatagramPacket answer = new DatagramPacket(new byte[9], 9);
        client.receive(answer);
        assertThat(answer.getData()[0]).isEqualTo((byte) -question);
        return asked.getSocketAddress();
    }

    /** More than half of what may be. */
    private List<SocketAddress> fiveFlows(Lab lab, DatagramSocket endpoint, int questionsEach) throws IOException {
        List<SocketAddress> seen = new ArrayList<>();
        for (int i = 0; i < 5; i++) {
            DatagramSocket client = client(lab, "127.0.0.1");
            for (int j = 1; j < questionsEach; j++) {
                ask(client, endpoint, j);
            }
            seen.add(ask(client, endpoint, questionsEach));
        }
        assertThat(lab.count(Counter.FLOWS_ACTIVE)).isEqualTo(5);
        return seen;
    }

    @Test
    void twoSecondsAfterTheAnswerTheNextFlowHasTheSocket() throws Exception {
        try (Lab lab = lab()) {
            DatagramSocket endpoint = socket(lab, "127.0.0.1");
            lab.apply(Lab.service("dns", address, endpoint(endpoint)));
            List<SocketAddress> seen = fiveFlows(lab, endpoint, 2);
            lab.advance(Duration.ofSeconds(2));
            await().until(() -> lab.count(Counter.FLOWS_ACTIVE) == MOST_FLOWS / 2);
            assertThat(ask(client(lab, "127.0.0.1"), endpoint, 7)).isEqualTo(seen.get(0));
            assertThat(lab.count(Counter.FLOWS_OPENED)).isEqualTo(6);
        }
    }

    @Test
    void anotherEndpointGetsASocketOfItsOwn() throws Exception {
        FrontendAddress otherAddress = Lab.freeAddress(Protocol.UDP);
        try (Lab lab = lab()) {
            DatagramSocket endpoint = socket(lab, "127.0.0.1");
            DatagramSocket other = socket(lab, "127.0.0.1");
            lab.apply(
                    Lab.service("dns", address, endpoint(endpoint)),
                    Lab.service("other", otherAddress, endpoint(other)));
            fiveFlows(lab, endpoint, 1);
            lab.advance(Duration.ofSeconds(2));
            await().until(() -> lab.count(Counter.FLOWS_ACTIVE) == MOST_FLOWS / 2);
            DatagramSocket client = socket(lab, "127.0.0.1");
            client.connect(otherAddress.address().toSocketAddress(otherAddress.port()));
            ask(client, other, 7);
        }
    }

    @Test
    void whatComesLateIsForNobody() throws Exception {
        try (Lab lab = lab()) {
            DatagramSocket endpoint = socket(lab, "127.0.0.1");
            lab.apply(Lab.service("dns", address, endpoint(endpoint)));
            SocketAddress first = fiveFlows(lab, endpoint, 1).get(0);
            lab.advance(Duration.ofSeconds(2));
            await().until(() -> lab.count(Counter.FLOWS_ACTIVE) == MOST_FLOWS / 2);
            endpoint.send(new DatagramPacket(new byte[] {66}, 1, first));
            DatagramSocket client = client(lab, "127.0.0.1");
            assertThat(ask(client, endpoint, 7)).isEqualTo(first);
            client.setSoTimeout(50);
            assertThatThrownBy(() -> client.receive(new DatagramPacket(new byte[1], 1)))
                    .isInstanceOf(SocketTimeoutException.class);
        }
    }

    @Test
    void aSocketThatNobodyWantsIsClosed() throws Exception {
        try (Lab lab = lab()) {
            DatagramSocket endpoint = socket(lab, "127.0.0.1");
            lab.apply(Lab.service("dns", address, endpoint(endpoint)));
            int before = Descriptors.open();
            fiveFlows(lab, endpoint, 1);
            lab.advance(Duration.ofSeconds(2));
            await().until(() -> lab.count(Counter.FLOWS_ACTIVE) == MOST_FLOWS / 2);
            assertThat(Descriptors.open()).isEqualTo(before + 5);
            lab.advance(Duration.ofSeconds(1));
            await().until(() -> Descriptors.open() == before + MOST_FLOWS / 2);
        }
    }

    @Test
    void aConversationKeepsItsSocketToItsEnd() throws Exception {
        try (Lab lab = lab()) {
            DatagramSocket endpoint = socket(lab, "127.0.0.1");
            lab.apply(Lab.service("dns", address, endpoint(endpoint)));
            int before = Descriptors.open();
            fiveFlows(lab, endpoint, 3);
            lab.advance(Duration.ofSeconds(30));
            await().until(() -> lab.count(Counter.FLOWS_ACTIVE) == 0);
            await().until(() -> Descriptors.open() == before);
        }
    }

    @Test
    void aFullHouseMakesRoomOfWhatIsSpare() throws Exception {
        try (Lab lab = lab()) {
            DatagramSocket endpoint = socket(lab, "127.0.0.1");
            DatagramSocket other = socket(lab, "127.0.0.1");
            lab.apply(Lab.service("dns", address, endpoint(endpoint)));
            fiveFlows(lab, endpoint, 1);
            lab.advance(Duration.ofSeconds(2));
            await().until(() -> lab.count(Counter.FLOWS_ACTIVE) == MOST_FLOWS / 2);
            // The spare one is of no use to these.
            lab.apply(Lab.service("dns", address, endpoint(other)));
            for (int i = 0; i < 4; i++) {
                DatagramSocket client = client(lab, "127.0.0.1");
                for (int question = 1; question <= 3; question++) {
                    ask(client, other, question);
                }
            }
            assertThat(lab.count(Counter.FLOWS_EVICTED)).isZero();
            assertThat(lab.count(Counter.DATAGRAMS_DROPPED)).isZero();
        }
    }

    @Test
    void aClientWhoseAddressIsSeenGetsNoSocketOfAnothers() throws Exception {
        assumeThat(Files.getAttribute(Path.of("/proc/self"), "unix:uid"))
                .as("needs root, to give a socket a client's address")
                .isEqualTo(0);
        Transparency all = new Transparency(ip -> false, (client, endpoint) -> true, 0);
        try (Lab lab = new Lab(Lab.withMostFlows(MOST_FLOWS).withTransparency(all))) {
            DatagramSocket endpoint = socket(lab, "127.0.0.1");
            Route keepsClient = Route.forward(List.of(endpoint(endpoint)), Route.Source.CLIENT);
            lab.apply(new ServicePort(
                    new ServicePortName("test", "dns", "", Protocol.UDP),
                    SessionAffinity.NONE,
                    Set.of(endpoint(endpoint)),
                    List.of(Frontend.of(address, keepsClient))));
            List<SocketAddress> seen = new ArrayList<>();
            for (int i = 2; i < 7; i++) {
                seen.add(ask(client(lab, "127.0.0." + i), endpoint, i));
            }
            lab.advance(Duration.ofSeconds(2));
            await().until(() -> lab.count(Counter.FLOWS_ACTIVE) == MOST_FLOWS / 2);
            assertThat(seen.get(0)).hasToString("/127.0.0.2:" + ((InetSocketAddress) seen.get(0)).getPort());
            assertThat(ask(client(lab, "127.0.0.9"), endpoint, 9))
                    .isInstanceOfSatisfying(
                            InetSocketAddress.class,
                            from -> assertThat(from.getHostString()).isEqualTo("127.0.0.9"));
            assertThat(ask(client(lab, "127.0.0.2"), endpoint, 2)).isEqualTo(seen.get(0));
        }
    }
}
