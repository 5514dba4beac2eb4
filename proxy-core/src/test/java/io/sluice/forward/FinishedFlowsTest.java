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

/** While more than half of the allowed flows are open, flows that are probably finished are closed early. */
class FinishedFlowsTest {
    private static final int MAX_FLOWS = 8;
    private static final int HALF = MAX_FLOWS / 2;

    private final FrontendAddress address = Lab.freeAddress(Protocol.UDP);

    private static Lab lab() {
        return new Lab(Lab.limited(MAX_FLOWS, 0));
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

    /** Sends one request and its reply; returns the address of the flow's socket, as seen by the endpoint. */
    private static SocketAddress ask(DatagramSocket client, DatagramSocket endpoint, int number) throws IOException {
        client.send(new DatagramPacket(new byte[] {(byte) number}, 1));
        DatagramPacket request = new DatagramPacket(new byte[9], 9);
        endpoint.receive(request);
        assertThat(request.getData()[0]).isEqualTo((byte) number);
        endpoint.send(new DatagramPacket(new byte[] {(byte) -number}, 1, request.getSocketAddress()));
        DatagramPacket reply = new DatagramPacket(new byte[9], 9);
        client.receive(reply);
        assertThat(reply.getData()[0]).isEqualTo((byte) -number);
        return request.getSocketAddress();
    }

    /** Opens flows with the given number of answered requests each; returns their addresses, oldest first. */
    private Deque<SocketAddress> flows(Lab lab, DatagramSocket endpoint, int count, int requestsEach)
            throws IOException {
        Deque<SocketAddress> seen = new ArrayDeque<>();
        for (int i = 0; i < count; i++) {
            DatagramSocket client = client(lab);
            for (int number = 1; number < requestsEach; number++) {
                ask(client, endpoint, number);
            }
            seen.add(ask(client, endpoint, requestsEach));
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
    void closesAnsweredFlowsAfterTwoSecondsUntilHalfAreLeft() throws Exception {
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
    void keepsFlowsWithMoreThanTwoRequests() throws Exception {
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
    void aLateReplyReachesNoOtherClient() throws Exception {
        try (Lab lab = lab()) {
            DatagramSocket endpoint = serve(lab);
            int before = Descriptors.open();
            Deque<SocketAddress> open = flows(lab, endpoint, HALF, 1);
            lab.advance(Duration.ofSeconds(2));
            // Repeat, so that a shortcut for well-behaved endpoints would be found.
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

    /** The reply is in the flow's socket when the flow is evicted; its event is handled after the end. */
    @Test
    void anEvictedFlowEndsOnlyOnce() throws Exception {
        try (Lab lab = lab()) {
            DatagramSocket endpoint = serve(lab);
            int before = Descriptors.open();
            List<SocketAddress> waiting = new ArrayList<>();
            for (int i = 0; i < MAX_FLOWS; i++) {
                client(lab).send(new DatagramPacket(new byte[] {1}, 1));
                DatagramPacket request = new DatagramPacket(new byte[9], 9);
                endpoint.receive(request);
                waiting.add(request.getSocketAddress());
            }
            CountDownLatch release = lab.stopLoop();
            client(lab).send(new DatagramPacket(new byte[] {1}, 1));
            endpoint.send(new DatagramPacket(new byte[] {2}, 1, waiting.get(0)));
            release.countDown();
            await().until(() -> lab.count(Counter.FLOWS_EVICTED) == 1);
            assertThat(lab.count(Counter.FLOWS_ACTIVE)).isEqualTo(MAX_FLOWS);
            lab.advance(Duration.ofSeconds(31));
            await().until(() -> Descriptors.open() == before);
            assertThat(lab.count(Counter.FLOWS_ACTIVE)).isZero();
        }
    }

    @Test
    void evictsFinishedFlowsBeforeUnansweredOnes() throws Exception {
        try (Lab lab = lab()) {
            DatagramSocket endpoint = serve(lab);
            DatagramSocket unanswered = client(lab);
            unanswered.send(new DatagramPacket(new byte[] {1}, 1));
            DatagramPacket request = new DatagramPacket(new byte[9], 9);
            endpoint.receive(request);
            flows(lab, endpoint, 2 * MAX_FLOWS, 1);
            endpoint.send(new DatagramPacket(new byte[] {2}, 1, request.getSocketAddress()));
            unanswered.receive(new DatagramPacket(new byte[1], 1));
        }
    }
}
