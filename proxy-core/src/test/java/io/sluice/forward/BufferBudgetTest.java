package io.sluice.forward;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import io.sluice.model.Endpoint;
import io.sluice.model.FrontendAddress;
import io.sluice.model.Protocol;
import io.sluice.model.ServicePort;
import io.sluice.stats.Counter;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.net.SocketException;
import java.net.StandardSocketOptions;
import java.nio.ByteBuffer;
import java.nio.channels.SocketChannel;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;

/** Buffer budget for slow readers; also address conflicts between processes, and endpoint updates during traffic. */
class BufferBudgetTest {
    private final FrontendAddress address = Lab.freeAddress(Protocol.TCP);

    /** Connects a non-blocking client with a small send buffer, whose endpoint does not read. */
    private SocketChannel connectStalled(Lab lab) throws IOException {
        SocketChannel channel = lab.closing(SocketChannel.open(address.address().toSocketAddress(address.port())));
        channel.setOption(StandardSocketOptions.SO_SNDBUF, 16 << 10);
        channel.configureBlocking(false);
        return channel;
    }

    private static void push(SocketChannel channel) {
        try {
            int n = 1;
            for (int i = 0; i < 64 && n > 0; i++) {
                n = channel.write(ByteBuffer.allocate(256 << 10));
            }
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    @Test
    void stalledReadersBufferABoundedAmountAndDoNotAffectOthers() throws Exception {
        try (Lab lab = new Lab(1)) {
            EndpointServer endpointServer = lab.endpointServer(EndpointServer.Kind.MANUAL);
            FrontendAddress echoAddress = Lab.freeAddress(Protocol.TCP);
            lab.apply(
                    Lab.service("sink", address, endpointServer.endpoint()),
                    Lab.service(
                            "echo",
                            echoAddress,
                            lab.endpointServer(EndpointServer.Kind.ECHO).endpoint()));
            List<SocketChannel> clients = new ArrayList<>();
            for (int i = 0; i < 20; i++) {
                clients.add(connectStalled(lab));
            }
            await().until(() -> {
                clients.forEach(BufferBudgetTest::push);
                return lab.forwarder.bufferedBytes() > 0 && lab.count(Counter.SESSIONS_ACTIVE) == 20;
            });
            for (int i = 0; i < 20; i++) {
                clients.forEach(BufferBudgetTest::push);
            }
            assertThat(lab.forwarder.bufferedBytes()).isLessThanOrEqualTo(20L * Loop.BUFFER_BYTES);
            Socket other = lab.dial(echoAddress);
            for (int i = 0; i < 100; i++) {
                other.getOutputStream().write(i);
                assertThat(other.getInputStream().read()).isEqualTo(i);
            }
        }
    }

    @Test
    void newConnectionsWaitWhileTheBudgetIsExhausted() throws Exception {
        try (Lab lab = new Lab(Lab.limited(0, 100_000))) {
            EndpointServer endpointServer = lab.endpointServer(EndpointServer.Kind.MANUAL);
            endpointServer.setSmallReceiveBuffer();
            lab.apply(Lab.service("sink", address, endpointServer.endpoint()));
            List<SocketChannel> clients = new ArrayList<>();
            // As many clients as needed: the kernel decides how much of a read an endpoint with full buffers takes.
            await().pollInterval(Duration.ofMillis(1)).until(() -> {
                clients.add(connectStalled(lab));
                clients.forEach(BufferBudgetTest::push);
                return lab.forwarder.bufferedBytes() >= 100_000;
            });
            // Wait for the loop's current tasks; from here on it knows that the budget is exhausted.
            lab.forwarder.loops().get(0).executor.submit(() -> {}).get();
            long opened = lab.count(Counter.SESSIONS_OPENED);
            Socket waiting = lab.dial(address);
            // The connection stays in the accept queue: the handshake is complete, but it is not accepted.
            await().during(Duration.ofMillis(250))
                    .atMost(Duration.ofSeconds(5))
                    .until(() -> lab.count(Counter.SESSIONS_OPENED) == opened);
            for (SocketChannel client : clients) {
                client.setOption(StandardSocketOptions.SO_LINGER, 0);
                client.close();
            }
            // Close the endpoints too, so that no bytes have to be delivered any more.
            endpointServer.close();
            EndpointServer echo = lab.endpointServer(EndpointServer.Kind.ECHO);
            lab.apply(Lab.service("sink", address, echo.endpoint()));
            await().until(() -> {
                lab.advance(Duration.ofSeconds(30));
                return lab.forwarder.bufferedBytes() == 0;
            });
            Socket later = lab.dial(address);
            later.getOutputStream().write(5);
            assertThat(later.getInputStream().read()).isEqualTo(5);
            waiting.close();
        }
    }

    @Test
    void theSecondForwarderServesTheAddressOnceTheFirstCloses() throws Exception {
        Lab first = new Lab(2);
        try (Lab second = new Lab(2)) {
            Endpoint a = second.endpointServer("a").endpoint();
            first.apply(Lab.service("web", address, a));
            second.apply(Lab.service("web", address, a));
            assertThat(first.status(address).state()).isEqualTo(FrontendStatus.State.ACTIVE);
            assertThat(second.status(address).failure()).isEqualTo(FrontendStatus.Failure.ADDRESS_IN_USE);
            for (int i = 0; i < 10; i++) {
                assertThat(second.ask(address)).isEqualTo("a");
            }
            assertThat(first.count(Counter.SESSIONS_OPENED)).isEqualTo(10);
            first.close();
            await().until(() -> {
                second.advance(Duration.ofSeconds(1));
                return second.status(address).state() == FrontendStatus.State.ACTIVE;
            });
            assertThat(second.ask(address)).isEqualTo("a");
        } finally {
            first.close();
        }
    }

    @Test
    void doesNotShareAnAddressServedWithReusePort() throws Exception {
        try (Lab lab = new Lab();
                ServerSocket foreign = new ServerSocket()) {
            foreign.setOption(StandardSocketOptions.SO_REUSEPORT, true);
            foreign.bind(new InetSocketAddress(address.address().toInetAddress(), address.port()));
            lab.apply(Lab.service("web", address, lab.endpointServer("a").endpoint()));
            assertThat(lab.status(address).failure()).isEqualTo(FrontendStatus.Failure.ADDRESS_IN_USE);
        }
    }

    @Test
    void aThousandEndpointUpdatesResetNoBusySession() throws Exception {
        try (Lab lab = new Lab(2)) {
            Endpoint[] echoes = new Endpoint[5];
            for (int i = 0; i < echoes.length; i++) {
                echoes[i] = lab.endpointServer(EndpointServer.Kind.ECHO).endpoint();
            }
            ServicePort[] versions = new ServicePort[echoes.length];
            for (int i = 0; i < versions.length; i++) {
                versions[i] = Lab.service("echo", address, echoes[i], echoes[(i + 1) % echoes.length]);
            }
            lab.apply(versions[0]);
            List<Socket> sessions = new ArrayList<>();
            for (int i = 0; i < 30; i++) {
                sessions.add(lab.dial(address));
            }
            for (int update = 0; update < 1_000; update++) {
                lab.apply(versions[update % versions.length]);
                Socket session = sessions.get(update % sessions.size());
                session.getOutputStream().write(update);
                assertThat(session.getInputStream().read()).isEqualTo(update & 0xff);
            }
            assertThat(lab.count(Counter.SESSIONS_ACTIVE)).isEqualTo(30);
            assertThat(lab.count(Counter.SESSIONS_RESET_BY_CLIENT) + lab.count(Counter.SESSIONS_RESET_BY_ENDPOINT))
                    .isZero();
        }
    }

    @Test
    void theNextAttemptUsesTheCurrentEndpoints() throws Exception {
        try (Lab lab = new Lab(1)) {
            lab.apply(Lab.service("web", address, lab.silent()));
            Socket waiting = lab.dial(address);
            await().until(() -> lab.count(Counter.SESSIONS_ACTIVE) == 1);
            lab.apply(Lab.service("web", address, lab.endpointServer("late").endpoint()));
            await().until(() -> {
                lab.advance(Duration.ofMillis(300));
                return lab.count(Counter.BYTES_TO_CLIENT) > 0;
            });
            assertThat(Lab.read(waiting)).isEqualTo("late");
        }
    }

    @Test
    void waitsForAtMostThreeSilentEndpoints() throws Exception {
        try (Lab lab = new Lab(1)) {
            lab.apply(Lab.service("web", address, lab.silent(), lab.silent(), lab.silent(), lab.silent()));
            Socket waiting = lab.dial(address);
            await().until(() -> {
                lab.advance(Duration.ofMillis(300));
                return lab.count(Counter.SESSIONS_FAILED) == 1;
            });
            assertThat(lab.count(Counter.CONNECT_TIMEOUT)).isEqualTo(3);
            assertThatThrownBy(() -> Lab.read(waiting)).isInstanceOf(SocketException.class);
        }
    }
}
