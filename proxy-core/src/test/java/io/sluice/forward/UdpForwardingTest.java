package io.sluice.forward;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import io.sluice.model.Endpoint;
import io.sluice.model.Family;
import io.sluice.model.Frontend;
import io.sluice.model.FrontendAddress;
import io.sluice.model.Protocol;
import io.sluice.model.Route;
import io.sluice.model.ServicePort;
import io.sluice.model.SessionAffinity;
import io.sluice.stats.Counter;
import java.io.Closeable;
import java.io.IOException;
import java.net.DatagramPacket;
import java.net.DatagramSocket;
import java.net.InetSocketAddress;
import java.net.PortUnreachableException;
import java.net.SocketTimeoutException;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class UdpForwardingTest {
    private final FrontendAddress address = Lab.freeAddress(Protocol.UDP);

    /** Replies to every datagram with its name followed by the datagram. */
    static final class Echo implements Closeable {
        private final DatagramSocket socket;
        private final String name;
        private final Thread thread;

        Echo(String name, String ip) throws IOException {
            this(name, ip, 0);
        }

        Echo(String name, String ip, int port) throws IOException {
            this.name = name;
            socket = new DatagramSocket(new InetSocketAddress(Lab.ip(ip).toInetAddress(), port));
            thread = new Thread(this::answerAll, "echo " + name);
            thread.setDaemon(true);
            thread.start();
        }

        Endpoint endpoint() {
            return new Endpoint(Lab.ip(socket.getLocalAddress().getHostAddress()), socket.getLocalPort());
        }

        private void answerAll() {
            byte[] bytes = new byte[65_536];
            try {
                while (true) {
                    DatagramPacket in = new DatagramPacket(bytes, bytes.length);
                    socket.receive(in);
                    byte[] prefix = name.getBytes(StandardCharsets.UTF_8);
                    byte[] out = new byte[prefix.length + in.getLength()];
                    System.arraycopy(prefix, 0, out, 0, prefix.length);
                    System.arraycopy(bytes, 0, out, prefix.length, in.getLength());
                    socket.send(new DatagramPacket(out, out.length, in.getSocketAddress()));
                }
            } catch (IOException e) {
                // The test closed the socket.
                assertThat(socket.isClosed()).isTrue();
            }
        }

        /** Closes the port and waits for the thread, because the port stays open while it is in receive. */
        @Override
        public void close() {
            socket.close();
            try {
                thread.join();
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            }
        }
    }

    private static Echo echo(Lab lab, String name) throws IOException {
        return lab.closing(new Echo(name, "127.0.0.1"));
    }

    /** A connected client socket, which receives replies from the frontend's address and port only. */
    private DatagramSocket client(Lab lab) throws IOException {
        return client(lab, address);
    }

    private static DatagramSocket client(Lab lab, FrontendAddress to) throws IOException {
        DatagramSocket socket = lab.closing(new DatagramSocket(new InetSocketAddress(
                to.address().family() == Family.IPV6
                        ? Lab.ip("::1").toInetAddress()
                        : Lab.ip("127.0.0.1").toInetAddress(),
                0)));
        socket.connect(to.address().toSocketAddress(to.port()));
        socket.setSoTimeout(5_000);
        return socket;
    }

    private static byte[] ask(DatagramSocket client, byte[] question) throws IOException {
        client.send(new DatagramPacket(question, question.length));
        return receive(client);
    }

    private static byte[] receive(DatagramSocket client) throws IOException {
        DatagramPacket answer = new DatagramPacket(new byte[65_536], 65_536);
        client.receive(answer);
        return java.util.Arrays.copyOf(answer.getData(), answer.getLength());
    }

    /** Sends a request and returns the name of the endpoint that replied. */
    private static String ask(DatagramSocket client) throws IOException {
        String answer = new String(ask(client, new byte[] {'?'}), StandardCharsets.UTF_8);
        assertThat(answer).endsWith("?");
        return answer.substring(0, answer.length() - 1);
    }

    @Test
    void distributesClientsEvenlyAndKeepsEachOnItsEndpoint() throws Exception {
        try (Lab lab = new Lab(3)) {
            lab.apply(Lab.service(
                    "dns",
                    address,
                    echo(lab, "a").endpoint(),
                    echo(lab, "b").endpoint(),
                    echo(lab, "c").endpoint()));
            Map<String, Integer> tally = new HashMap<>();
            for (int i = 0; i < 15; i++) {
                DatagramSocket client = client(lab);
                String first = ask(client);
                assertThat(ask(client)).isEqualTo(first);
                tally.merge(first, 1, Integer::sum);
            }
            assertThat(tally).isEqualTo(Map.of("a", 5, "b", 5, "c", 5));
            assertThat(lab.count(Counter.FLOWS_ACTIVE)).isEqualTo(15);
            await().until(() -> lab.count(Counter.DATAGRAMS_TO_CLIENT) == 30);
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 512, 1_472, 2_049, 9_000, 60_000, 65_507})
    void forwardsDatagramsOfEverySize(int size) throws Exception {
        try (Lab lab = new Lab()) {
            lab.apply(Lab.service("echo", address, echo(lab, "").endpoint()));
            DatagramSocket client = client(lab);
            byte[] sent = Lab.bytes(size);
            assertThat(ask(client, sent)).isEqualTo(sent);
            assertThat(ask(client, sent)).isEqualTo(sent);
            assertThat(lab.count(Counter.DATAGRAMS_DROPPED)).isZero();
        }
    }

    @Test
    void forwardsEmptyDatagramsBothWays() throws Exception {
        try (Lab lab = new Lab()) {
            lab.apply(Lab.service("echo", address, echo(lab, "").endpoint()));
            // Not connected, because the JDK does not send empty datagrams on a connected socket.
            DatagramSocket client = lab.closing(
                    new DatagramSocket(new InetSocketAddress(Lab.ip("127.0.0.1").toInetAddress(), 0)));
            client.setSoTimeout(5_000);
            for (int i = 0; i < 3; i++) {
                client.send(new DatagramPacket(new byte[0], 0, address.address().toSocketAddress(address.port())));
                assertThat(receive(client)).isEmpty();
            }
            await().until(() -> lab.count(Counter.DATAGRAMS_TO_CLIENT) == 3);
        }
    }

    @Test
    void forwardsIpv6() throws Exception {
        try (Lab lab = new Lab()) {
            FrontendAddress v6 = new FrontendAddress(Protocol.UDP, Lab.ip("::1"), address.port());
            lab.apply(
                    Lab.service("echo", v6, lab.closing(new Echo("six", "::1")).endpoint()));
            assertThat(ask(client(lab, v6))).isEqualTo("six");
        }
    }

    @Test
    void movesAFlowWhenItsEndpointStopsServing() throws Exception {
        try (Lab lab = new Lab()) {
            Echo a = echo(lab, "a");
            Echo b = echo(lab, "b");
            lab.apply(Lab.service("dns", address, a.endpoint()));
            DatagramSocket client = client(lab);
            assertThat(ask(client)).isEqualTo("a");
            lab.apply(Lab.service("dns", address, b.endpoint()));
            assertThat(ask(client)).isEqualTo("b");
            assertThat(lab.count(Counter.FLOWS_MOVED)).isEqualTo(1);
            lab.apply(Lab.service("dns", address, a.endpoint(), b.endpoint()));
            assertThat(ask(client)).isEqualTo("b");
            lab.apply(Lab.service("dns", address));
            assertThatThrownBy(() -> ask(client)).isInstanceOf(PortUnreachableException.class);
            lab.apply(Lab.service("dns", address, a.endpoint()));
            assertThat(ask(client)).isEqualTo("a");
        }
    }

    /** An address that was removed and is used by another pod later must not get existing flows. */
    @Test
    void aReusedEndpointAddressGetsNewFlows() throws Exception {
        try (Lab lab = new Lab(1)) {
            Echo first = echo(lab, "old");
            Endpoint reused = first.endpoint();
            lab.apply(Lab.service("dns", address, reused));
            DatagramSocket client = client(lab);
            assertThat(ask(client)).isEqualTo("old");
            lab.apply(Lab.service("dns", address, echo(lab, "other").endpoint()));
            assertThat(ask(client)).isEqualTo("other");
            first.close();
            lab.closing(new Echo("new", "127.0.0.1", reused.port()));
            lab.apply(Lab.service("dns", address, reused));
            assertThat(ask(client)).isEqualTo("new");
            assertThat(lab.count(Counter.FLOWS_MOVED)).isEqualTo(2);
        }
    }

    /** As with a Local policy without a local endpoint, or an endpoint that is serving but not ready. */
    @Test
    void existingFlowsContinueWhileNewOnesAreDropped() throws Exception {
        try (Lab lab = new Lab(1)) {
            Endpoint endpoint = echo(lab, "a").endpoint();
            lab.apply(Lab.service("dns", address, endpoint));
            DatagramSocket client = client(lab);
            assertThat(ask(client)).isEqualTo("a");
            ServicePort closed = Lab.service("dns", address, endpoint);
            lab.apply(new ServicePort(
                    closed.name(),
                    closed.affinity(),
                    closed.servingEndpoints(),
                    List.of(Frontend.of(address, Route.DROP))));
            assertThat(ask(client)).isEqualTo("a");
            DatagramSocket other = client(lab);
            other.send(new DatagramPacket(new byte[1], 1));
            await().until(() -> lab.count(Counter.DATAGRAMS_REFUSED) == 1);
            assertThat(ask(client)).isEqualTo("a");
            lab.advance(Duration.ofSeconds(200));
            // After the last flow the port is closed, so the kernel replies with ICMP port unreachable.
            other.setSoTimeout(100);
            await().until(() -> {
                try {
                    other.send(new DatagramPacket(new byte[1], 1));
                    other.receive(new DatagramPacket(new byte[1], 1));
                    return false;
                } catch (SocketTimeoutException e) {
                    return false;
                } catch (PortUnreachableException e) {
                    return true;
                }
            });
        }
    }

    @Test
    void movesAFlowAtTheFirstIcmpError() throws Exception {
        try (Lab lab = new Lab(1)) {
            Echo a = echo(lab, "a");
            Echo b = echo(lab, "b");
            lab.apply(Lab.service("dns", address, new SessionAffinity(100), a.endpoint(), b.endpoint()));
            DatagramSocket client = client(lab);
            String first = ask(client);
            (first.equals("a") ? a : b).close();
            String second = first.equals("a") ? "b" : "a";
            client.setSoTimeout(100);
            // The datagram to the closed port is lost, as without a proxy; the ICMP error ends the flow.
            await().until(() -> {
                try {
                    return ask(client).equals(second);
                } catch (SocketTimeoutException e) {
                    return false;
                }
            });
            assertThat(lab.count(Counter.FLOWS_ENDPOINT_ERROR)).isPositive();
        }
    }

    @Test
    void appliesTheUnrepliedAndTheRepliedTimeout() throws Exception {
        try (Lab lab = new Lab(1)) {
            DatagramSocket silent = lab.closing(
                    new DatagramSocket(new InetSocketAddress(Lab.ip("127.0.0.1").toInetAddress(), 0)));
            FrontendAddress silentAddress = Lab.freeAddress(Protocol.UDP);
            lab.apply(
                    Lab.service("dns", address, echo(lab, "a").endpoint()),
                    Lab.service("mute", silentAddress, new Endpoint(Lab.ip("127.0.0.1"), silent.getLocalPort())));
            DatagramSocket talking = client(lab);
            ask(talking);
            lab.advance(Duration.ofSeconds(3));
            // Replied and more than two seconds old, so the long timeout applies.
            ask(talking);
            client(lab, silentAddress).send(new DatagramPacket(new byte[1], 1));
            await().until(() -> lab.count(Counter.FLOWS_ACTIVE) == 2);
            lab.advance(Duration.ofSeconds(31));
            await().until(() -> lab.count(Counter.FLOWS_ACTIVE) == 1);
            lab.advance(Duration.ofSeconds(88));
            assertThat(ask(talking)).isEqualTo("a");
            lab.advance(Duration.ofSeconds(121));
            await().until(() -> lab.count(Counter.FLOWS_ACTIVE) == 0);
            assertThat(ask(talking)).isEqualTo("a");
            assertThat(lab.count(Counter.FLOWS_OPENED)).isEqualTo(3);
        }
    }

    @Test
    void aRepliedFlowUnderTwoSecondsKeepsTheShortTimeout() throws Exception {
        try (Lab lab = new Lab(1)) {
            lab.apply(Lab.service("dns", address, echo(lab, "a").endpoint()));
            ask(client(lab));
            lab.advance(Duration.ofSeconds(31));
            await().until(() -> lab.count(Counter.FLOWS_ACTIVE) == 0);
        }
    }

    @Test
    void evictsTheLongestIdleFlowAtTheLimit() throws Exception {
        try (Lab lab = new Lab(Lab.limited(4, 0))) {
            lab.apply(Lab.service("dns", address, echo(lab, "a").endpoint()));
            for (int i = 0; i < 10; i++) {
                DatagramSocket client = client(lab);
                // More than two requests, so none of these flows counts as finished.
                for (int question = 0; question < 3; question++) {
                    assertThat(ask(client)).isEqualTo("a");
                }
            }
            assertThat(lab.count(Counter.FLOWS_ACTIVE)).isEqualTo(4);
            assertThat(lab.count(Counter.FLOWS_EVICTED)).isEqualTo(6);
        }
    }

    @Test
    void sessionAffinityKeepsAClientOnItsEndpoint() throws Exception {
        try (Lab lab = new Lab(3)) {
            lab.apply(Lab.service(
                    "dns",
                    address,
                    new SessionAffinity(60),
                    echo(lab, "a").endpoint(),
                    echo(lab, "b").endpoint()));
            String first = ask(client(lab));
            for (int i = 0; i < 6; i++) {
                assertThat(ask(client(lab))).isEqualTo(first);
            }
            lab.advance(Duration.ofSeconds(60));
            assertThat(ask(client(lab))).isNotEqualTo(first);
        }
    }

    @Test
    void forwardsRepliesFromTheEndpointOnly() throws Exception {
        try (Lab lab = new Lab(1)) {
            Echo a = echo(lab, "a");
            lab.apply(Lab.service("dns", address, a.endpoint()));
            DatagramSocket client = client(lab);
            ask(client);
            DatagramSocket otherSocket = lab.closing(new DatagramSocket());
            otherSocket.send(
                    new DatagramPacket(new byte[] {66}, 1, address.address().toSocketAddress(client.getLocalPort())));
            client.setSoTimeout(50);
            assertThatThrownBy(() -> receive(client)).isInstanceOf(SocketTimeoutException.class);
        }
    }
}
