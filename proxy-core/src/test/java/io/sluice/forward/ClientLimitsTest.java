package io.sluice.forward;

import static org.assertj.core.api.Assertions.assertThat;

import ch.qos.logback.classic.Logger;
import ch.qos.logback.classic.spi.ILoggingEvent;
import ch.qos.logback.core.read.ListAppender;
import io.sluice.model.Endpoint;
import io.sluice.model.Family;
import io.sluice.model.FrontendAddress;
import io.sluice.model.IpAddress;
import io.sluice.model.Protocol;
import io.sluice.model.SessionAffinity;
import io.sluice.stats.Counter;
import java.io.IOException;
import java.net.DatagramPacket;
import java.net.DatagramSocket;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.IntStream;
import org.awaitility.Awaitility;
import org.awaitility.core.ConditionFactory;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.slf4j.LoggerFactory;

/**
 * One client address can use everything up to three quarters of the limit, and only its share beyond. The usage of a
 * client is released however its flows and connections end; {@link CloseMatrixTest} checks this for TCP.
 */
class ClientLimitsTest {
    private static final int MAX_FLOWS = 20;
    private static final int THREE_QUARTERS = 15;
    private static final int SHARE_PERCENT = 25;
    private static final int SHARE = 5;

    private final FrontendAddress address = Lab.freeAddress(Protocol.UDP);
    private final Lab lab = new Lab(Lab.limited(MAX_FLOWS, SHARE_PERCENT, 0));
    private final ListAppender<ILoggingEvent> logged = new ListAppender<>();
    private final Logger logger = (Logger) LoggerFactory.getLogger(ResourceExhaustion.class);

    @BeforeEach
    void captureLog() {
        logged.start();
        logger.addAppender(logged);
    }

    @AfterEach
    void allLimitsAreReleased() throws IOException {
        logger.detachAppender(logged);
        try {
            await().until(() -> {
                lab.advance(Duration.ofMinutes(1));
                return lab.count(Counter.FLOWS_ACTIVE) == 0 && lab.forwarder.sessions() == 0;
            });
            await().until(() -> lab.forwarder.clients().areEmpty());
        } finally {
            lab.close();
        }
    }

    private static ConditionFactory await() {
        return Awaitility.await().pollInterval(Duration.ofMillis(5));
    }

    private DatagramSocket socket(String ip) throws IOException {
        DatagramSocket socket =
                lab.closing(new DatagramSocket(new InetSocketAddress(Lab.ip(ip).toInetAddress(), 0)));
        socket.setSoTimeout(5_000);
        return socket;
    }

    private DatagramSocket endpoint() throws IOException {
        DatagramSocket endpoint = socket("127.0.0.1");
        lab.apply(Lab.service("dns", address, endpoint(endpoint)));
        return endpoint;
    }

    private static Endpoint endpoint(DatagramSocket socket) {
        return new Endpoint(Lab.ip("127.0.0.1"), socket.getLocalPort());
    }

    /** Sends a datagram from a new port; returns whether it opened a flow. */
    private boolean send(String from, DatagramSocket endpoint) throws IOException {
        long denied = lab.count(Counter.DATAGRAMS_OVER_CLIENT_SHARE);
        long passed = lab.count(Counter.DATAGRAMS_TO_ENDPOINT);
        DatagramSocket client = socket(from);
        client.send(new DatagramPacket(new byte[] {1}, 1, address.address().toSocketAddress(address.port())));
        await().until(() -> lab.count(Counter.DATAGRAMS_TO_ENDPOINT) + lab.count(Counter.DATAGRAMS_OVER_CLIENT_SHARE)
                == denied + passed + 1);
        if (lab.count(Counter.DATAGRAMS_TO_ENDPOINT) == passed) {
            return false;
        }
        endpoint.receive(new DatagramPacket(new byte[1], 1));
        return true;
    }

    private void open(int flows, String from, DatagramSocket endpoint) throws IOException {
        for (int i = 0; i < flows; i++) {
            assertThat(send(from, endpoint)).as("flow %d of %s", i, from).isTrue();
        }
    }

    private List<String> logLines(String text) {
        return logged.list.stream()
                .map(ILoggingEvent::getFormattedMessage)
                .filter(line -> line.contains(text))
                .toList();
    }

    @Test
    void reservesTheLastQuarterForOtherClients() throws Exception {
        DatagramSocket endpoint = endpoint();
        open(THREE_QUARTERS + 1, "127.0.0.2", endpoint);
        for (int i = 0; i < 10; i++) {
            assertThat(send("127.0.0.2", endpoint)).isFalse();
        }
        assertThat(lab.count(Counter.DATAGRAMS_OVER_CLIENT_SHARE)).isEqualTo(10);
        open(MAX_FLOWS - THREE_QUARTERS - 1, "127.0.0.3", endpoint);
        assertThat(lab.count(Counter.FLOWS_EVICTED)).isZero();
        assertThat(lab.count(Counter.FLOWS_ACTIVE)).isEqualTo(MAX_FLOWS);
        assertThat(logLines("client 127.0.0.2 holds its share (25 %)")).hasSize(1);
        assertThat(logLines("no client")).isEmpty();
        lab.advance(Duration.ofSeconds(6));
        await().until(() -> logLines("no client is limited").size() == 1);
    }

    @Test
    void eachClientGetsItsShare() throws Exception {
        DatagramSocket endpoint = endpoint();
        for (int client = 2; client < 6; client++) {
            open(SHARE, "127.0.0." + client, endpoint);
        }
        assertThat(send("127.0.0.5", endpoint)).isFalse();
        // The table is full, so the longest idle flow is evicted.
        open(1, "127.0.0.6", endpoint);
        assertThat(lab.count(Counter.FLOWS_EVICTED)).isEqualTo(1);
    }

    @Test
    void finishedFlowsMakeRoomForTheSameClient() throws Exception {
        DatagramSocket endpoint = endpoint();
        for (int i = 0; i < 5 * MAX_FLOWS; i++) {
            DatagramSocket client = socket("127.0.0.2");
            client.connect(address.address().toSocketAddress(address.port()));
            client.send(new DatagramPacket(new byte[] {1}, 1));
            DatagramPacket question = new DatagramPacket(new byte[1], 1);
            endpoint.receive(question);
            endpoint.send(question);
            client.receive(question);
        }
        assertThat(lab.count(Counter.DATAGRAMS_OVER_CLIENT_SHARE)).isZero();
    }

    @Test
    void movedAndFailedFlowsAreReleased() throws Exception {
        DatagramSocket endpoint = endpoint();
        DatagramSocket client = socket("127.0.0.2");
        client.connect(address.address().toSocketAddress(address.port()));
        for (int round = 0; round < 20; round++) {
            client.send(new DatagramPacket(new byte[] {1}, 1));
            endpoint.receive(new DatagramPacket(new byte[1], 1));
            endpoint.close();
            if (round % 2 == 0) {
                // The endpoint is closed but still listed: an ICMP error ends the flow, now or at the next datagram.
                long before = lab.count(Counter.FLOWS_ENDPOINT_ERROR);
                await().until(() -> {
                    client.send(new DatagramPacket(new byte[] {1}, 1));
                    return lab.count(Counter.FLOWS_ENDPOINT_ERROR) > before;
                });
            }
            endpoint = endpoint();
        }
        assertThat(lab.count(Counter.FLOWS_MOVED)).isPositive();
    }

    @Test
    void connectionsWithoutAnEndpointAreReleased() throws Exception {
        FrontendAddress tcp = Lab.freeAddress(Protocol.TCP);
        lab.apply(Lab.service("web", tcp, SessionAffinity.NONE, Lab.closedPort(), Lab.closedPort()));
        for (int i = 0; i < 10; i++) {
            connectAndBeReset(tcp);
        }
        lab.apply(Lab.service("web", tcp, SessionAffinity.NONE, lab.silent()));
        List<Socket> waiting = new ArrayList<>();
        for (int i = 0; i < 10; i++) {
            waiting.add(lab.dial(tcp, "127.0.0.2"));
        }
        await().until(() -> lab.forwarder.sessions() == waiting.size());
        assertThat(lab.forwarder.clients().areEmpty()).isFalse();
    }

    private void connectAndBeReset(FrontendAddress tcp) {
        try (Socket client = lab.dial(tcp, "127.0.0.2")) {
            assertThat(client.getInputStream().read()).isEqualTo(-1);
        } catch (IOException e) {
            assertThat(e).hasMessageContaining("reset");
        }
    }

    @Test
    void distinguishesClients() {
        int max = 4_000;
        FlowLimit full = new FlowLimit(max);
        IntStream.range(0, max).forEach(i -> full.opened());
        ClientLimits limits = new ClientLimits(SHARE_PERCENT, full);
        List<IpAddress> heavy = List.of(Lab.ip("10.0.0.1"), Lab.ip("10.0.0.2"), Lab.ip("2001:db8::1"));
        List<IpAddress> light = IntStream.range(0, 1_000)
                .mapToObj(i -> new IpAddress(0x20010db8_00000000L, i + 2, Family.IPV6))
                .toList();
        IntStream.range(0, max / 4).forEach(i -> heavy.forEach(limits::flowOpened));
        light.forEach(limits::flowOpened);
        assertThat(heavy).noneMatch(limits::allowsFlow);
        assertThat(light).allMatch(limits::allowsFlow);
        limits.flowClosed(heavy.get(0));
        assertThat(limits.allowsFlow(heavy.get(0))).isTrue();
    }

    @Test
    void aShareOfOneHundredPercentIsNoLimit() {
        FlowLimit full = new FlowLimit(4);
        IntStream.range(0, 4).forEach(i -> full.opened());
        ClientLimits limits = new ClientLimits(100, full);
        IpAddress client = Lab.ip("10.0.0.1");
        IntStream.range(0, 4).forEach(i -> limits.flowOpened(client));
        assertThat(limits.allowsFlow(client)).isTrue();
    }
}
