package io.sluice.forward;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import io.sluice.model.Cidr;
import io.sluice.model.Endpoint;
import io.sluice.model.Frontend;
import io.sluice.model.FrontendAddress;
import io.sluice.model.Protocol;
import io.sluice.model.Route;
import io.sluice.model.ServicePort;
import io.sluice.model.TrafficPolicy;
import io.sluice.model.TrafficPolicy.Balancing;
import io.sluice.model.TrafficPolicy.Limits;
import io.sluice.model.TrafficPolicy.ProxyHeader;
import io.sluice.model.TrafficPolicy.ProxyProtocol;
import io.sluice.model.TrafficPolicy.Timeouts;
import io.sluice.stats.Counter;
import java.io.IOException;
import java.net.Socket;
import java.net.SocketException;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;

/** Connections that wait for the first endpoint of a Service. */
class HoldTest {
    private static final TrafficPolicy HOLD = Policies.of(Policies.hold(Duration.ofMinutes(1), 3));

    private static void assertReset(Socket socket) {
        assertThatThrownBy(() -> socket.getInputStream().read()).isInstanceOf(SocketException.class);
    }

    private static void awaitHeld(Lab lab, int count) {
        await().untilAsserted(
                        () -> assertThat(lab.count(Counter.SESSIONS_HOLDING)).isEqualTo(count));
    }

    private static void awaitOpen(CountDownLatch latch) {
        try {
            assertThat(latch.await(10, TimeUnit.SECONDS)).isTrue();
        } catch (InterruptedException e) {
            throw new AssertionError(e);
        }
    }

    private static void send(Socket socket, String text) throws IOException {
        socket.getOutputStream().write(text.getBytes(StandardCharsets.UTF_8));
    }

    @Test
    void connectionsWaitForTheFirstEndpoint() throws Exception {
        try (Lab lab = new Lab()) {
            FrontendAddress address = Lab.freeAddress(Protocol.TCP);
            EndpointServer server = lab.endpointServer(EndpointServer.Kind.ECHO);
            lab.apply(Policies.service("web", address, HOLD));
            List<Socket> clients = new ArrayList<>();
            for (int i = 0; i < 3; i++) {
                Socket client = lab.dial(address);
                send(client, "request " + i);
                // A FIN is no abort: the client waits for the reply.
                client.shutdownOutput();
                clients.add(client);
            }
            awaitHeld(lab, 3);
            assertThat(lab.forwarder.connections(ConnectionFilter.ALL, null, 10).items())
                    .extracting(ConnectionStatus::state)
                    .containsOnly(ConnectionStatus.State.HOLDING);
            // Another change that brings no endpoint does not extend the wait.
            lab.advance(Duration.ofSeconds(50));
            lab.apply(Policies.service("web", address, Policies.of(Policies.hold(Duration.ofMinutes(1), 4))));
            awaitHeld(lab, 3);
            lab.apply(Policies.service("web", address, HOLD, server.endpoint()));
            for (int i = 0; i < 3; i++) {
                assertThat(Lab.read(clients.get(i))).isEqualTo("request " + i);
            }
            awaitHeld(lab, 0);
            assertThat(lab.count(Counter.SESSIONS_HOLD_TIMED_OUT)).isZero();
        }
    }

    @Test
    void theWaitIsLimitedInTimeAndNumber() throws Exception {
        try (Lab lab = new Lab(1)) {
            FrontendAddress address = Lab.freeAddress(Protocol.TCP);
            lab.apply(Policies.service("web", address, HOLD));
            List<Socket> clients = new ArrayList<>();
            for (int i = 0; i < 3; i++) {
                clients.add(lab.dial(address));
                awaitHeld(lab, i + 1);
            }
            // The reset may arrive before connect returns.
            assertThatThrownBy(() -> lab.dial(address).getInputStream().read()).isInstanceOf(SocketException.class);
            assertThat(lab.count(Counter.SESSIONS_OVER_HOLD_LIMIT)).isEqualTo(1);
            lab.advance(Duration.ofSeconds(30));
            lab.apply(Policies.service("web", address, Policies.of(Policies.hold(Duration.ofMinutes(1), 2))));
            lab.awaitApplied();
            lab.advance(Duration.ofSeconds(31));
            for (Socket client : clients) {
                assertReset(client);
            }
            awaitHeld(lab, 0);
            assertThat(lab.count(Counter.SESSIONS_HOLD_TIMED_OUT)).isEqualTo(3);
            assertThat(lab.forwarder.sessions()).isZero();
        }
    }

    @Test
    void aClientThatResetsNoLongerWaits() throws Exception {
        try (Lab lab = new Lab(1)) {
            FrontendAddress address = Lab.freeAddress(Protocol.TCP);
            lab.apply(Policies.service("web", address, HOLD));
            Socket client = lab.dial(address);
            awaitHeld(lab, 1);
            client.setSoLinger(true, 0);
            client.close();
            awaitHeld(lab, 0);
            assertThat(lab.count(Counter.SESSIONS_RESET_BY_CLIENT)).isEqualTo(1);
        }
    }

    @Test
    void waitingConnectionsEndWithTheirServiceAndWithTheirPolicy() throws Exception {
        try (Lab lab = new Lab()) {
            FrontendAddress address = Lab.freeAddress(Protocol.TCP);
            lab.apply(Policies.service("web", address, HOLD));
            Socket first = lab.dial(address);
            awaitHeld(lab, 1);
            lab.apply(Policies.service("web", address, TrafficPolicy.DEFAULT));
            assertReset(first);
            lab.apply(Policies.service("web", address, HOLD));
            Socket second = lab.dial(address);
            awaitHeld(lab, 1);
            lab.apply();
            assertReset(second);
            awaitHeld(lab, 0);
        }
    }

    /** The change finds no waiting connection yet, so the connection must look for a new route itself. */
    @Test
    void aConnectionDoesNotMissAnEndpointThatAppearsWhileItIsAccepted() throws Exception {
        CountDownLatch accepting = new CountDownLatch(1);
        CountDownLatch changed = new CountDownLatch(1);
        StackWalker stack = StackWalker.getInstance(StackWalker.Option.RETAIN_CLASS_REFERENCE);
        ForwarderConfig config = Lab.withClock(ForwarderConfig.defaults().withLoops(1), () -> {
            if (stack.walk(frames -> frames.anyMatch(frame -> frame.getDeclaringClass() == TcpSession.class))) {
                accepting.countDown();
                awaitOpen(changed);
            }
            return System.nanoTime();
        });
        try (Lab lab = new Lab(config)) {
            FrontendAddress address = Lab.freeAddress(Protocol.TCP);
            EndpointServer server = lab.endpointServer("one");
            lab.apply(Policies.service("web", address, HOLD));
            Socket client = lab.dial(address);
            awaitOpen(accepting);
            lab.apply(Policies.service("web", address, HOLD, server.endpoint()));
            changed.countDown();
            assertThat(Lab.read(client)).isEqualTo("one");
            awaitHeld(lab, 0);
        }
    }

    @Test
    void aConnectionDoesNotBeginToWaitAfterItsServiceIsGone() throws Exception {
        TrafficPolicy policy = new TrafficPolicy(
                Balancing.DEFAULT,
                Limits.NONE,
                Timeouts.DEFAULT,
                new ProxyProtocol(ProxyHeader.NONE, List.of(new Cidr(Lab.ip("127.0.0.0"), 8))),
                HOLD.lifetime(),
                List.of(),
                true);
        try (Lab lab = new Lab(1)) {
            FrontendAddress address = Lab.freeAddress(Protocol.TCP);
            lab.apply(Policies.service("web", address, policy));
            Socket client = lab.dial(address);
            await().untilAsserted(
                            () -> assertThat(lab.count(Counter.SESSIONS_ACTIVE)).isEqualTo(1));
            lab.apply();
            lab.awaitApplied();
            send(client, "PROXY UNKNOWN\r\n");
            assertReset(client);
        }
    }

    /** An endpoint that refuses ends the wait as for any other connection. */
    @Test
    void anEndpointThatRefusesEndsTheWait() throws Exception {
        try (Lab lab = new Lab()) {
            FrontendAddress address = Lab.freeAddress(Protocol.TCP);
            lab.apply(Policies.service("web", address, HOLD));
            Socket client = lab.dial(address);
            awaitHeld(lab, 1);
            lab.advance(Duration.ofSeconds(20));
            lab.apply(Policies.service("web", address, HOLD, Lab.closedPort()));
            assertReset(client);
            assertThat(lab.count(Counter.SESSIONS_FAILED)).isEqualTo(1);
        }
    }

    /** A process that gets no more changes cannot have an endpoint for them. */
    @Test
    void waitingConnectionsEndWhenTheProcessStopsAccepting() throws Exception {
        try (Lab lab = new Lab()) {
            FrontendAddress address = Lab.freeAddress(Protocol.TCP);
            lab.apply(Policies.service("web", address, HOLD));
            Socket client = lab.dial(address);
            awaitHeld(lab, 1);
            lab.forwarder.stopAccepting();
            assertReset(client);
            awaitHeld(lab, 0);
        }
    }

    /** A connection belongs to the Service that had the address when the client connected. */
    @Test
    void waitingConnectionsDoNotMoveToAnotherServiceWithTheirAddress() throws Exception {
        try (Lab lab = new Lab()) {
            FrontendAddress address = Lab.freeAddress(Protocol.TCP);
            Endpoint endpoint = lab.endpointServer(EndpointServer.Kind.ECHO).endpoint();
            ServicePort first = Policies.service("first", Lab.freeAddress(Protocol.TCP), HOLD);
            ServicePort both = new ServicePort(
                    first.name(),
                    first.affinity(),
                    HOLD,
                    Set.of(),
                    Set.of(),
                    List.of(first.frontends().get(0), Frontend.of(address, Route.HOLD)));
            lab.apply(both);
            Socket client = lab.dial(address);
            awaitHeld(lab, 1);
            lab.apply(first, Policies.service("second", address, TrafficPolicy.DEFAULT, endpoint));
            assertReset(client);
            awaitHeld(lab, 0);
        }
    }

    /** Limits that are set while connections wait apply to them. */
    @Test
    void waitingConnectionsAreSubjectToLaterLimits() throws Exception {
        try (Lab lab = new Lab()) {
            FrontendAddress address = Lab.freeAddress(Protocol.TCP);
            Endpoint endpoint = lab.endpointServer(EndpointServer.Kind.ECHO).endpoint();
            lab.apply(Policies.service("web", address, HOLD));
            for (int i = 0; i < 3; i++) {
                send(lab.dial(address), "x");
            }
            awaitHeld(lab, 3);
            TrafficPolicy limited = new TrafficPolicy(
                    HOLD.balancing(),
                    new TrafficPolicy.Limits(1, 0, 0, 0, 0),
                    HOLD.timeouts(),
                    HOLD.proxyProtocol(),
                    HOLD.lifetime(),
                    List.of(),
                    true);
            lab.apply(Policies.service("web", address, limited, endpoint));
            await().untilAsserted(() ->
                    assertThat(lab.count(Counter.SESSIONS_OVER_SERVICE_LIMIT)).isEqualTo(2));
            await().until(() -> lab.forwarder.sessions() == 1);
        }
    }
}
