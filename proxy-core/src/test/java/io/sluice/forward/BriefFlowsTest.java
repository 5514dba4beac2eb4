package io.sluice.forward;

import static org.assertj.core.api.Assertions.assertThat;

import io.sluice.model.Endpoint;
import io.sluice.model.FrontendAddress;
import io.sluice.model.Protocol;
import io.sluice.socket.Descriptors;
import io.sluice.stats.Counter;
import java.io.IOException;
import java.net.DatagramPacket;
import java.net.DatagramSocket;
import java.net.InetSocketAddress;
import java.net.SocketAddress;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import org.awaitility.Awaitility;
import org.awaitility.core.ConditionFactory;
import org.junit.jupiter.api.Test;

/** While more than half of the allowed flows are open, flows that seem to be finished end early, with their sockets. */
class BriefFlowsTest {
    private static final int MOST_FLOWS = 8;
    private static final int HALF = MOST_FLOWS / 2;

    private final FrontendAddress address = Lab.freeAddress(Protocol.UDP);

    private static Lab lab() {
        return new Lab(Lab.limited(MOST_FLOWS, 0));
    }

    private static DatagramSocket socket(Lab lab) throws IOException {
        DatagramSocket socket = lab.closing(
                new DatagramSocket(new InetSocketAddress(Lab.ip("127.0.0.1").toInetAddress(), 0)));
        socket.setSoTimeout(5_000);
        return socket;
    }

    private DatagramSocket serve(Lab lab) throws IOException {
        DatagramSocket endpoint = socket(lab);
        lab.apply(Lab.service("dns", address, new Endpoint(Lab.ip("127.0.0.1"), endpoint.getLocalPort())));
        return endpoint;
    }

    private DatagramSocket client(Lab lab) throws IOException {
        DatagramSocket client = socket(lab);
        client.connect(address.address().toSocketAddress(address.port()));
        return client;
    }

    /** One question and its answer; returns the address of the flow's socket as the endpoint sees it. */
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

    /** Opens flows, each with so many answered questions; the oldest comes first. */
    private Deque<SocketAddress> flows(Lab lab, DatagramSocket endpoint, int count, int questionsEach)
            throws IOException {
        Deque<SocketAddress> seen = new ArrayDeque<>();
        for (int i = 0; i < count; i++) {
            DatagramSocket client = client(lab);
            for (int question = 1; question < questionsEach; question++) {
                ask(client, endpoint, question);
            }
            seen.add(ask(client, endpoint, questionsEach));
        }
        return seen;
    }

    private static ConditionFactory await() {
        return Awaitility.await().pollInterval(Duration.ofMillis(5));
    }

    private static void awaitActive(Lab lab, int flows) {
        await().until(() -> lab.count(Counter.FLOWS_ACTIVE) == flows);
    }

    @Test
    void answeredFlowsEndAfterTwoSecondsUntilHalfAreLeft() throws Exception {
        try (Lab lab = lab()) {
            DatagramSocket endpoint = serve(lab);
            int before = Descriptors.open();
            flows(lab, endpoint, HALF + 2, 2);
            assertThat(lab.count(Counter.FLOWS_ACTIVE)).isEqualTo(HALF + 2);
            lab.advance(Duration.ofSeconds(2));
            awaitActive(lab, HALF);
            await().until(() -> Descriptors.open() == before + HALF);
            assertThat(lab.count(Counter.FLOWS_EVICTED)).isZero();
        }
    }

    @Test
    void flowsWithMoreThanTwoQuestionsDoNot() throws Exception {
        try (Lab lab = lab()) {
            DatagramSocket endpoint = serve(lab);
            flows(lab, endpoint, HALF + 1, 3);
            flows(lab, endpoint, 1, 1);
            lab.advance(Duration.ofSeconds(2));
            awaitActive(lab, HALF + 1);
            lab.advance(Duration.ofSeconds(30));
            awaitActive(lab, 0);
        }
    }

    @Test
    void lateDatagramReachesNoOtherClient() throws Exception {
        try (Lab lab = lab()) {
            DatagramSocket endpoint = serve(lab);
            int before = Descriptors.open();
            Deque<SocketAddress> open = flows(lab, endpoint, HALF, 1);
            lab.advance(Duration.ofSeconds(2));
            // However well the endpoint has behaved so far.
            for (int i = 0; i < 10; i++) {
                open.addAll(flows(lab, endpoint, 1, 1));
                awaitActive(lab, HALF);
                open.remove();
                lab.advance(Duration.ofSeconds(2));
                await().until(() -> Descriptors.open() == before + HALF);
            }
            flows(lab, endpoint, 1, 1);
            awaitActive(lab, HALF);
            SocketAddress ended = open.remove();
            DatagramSocket next = client(lab);
            ask(next, endpoint, 7);
            endpoint.send(new DatagramPacket(new byte[] {66}, 1, ended));
            ask(next, endpoint, 8);
        }
    }

    /** The flow's answer is in its socket when it is evicted; the event for it comes after the end. */
    @Test
    void flowEndsOnce() throws Exception {
        try (Lab lab = lab()) {
            DatagramSocket endpoint = serve(lab);
            int before = Descriptors.open();
            List<SocketAddress> waiting = new ArrayList<>();
            for (int i = 0; i < MOST_FLOWS; i++) {
                client(lab).send(new DatagramPacket(new byte[] {1}, 1));
                DatagramPacket asked = new DatagramPacket(new byte[9], 9);
                endpoint.receive(asked);
                waiting.add(asked.getSocketAddress());
            }
            CountDownLatch release = lab.stopLoop();
            client(lab).send(new DatagramPacket(new byte[] {1}, 1));
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
    void unansweredFlowOutlivesFinishedOnesAtTheLimit() throws Exception {
        try (Lab lab = lab()) {
            DatagramSocket endpoint = serve(lab);
            DatagramSocket waits = client(lab);
            waits.send(new DatagramPacket(new byte[] {1}, 1));
            DatagramPacket asked = new DatagramPacket(new byte[9], 9);
            endpoint.receive(asked);
            flows(lab, endpoint, 2 * MOST_FLOWS, 1);
            endpoint.send(new DatagramPacket(new byte[] {2}, 1, asked.getSocketAddress()));
            waits.receive(new DatagramPacket(new byte[1], 1));
        }
    }
}
