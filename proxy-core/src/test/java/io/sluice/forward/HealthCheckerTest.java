package io.sluice.forward;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assumptions.assumeThat;
import static org.awaitility.Awaitility.await;

import io.sluice.balance.EndpointHealth.State;
import io.sluice.balance.EndpointStatus;
import io.sluice.model.Endpoint;
import io.sluice.model.FrontendAddress;
import io.sluice.model.Protocol;
import io.sluice.model.ServicePort;
import io.sluice.model.SessionAffinity;
import io.sluice.model.TrafficPolicy;
import io.sluice.model.TrafficPolicy.Balancing;
import io.sluice.socket.Descriptors;
import java.net.ServerSocket;
import java.net.Socket;
import java.net.SocketException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Queue;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.TimeUnit;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

class HealthCheckerTest {
    private static final Duration INTERVAL = Duration.ofSeconds(5);

    private final FrontendAddress tcp = Lab.freeAddress(Protocol.TCP);

    private static ServicePort checked(ServicePort service, Duration interval) {
        Balancing none = Balancing.DEFAULT;
        Balancing balancing = new Balancing(
                none.algorithm(),
                none.slowStartNanos(),
                none.preference(),
                none.ejectAfter(),
                none.ejectForNanos(),
                interval.toNanos());
        TrafficPolicy policy = new TrafficPolicy(
                balancing,
                service.policy().limits(),
                service.policy().timeouts(),
                service.policy().proxyProtocol(),
                service.policy().lifetime(),
                service.policy().sourceRanges(),
                service.policy().socketLb());
        return new ServicePort(
                service.name(),
                service.affinity(),
                policy,
                service.servingEndpoints(),
                service.preferredEndpoints(),
                service.frontends());
    }

    private ServicePort checked(Endpoint... endpoints) {
        return checked(Lab.service("web", tcp, endpoints), INTERVAL);
    }

    private static EndpointStatus status(Lab lab, ServicePort service, Endpoint endpoint) {
        return lab.forwarder.endpoints(service.name()).stream()
                .filter(status -> status.endpoint().equals(endpoint))
                .findFirst()
                .orElseThrow();
    }

    private static void awaitState(Lab lab, ServicePort service, Endpoint endpoint, State state) {
        await().untilAsserted(() ->
                assertThat(status(lab, service, endpoint).health().state()).isEqualTo(state));
    }

    private static void awaitFailures(Lab lab, ServicePort service, Endpoint endpoint, int failures) {
        await().untilAsserted(
                        () -> assertThat(status(lab, service, endpoint).health().consecutiveFailures())
                                .isEqualTo(failures));
    }

    @Test
    void findsOutWithoutClients() throws Exception {
        try (Lab lab = new Lab()) {
            Endpoint a = lab.endpointServer("a").endpoint();
            Endpoint closed = Lab.closedPort();
            ServicePort web = checked(a, closed);
            lab.apply(web);
            lab.advance(INTERVAL);
            awaitState(lab, web, a, State.UP);
            awaitFailures(lab, web, closed, 1);
            lab.advance(INTERVAL);
            awaitFailures(lab, web, closed, 2);
            lab.advance(INTERVAL);
            awaitState(lab, web, closed, State.EJECTED);
            // No connection is wasted on it.
            assertThat(lab.ask(tcp)).isEqualTo("a");
            assertThat(lab.ask(tcp)).isEqualTo("a");
            EndpointStatus status = status(lab, web, closed);
            assertThat(status.stats().failed()).isZero();
            assertThat(status.health().lastError()).isEqualTo("connection refused");
            try (ServerSocket server =
                    new ServerSocket(closed.port(), 10, closed.address().toInetAddress())) {
                lab.advance(INTERVAL);
                awaitState(lab, web, closed, State.UP);
                server.accept().close();
            }
            assertThat(lab.ended).hasSize(2);
        }
    }

    @Test
    void resetsItsConnections() throws Exception {
        try (Lab lab = new Lab()) {
            EndpointServer server = lab.endpointServer(EndpointServer.Kind.MANUAL);
            ServicePort web = checked(server.endpoint());
            lab.apply(web);
            for (int i = 0; i < 3; i++) {
                lab.advance(INTERVAL);
                try (Socket check = server.next()) {
                    assertThatThrownBy(() -> check.getInputStream().read())
                            .isInstanceOf(SocketException.class)
                            .hasMessageContaining("reset");
                }
            }
        }
        await().untilAsserted(() -> assertThat(Descriptors.open()).isZero());
    }

    @Test
    void timesOut() throws Exception {
        try (Lab lab = new Lab()) {
            Endpoint silent = lab.silent();
            ServicePort web = checked(silent, lab.endpointServer("a").endpoint());
            lab.apply(web);
            int open = Descriptors.open();
            lab.advance(INTERVAL);
            await().until(() -> Descriptors.open() > open);
            lab.advance(Duration.ofMillis(1_500));
            awaitState(lab, web, silent, State.SILENT);
            assertThat(status(lab, web, silent).health().lastError()).isEqualTo("connect timeout");
            lab.advance(INTERVAL);
            lab.advance(Duration.ofMillis(1_500));
            awaitState(lab, web, silent, State.EJECTED);
        }
    }

    @Test
    void stopsWithTheEndpointThePolicyAndTheService() throws Exception {
        try (Lab lab = new Lab(1)) {
            EndpointServer server = lab.endpointServer(EndpointServer.Kind.MANUAL);
            Endpoint a = lab.endpointServer("a").endpoint();
            ServicePort[] withoutChecks = {
                Lab.service("web", tcp, server.endpoint(), a), checked(a), Lab.service("other", tcp, a)
            };
            for (ServicePort without : withoutChecks) {
                ServicePort web = checked(server.endpoint(), a);
                lab.apply(web);
                lab.advance(INTERVAL);
                server.next().close();
                awaitState(lab, web, a, State.UP);
                int accepted = server.accepted.get();
                lab.apply(without);
                Endpoint closed = Lab.closedPort();
                FrontendAddress other = Lab.freeAddress(Protocol.TCP);
                ServicePort marker = checked(Lab.service("marker", other, closed), INTERVAL);
                lab.apply(without, marker);
                // The loop has started all checks that are due when that of the other service has a result.
                lab.advance(INTERVAL);
                awaitFailures(lab, marker, closed, 1);
                assertThat(server.accepted).hasValue(accepted);
            }
        }
    }

    @Test
    void doesNotCheckUdpEndpoints() throws Exception {
        FrontendAddress udp = Lab.freeAddress(Protocol.UDP);
        try (Lab lab = new Lab()) {
            // Nothing listens on this TCP port.
            Endpoint closed = Lab.closedPort();
            ServicePort dns = checked(Lab.service("dns", udp, closed), INTERVAL);
            ServicePort web = checked(closed);
            lab.apply(dns, web);
            lab.advance(INTERVAL);
            awaitFailures(lab, web, closed, 1);
            assertThat(status(lab, dns, closed).health().state()).isEqualTo(State.UNKNOWN);
        }
    }

    @Test
    void anUnchangedEndpointIsNotCheckedMoreOftenAfterAChange() throws Exception {
        try (Lab lab = new Lab()) {
            Endpoint closed = Lab.closedPort();
            ServicePort web = checked(closed);
            lab.apply(web);
            lab.advance(INTERVAL);
            awaitFailures(lab, web, closed, 1);
            Endpoint second = Lab.closedPort();
            ServicePort changed = checked(closed, second);
            lab.apply(changed);
            lab.advance(INTERVAL);
            awaitFailures(lab, changed, closed, 2);
            awaitFailures(lab, changed, second, 1);
        }
    }

    @Test
    void limitsTheChecksInFlight() throws Exception {
        try (Lab lab = new Lab(1)) {
            ServerSocket full = lab.closing(new ServerSocket(0, 1));
            for (int i = 0; i < 2; i++) {
                lab.closing(new Socket(Lab.ip("127.0.0.1").toInetAddress(), full.getLocalPort()));
            }
            Endpoint[] endpoints = IntStream.range(1, 101)
                    .mapToObj(i -> new Endpoint(Lab.ip("127.0.1." + i), full.getLocalPort()))
                    .toArray(Endpoint[]::new);
            ServicePort web = checked(endpoints);
            lab.apply(web);
            int open = Descriptors.open();
            lab.advance(INTERVAL);
            await().untilAsserted(() -> assertThat(Descriptors.open()).isEqualTo(open + 64));
            lab.advance(Duration.ofMillis(1_500));
            await().until(() -> failed(lab, web) >= 64);
            lab.advance(Duration.ofMillis(1_500));
            await().until(() -> failed(lab, web) == 100);
        }
        await().untilAsserted(() -> assertThat(Descriptors.open()).isZero());
    }

    private static long failed(Lab lab, ServicePort service) {
        return lab.forwarder.endpoints(service.name()).stream()
                .filter(status -> status.health().consecutiveFailures() > 0)
                .count();
    }

    /** Otherwise the rules of node mode could redirect a check to Sluice itself. */
    @Test
    void marksItsSocketsInNodeMode() throws Exception {
        assumeThat(Files.getAttribute(Path.of("/proc/self"), "unix:uid"))
                .as("needs root, for transparent sockets")
                .isEqualTo(0);
        Queue<Endpoint> marked = new ConcurrentLinkedQueue<>();
        TransparentSockets sockets = new TransparentSockets(
                address -> false,
                (client, endpoint) -> false,
                endpoint -> {
                    marked.add(endpoint);
                    return 0;
                },
                0);
        try (Lab lab = new Lab(ForwarderConfig.defaults().withTransparentSockets(sockets))) {
            Endpoint a = lab.endpointServer("a").endpoint();
            ServicePort web = checked(a);
            lab.apply(web);
            lab.advance(INTERVAL);
            awaitState(lab, web, a, State.UP);
            assertThat(marked).containsExactly(a);
        }
    }

    @Test
    void stopsWhenTheForwarderStopsAccepting() throws Exception {
        try (Lab lab = new Lab()) {
            EndpointServer server = lab.endpointServer(EndpointServer.Kind.MANUAL);
            ServicePort web = checked(server.endpoint());
            lab.apply(web);
            lab.forwarder.stopAccepting();
            lab.apply(checked(Lab.service("web", tcp, new SessionAffinity(1), server.endpoint()), INTERVAL));
            lab.advance(INTERVAL);
            for (Loop loop : lab.forwarder.loops()) {
                // Later than the next tick.
                loop.executor.schedule(() -> {}, 150, TimeUnit.MILLISECONDS).sync();
            }
            assertThat(server.accepted).hasValue(0);
        }
    }
}
