package io.sluice.forward;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import io.sluice.model.FrontendAddress;
import io.sluice.model.Protocol;
import io.sluice.stats.Counter;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.net.SocketException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;

/**
 * Without local ports for an endpoint, new connections fail and are counted, open ones continue, and it recovers. Runs
 * in a network namespace with twenty local ports.
 */
class PortExhaustionTest {
    private static final int PORTS = 20;

    @Test
    void recoversFromLocalPortExhaustion() throws Exception {
        Namespace.run("", InNamespace.class);
    }

    /** Main class in the namespace; exits with 1 after an exception. */
    static final class InNamespace {
        private InNamespace() {}

        public static void main(String[] args) throws Exception {
            FrontendAddress address = Lab.freeAddress(Protocol.TCP);
            try (Lab lab = new Lab(1)) {
                EndpointServer echo = lab.endpointServer(EndpointServer.Kind.ECHO);
                lab.apply(Lab.service("echo", address, echo.endpoint()));
                Files.writeString(
                        Path.of("/proc/sys/net/ipv4/ip_local_port_range"), "20000 " + (20_000 + PORTS - 1) + "\n");
                assertThat(HostLimits.defaultMaxFlows()).isEqualTo(PORTS * 7 / 10);
                List<Socket> sessions = new ArrayList<>();
                int failed = 0;
                for (int i = 0; i < PORTS + 10; i++) {
                    Socket socket = from(lab, address, 30_000 + i);
                    if (answers(socket)) {
                        sessions.add(socket);
                    } else {
                        failed++;
                    }
                }
                assertThat(sessions).hasSize(PORTS);
                assertThat(failed).isEqualTo(10);
                assertThat(lab.count(Counter.CONNECT_NO_RESOURCES)).isEqualTo(10);
                assertThat(sessions).allMatch(InNamespace::answers);
                Socket one = sessions.remove(0);
                one.setSoLinger(true, 0);
                one.close();
                await().until(() -> lab.forwarder.sessions() == PORTS - 1);
                assertThat(answers(from(lab, address, 40_000))).isTrue();
                assertThat(sessions).allMatch(InNamespace::answers);
            }
            System.exit(0);
        }

        /** Connects from a port outside the range, so that only Sluice runs out of ports. */
        private static Socket from(Lab lab, FrontendAddress address, int port) throws IOException {
            Socket socket = lab.closing(new Socket());
            socket.setReuseAddress(true);
            socket.bind(new InetSocketAddress(Lab.ip("127.0.0.1").toInetAddress(), port));
            socket.setSoTimeout(5_000);
            try {
                socket.connect(address.address().toSocketAddress(address.port()), 5_000);
            } catch (SocketException e) {
                // The reset may arrive before connect(2) returns; the caller then sees that it does not answer.
                assertThat(e).hasMessageContaining("reset");
            }
            return socket;
        }

        private static boolean answers(Socket socket) {
            try {
                socket.getOutputStream().write(3);
                return socket.getInputStream().read() == 3;
            } catch (IOException e) {
                return false;
            }
        }
    }
}
