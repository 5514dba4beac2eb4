package io.sluice.forward;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assumptions.assumeThat;

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
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import java.util.Set;
import java.util.concurrent.CountDownLatch;
import org.awaitility.Awaitility;
import org.awaitility.core.ConditionFactory;
import org.junit.jupiter.api.Test;

/** Flows that are over give their sockets on, as the endpoint sees it, to whom it says nothing but answers. */
class SpareSocketsTest {
    private static final int MOST_FLOWS = 8;

    /** One flow more, and the one that has been over longest ends. */
    private static final int HALF = MOST_FLOWS / 2;

    private final FrontendAddress address = Lab.freeAddress(Protocol.UDP);

    private static Lab lab() {
        return new Lab(Lab.limited(MOST_FLOWS, 0));
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

    /** So many flows, each with so many questions, from an address; where from the endpoint saw them. */
    private Deque<SocketAddress> flows(Lab lab, DatagramSocket endpoint, int count, int questionsEach)
            throws IOException {
        Deque<SocketAddress> seen = new ArrayDeque<>();
        for (int i = 0; i < count; i++) {
            DatagramSocket client = client(lab, "127.0.0.1");
            for (int j = 1; j < questionsEach; j++) {
                ask(client, endpoint, j);
            }
            seen.add(ask(client, endpoint, questionsEach));
        }
        assertThat(lab.count(Counter.FLOWS_ACTIVE)).isEqualTo(count);
        return seen;
    }

    private static ConditionFactory await() {
        return Awaitility.await().pollInterval(Duration.ofMillis(5));
    }

    private static void awaitHalf(Lab lab) {
        await().until(() -> lab.count(Counter.FLOWS_ACTIVE) == HALF);
    }

    /** Half of the flows that may be, which are over, the longest over first; the endpoint has shown that it is silent. */
    private Deque<SocketAddress> flowsOfATrustedEndpoint(Lab lab, DatagramSocket endpoint) throws IOException {
        int before = Descriptors.open();
        Deque<SocketAddress> open = flows(lab, endpoint, HALF, 2);
        lab.advance(Duration.ofSeconds(2));
        for (int i = 0; i < SpareSockets.SAMPLES; i++) {
            open.add(ask(client(lab, "127.0.0.1"), endpoint, i));
            awaitHalf(lab);
            open.remove();
            assertThat(Descriptors.open()).isEqualTo(before + HALF + 1);
            lab.advance(Duration.ofSeconds(2));
            await().until(() -> Descriptors.open() == before + HALF);
        }
        return open;
    }

    /** Where from the endpoint saw the flow whose socket is spare now. */
    private SocketAddress oneSpare(Lab lab, DatagramSocket endpoint, Deque<SocketAddress> open) throws IOException {
        open.add(ask(client(lab, "127.0.0.1"), endpoint, 5));
        awaitHalf(lab);
        return open.remove();
    }

    @Test
    void theNextFlowHasTheSocketOfOneThatIsOver() throws Exception {
        try (Lab lab = lab()) {
            DatagramSocket endpoint = socket(lab, "127.0.0.1");
            lab.apply(Lab.service("dns", address, endpoint(endpoint)));
            Deque<SocketAddress> open = flowsOfATrustedEndpoint(lab, endpoint);
            SocketAddress spare = oneSpare(lab, endpoint, open);
            assertThat(ask(client(lab, "127.0.0.1"), endpoint, 7)).isEqualTo(spare);
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
            oneSpare(lab, endpoint, flowsOfATrustedEndpoint(lab, endpoint));
            DatagramSocket client = socket(lab, "127.0.0.1");
            client.connect(otherAddress.address().toSocketAddress(otherAddress.port()));
            ask(client, other, 7);
        }
    }

    @Test
    void oneWordUnaskedEndsIt() throws Exception {
        try (Lab lab = lab()) {
            DatagramSocket endpoint = socket(lab, "127.0.0.1");
            lab.apply(Lab.service("dns", address, endpoint(endpoint)));
            int before = Descriptors.open();
            Deque<SocketAddress> open = flowsOfATrustedEndpoint(lab, endpoint);
            SocketAddress spare = oneSpare(lab, endpoint, open);
            endpoint.send(new DatagramPacket(new byte[] {66}, 1, spare));
            await().until(() -> Descriptors.open() == before + HALF);
            for (int i = 0; i < 3; i++) {
                ask(client(lab, "127.0.0.1"), endpoint, i);
                // Closed with its flow.
                await().until(() -> Descriptors.open() == before + HALF);
            }
        }
    }

    @Test
    void whatWaitsInASpareSocketIsForNobody() throws Exception {
        try (Lab lab = lab()) {
            DatagramSocket endpoint = socket(lab, "127.0.0.1");
            lab.apply(Lab.service("dns", address, endpoint(endpoint)));
            SocketAddress spare = oneSpare(lab, endpoint, flowsOfATrustedEndpoint(lab, endpoint));
            DatagramSocket client = client(lab, "127.0.0.1");
            CountDownLatch release = lab.stopLoop();
            client.send(new DatagramPacket(new byte[] {7}, 1));
            endpoint.send(new DatagramPacket(new byte[] {66}, 1, spare));
            release.countDown();
            DatagramPacket asked = new DatagramPacket(new byte[9], 9);
            endpoint.receive(asked);
            endpoint.send(new DatagramPacket(new byte[] {77}, 1, asked.getSocketAddress()));
            DatagramPacket answer = new DatagramPacket(new byte[9], 9);
            client.receive(answer);
            assertThat(answer.getData()[0]).isEqualTo((byte) 77);
        }
    }

    @Test
    void whoAnswersTwiceIsNeverTrusted() throws Exception {
        try (Lab lab = lab()) {
            DatagramSocket endpoint = socket(lab, "127.0.0.1");
            lab.apply(Lab.service("dns", address, endpoint(endpoint)));
            int before = Descriptors.open();
            for (int i = 0; i <= SpareSockets.SAMPLES; i++) {
                DatagramSocket client = client(lab, "127.0.0.1");
                SocketAddress seen = ask(client, endpoint, i);
                endpoint.send(new DatagramPacket(new byte[] {66}, 1, seen));
                client.receive(new DatagramPacket(new byte[1], 1));
                lab.advance(Duration.ofSeconds(31));
                await().until(() -> Descriptors.open() == before);
            }
            // None of these waits to be seen silent.
            flows(lab, endpoint, HALF + 1, 1);
            lab.advance(Duration.ofSeconds(2));
            await().until(() -> Descriptors.open() == before + HALF);
        }
    }

    @Test
    void aSocketThatNobodyWantsIsClosed() throws Exception {
        try (Lab lab = lab()) {
            DatagramSocket endpoint = socket(lab, "127.0.0.1");
            lab.apply(Lab.service("dns", address, endpoint(endpoint)));
            int before = Descriptors.open();
            oneSpare(lab, endpoint, flowsOfATrustedEndpoint(lab, endpoint));
            assertThat(Descriptors.open()).isEqualTo(before + HALF + 1);
            lab.advance(Duration.ofSeconds(1));
            await().until(() -> Descriptors.open() == before + HALF);
        }
    }

    @Test
    void aConversationKeepsItsSocketToItsEnd() throws Exception {
        try (Lab lab = lab()) {
            DatagramSocket endpoint = socket(lab, "127.0.0.1");
            lab.apply(Lab.service("dns", address, endpoint(endpoint)));
            int before = Descriptors.open();
            flows(lab, endpoint, HALF + 1, 3);
            lab.advance(Duration.ofSeconds(30));
            await().until(() -> lab.count(Counter.FLOWS_ACTIVE) == 0);
            await().until(() -> Descriptors.open() == before);
        }
    }

    /** Its answer is in its socket when it is evicted; that event comes after its end. */
    @Test
    void aFlowEndsOnce() throws Exception {
        try (Lab lab = lab()) {
            DatagramSocket endpoint = socket(lab, "127.0.0.1");
            lab.apply(Lab.service("dns", address, endpoint(endpoint)));
            int before = Descriptors.open();
            List<SocketAddress> waiting = new ArrayList<>();
            for (int i = 0; i < MOST_FLOWS; i++) {
                client(lab, "127.0.0.1").send(new DatagramPacket(new byte[] {1}, 1));
                DatagramPacket asked = new DatagramPacket(new byte[9], 9);
                endpoint.receive(asked);
                waiting.add(asked.getSocketAddress());
            }
            CountDownLatch release = lab.stopLoop();
            client(lab, "127.0.0.1").send(new DatagramPacket(new byte[] {1}, 1));
            endpoint.send(new DatagramPacket(new byte[] {2}, 1, waiting.get(0)));
            release.countDown();
            await().until(() -> lab.count(Counter.FLOWS_EVICTED) == 1);
            assertThat(lab.count(Counter.FLOWS_ACTIVE)).isEqualTo(MOST_FLOWS);
            lab.advance(Duration.ofSeconds(31));
            await().until(() -> Descriptors.open() == before);
            assertThat(lab.count(Counter.FLOWS_ACTIVE)).isZero();
        }
    }

    @Test
    void whoStillWaitsGoesAfterWhoIsDone() throws Exception {
        try (Lab lab = lab()) {
            DatagramSocket endpoint = socket(lab, "127.0.0.1");
            lab.apply(Lab.service("dns", address, endpoint(endpoint)));
            DatagramSocket waits = client(lab, "127.0.0.1");
            waits.send(new DatagramPacket(new byte[] {1}, 1));
            DatagramPacket asked = new DatagramPacket(new byte[9], 9);
            endpoint.receive(asked);
            for (int i = 0; i < 2 * MOST_FLOWS; i++) {
                ask(client(lab, "127.0.0.1"), endpoint, i);
            }
            endpoint.send(new DatagramPacket(new byte[] {2}, 1, asked.getSocketAddress()));
            waits.receive(new DatagramPacket(new byte[1], 1));
        }
    }

    @Test
    void aFullHouseMakesRoomOfWhatIsSpare() throws Exception {
        try (Lab lab = lab()) {
            DatagramSocket endpoint = socket(lab, "127.0.0.1");
            DatagramSocket other = socket(lab, "127.0.0.1");
            lab.apply(Lab.service("dns", address, endpoint(endpoint)));
            oneSpare(lab, endpoint, flowsOfATrustedEndpoint(lab, endpoint));
            // The spare one is of no use to these.
            lab.apply(Lab.service("dns", address, endpoint(other)));
            for (int i = 0; i < HALF; i++) {
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
        try (Lab lab = new Lab(Lab.limited(MOST_FLOWS, 0).withTransparency(all))) {
            DatagramSocket endpoint = socket(lab, "127.0.0.1");
            Route keepsClient = Route.forward(List.of(endpoint(endpoint)), Route.Source.CLIENT);
            lab.apply(new ServicePort(
                    new ServicePortName("test", "dns", "", Protocol.UDP),
                    SessionAffinity.NONE,
                    Set.of(endpoint(endpoint)),
                    List.of(Frontend.of(address, keepsClient))));
            flowsOfATrustedEndpoint(lab, endpoint);
            SocketAddress seen = ask(client(lab, "127.0.0.2"), endpoint, 2);
            awaitHalf(lab);
            for (int i = 3; i < 3 + HALF; i++) {
                ask(client(lab, "127.0.0." + i), endpoint, i);
                awaitHalf(lab);
            }
            assertThat(ask(client(lab, "127.0.0.9"), endpoint, 9))
                    .isInstanceOfSatisfying(
                            InetSocketAddress.class,
                            from -> assertThat(from.getHostString()).isEqualTo("127.0.0.9"));
            assertThat(ask(client(lab, "127.0.0.2"), endpoint, 2)).isEqualTo(seen);
        }
    }
}
