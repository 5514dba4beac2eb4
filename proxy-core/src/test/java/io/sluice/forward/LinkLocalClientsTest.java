package io.sluice.forward;

import static org.assertj.core.api.Assertions.assertThat;

import io.sluice.model.Endpoint;
import io.sluice.model.FrontendAddress;
import io.sluice.model.Protocol;
import io.sluice.stats.Counter;
import java.io.IOException;
import java.net.DatagramPacket;
import java.net.DatagramSocket;
import java.net.Inet6Address;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.NetworkInterface;
import org.junit.jupiter.api.Test;

/**
 * Clients with the same link-local address and port on different interfaces have separate flows and get their own
 * replies. Runs in a network namespace with two links.
 */
class LinkLocalClientsTest {
    /** Two veth pairs, with a client on each; the frontend is reachable over both. */
    private static final String LINKS = """
            for n in 1 2; do
              ip link add client$n type veth peer name node$n
              for end in client$n node$n; do
                ip link set $end addrgenmode none
                ip link set $end up
              done
              ip addr add fe80::1/64 dev client$n nodad
              ip addr add fe80::2/64 dev node$n nodad
            done
            ip addr add 2001:db8::53/128 dev lo nodad
            for n in 1 2; do
              ip -6 route add 2001:db8::53/128 via fe80::2 dev client$n metric $n
            done
            """;

    @Test
    void eachClientHasItsOwnFlow() throws Exception {
        Namespace.run(LINKS, InNamespace.class);
    }

    /** Main class in the namespace; exits with 1 after an exception. */
    static final class InNamespace {
        private static final int PORT = 5353;

        private InNamespace() {}

        public static void main(String[] args) throws Exception {
            try (Lab lab = new Lab(1)) {
                FrontendAddress address = new FrontendAddress(Protocol.UDP, Lab.ip("2001:db8::53"), 53);
                DatagramSocket endpoint = lab.closing(
                        new DatagramSocket(new InetSocketAddress(Lab.ip("::1").toInetAddress(), 0)));
                endpoint.setSoTimeout(5_000);
                lab.apply(Lab.service("dns", address, new Endpoint(Lab.ip("::1"), endpoint.getLocalPort())));
                DatagramSocket first = client(lab, address, "client1");
                DatagramSocket second = client(lab, address, "client2");
                DatagramPacket fromFirst = ask(first, endpoint, 1);
                DatagramPacket fromSecond = ask(second, endpoint, 2);
                assertThat(lab.count(Counter.FLOWS_ACTIVE)).isEqualTo(2);
                answer(endpoint, fromSecond, second);
                answer(endpoint, fromFirst, first);
            }
            System.exit(0);
        }

        private static DatagramSocket client(Lab lab, FrontendAddress frontend, String device) throws IOException {
            InetAddress address =
                    Inet6Address.getByAddress(null, Lab.ip("fe80::1").toBytes(), NetworkInterface.getByName(device));
            DatagramSocket client = lab.closing(new DatagramSocket(new InetSocketAddress(address, PORT)));
            client.connect(frontend.address().toSocketAddress(frontend.port()));
            client.setSoTimeout(5_000);
            return client;
        }

        private static DatagramPacket ask(DatagramSocket client, DatagramSocket endpoint, int question)
                throws IOException {
            client.send(new DatagramPacket(new byte[] {(byte) question}, 1));
            DatagramPacket received = new DatagramPacket(new byte[1], 1);
            endpoint.receive(received);
            assertThat(received.getData()).containsExactly(question);
            return received;
        }

        private static void answer(DatagramSocket endpoint, DatagramPacket question, DatagramSocket client)
                throws IOException {
            endpoint.send(question);
            DatagramPacket received = new DatagramPacket(new byte[1], 1);
            client.receive(received);
            assertThat(received.getData()).isEqualTo(question.getData());
        }
    }
}
