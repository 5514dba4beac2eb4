package io.sluice.forward;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assumptions.assumeThat;
import static org.awaitility.Awaitility.await;

import io.sluice.GuardExtension;
import io.sluice.model.Endpoint;
import io.sluice.model.Frontend;
import io.sluice.model.FrontendAddress;
import io.sluice.model.IpAddress;
import io.sluice.model.Protocol;
import io.sluice.model.Route;
import io.sluice.model.Route.Source;
import io.sluice.model.ServicePort;
import io.sluice.model.ServicePortName;
import io.sluice.model.ServiceSnapshot;
import io.sluice.model.SessionAffinity;
import io.sluice.socket.Descriptors;
import io.sluice.socket.InetSocket;
import io.sluice.stats.Counter;
import java.io.IOException;
import java.net.DatagramPacket;
import java.net.DatagramSocket;
import java.net.Socket;
import java.net.SocketException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.BiPredicate;
import java.util.function.LongSupplier;
import java.util.function.Predicate;
import org.junit.jupiter.api.Test;

/** Exceptions while something is opened leak no counter, descriptor, buffer or registration. */
class FaultTest {
    /** Differs from the address of the endpoints; an endpoint never sees its own address as that of the client. */
    private static final String CLIENT = "127.0.0.9";

    /** Flipped bits that make the port of a listener invalid. */
    private static final int NO_PORT = 0x10000;

    private static final int IPPROTO_TCP = 6;
    private static final int NO_OPTION = 9_999;

    private final FrontendAddress tcp = Lab.freeAddress(Protocol.TCP);
    private final FrontendAddress udp = Lab.freeAddress(Protocol.UDP);

    private static boolean notLocal(IpAddress address) {
        return false;
    }

    private static boolean neverPreserved(IpAddress client, IpAddress endpoint) {
        return false;
    }

    private static Lab transparent(
            int loops,
            Predicate<IpAddress> isOwn,
            BiPredicate<IpAddress, IpAddress> canPreserveClient,
            int flippedPortBits)
            throws IOException {
        assumeThat(Files.getAttribute(Path.of("/proc/self"), "unix:uid"))
                .as("needs root, for transparent sockets")
                .isEqualTo(0);
        return new Lab(ForwarderConfig.defaults()
                .withLoops(loops)
                .withTransparentSockets(
                        new TransparentSockets(isOwn, canPreserveClient, endpoint -> 0, flippedPortBits)));
    }

    /** A service that preserves the client's address, so {@code canPreserveClient} is called for each attempt. */
    private static ServicePort clientAddressService(FrontendAddress address, Endpoint... endpoints) {
        return new ServicePort(
                new ServicePortName("test", "kept", "", address.protocol()),
                SessionAffinity.NONE,
                Set.of(),
                List.of(Frontend.of(address, Route.forward(List.of(endpoints), Source.CLIENT))));
    }

    private static void awaitAllReleased(Lab lab, int descriptorsBefore) throws InterruptedException {
        await().untilAsserted(() -> assertThat(Descriptors.open()).isEqualTo(descriptorsBefore));
        assertThat(lab.count(Counter.SESSIONS_ACTIVE)).isZero();
        assertThat(lab.forwarder.drain(Duration.ZERO)).isZero();
    }

    @Test
    void endsAConnectionWhoseFirstAttemptThrows() throws Exception {
        BiPredicate<IpAddress, IpAddress> fault = (client, endpoint) -> {
            throw new IllegalStateException("on purpose");
        };
        try (Lab lab = transparent(1, FaultTest::notLocal, fault, 0)) {
            lab.apply(clientAddressService(tcp, lab.endpointServer("a").endpoint()));
            int before = Descriptors.open();
            assertThatThrownBy(() -> Lab.read(lab.dial(tcp, CLIENT)))
                    .isInstanceOf(SocketException.class)
                    .hasMessageContaining("reset");
            awaitAllReleased(lab, before);
            assertThat(GuardExtension.takeErrors()).singleElement().asString().contains("on purpose");
        }
    }

    @Test
    void endsAConnectionWhoseSecondAttemptThrows() throws Exception {
        AtomicInteger attempts = new AtomicInteger();
        BiPredicate<IpAddress, IpAddress> fault = (client, endpoint) -> {
            if (attempts.incrementAndGet() > 1) {
                throw new IllegalStateException("on purpose");
            }
            return false;
        };
        try (Lab lab = transparent(1, FaultTest::notLocal, fault, 0)) {
            lab.apply(clientAddressService(tcp, lab.silent(), lab.silent()));
            int before = Descriptors.open();
            Socket client = lab.dial(tcp, CLIENT);
            await().until(() -> lab.count(Counter.SESSIONS_ACTIVE) == 1);
            await().until(() -> {
                lab.advance(Duration.ofMillis(300));
                return attempts.get() == 2;
            });
            assertThatThrownBy(() -> Lab.read(client)).isInstanceOf(SocketException.class);
            awaitAllReleased(lab, before);
            assertThat(GuardExtension.takeErrors()).singleElement().asString().contains("on purpose");
        }
    }

    @Test
    void aListenerThatThrowsFailsAloneAndIsRetried() throws Exception {
        try (Lab lab = transparent(2, FaultTest::notLocal, FaultTest::neverPreserved, NO_PORT)) {
            int before = Descriptors.open();
            Endpoint endpoint = lab.endpointServer("a").endpoint();
            lab.apply(
                    Lab.service("tcp", tcp, endpoint),
                    Lab.service("udp", udp, endpoint),
                    Lab.service("other", Lab.freeAddress(Protocol.UDP), endpoint));
            assertThat(lab.status(tcp).failure()).isEqualTo(FrontendStatus.Failure.OTHER);
            assertThat(lab.status(tcp).reason()).contains("port out of range");
            assertThat(lab.forwarder.frontends())
                    .filteredOn(status -> status.state() == FrontendStatus.State.ACTIVE)
                    .hasSize(2);
            lab.apply(Lab.service("tcp", tcp, endpoint));
            // A retry has a descriptor open for a moment.
            await().untilAsserted(() -> assertThat(Descriptors.open()).isEqualTo(before));
            assertThat(GuardExtension.takeErrors())
                    .isNotEmpty()
                    .allSatisfy(fault -> assertThat(fault).contains(tcp.toString(), "port out of range"));
        }
    }

    /** A socket opened meanwhile would never be closed, and would keep its port from the new process. */
    @Test
    void opensNothingBetweenReleaseAndTakeBack() throws Exception {
        try (Lab lab = new Lab(1)) {
            FrontendAddress udp = Lab.freeAddress(Protocol.UDP);
            ForwarderHandover released;
            try (DatagramSocket taken =
                    new DatagramSocket(udp.port(), udp.address().toInetAddress())) {
                lab.apply(Lab.service("echo", udp, new Endpoint(Lab.ip("127.0.0.1"), taken.getLocalPort())));
                assertThat(lab.status(udp).state()).isEqualTo(FrontendStatus.State.FAILED);
                released = lab.forwarder.release();
            }
            lab.advance(Duration.ofMinutes(1));
            lab.forwarder.runHousekeeping();
            assertThat(lab.forwarder.handoverSize()).isEqualTo(new ForwarderHandover.Size(0, 0));
            lab.forwarder.takeBack(released);
            assertThat(lab.forwarder.handoverSize()).isEqualTo(new ForwarderHandover.Size(1, 1));
        }
    }

    @Test
    void closesAllAdoptedSocketsIfOneThrows() throws Exception {
        try (Lab before = transparent(2, FaultTest::notLocal, FaultTest::neverPreserved, 0);
                Lab after = transparent(2, FaultTest::notLocal, FaultTest::neverPreserved, NO_PORT)) {
            ServicePort web = Lab.service("web", tcp, before.endpointServer("a").endpoint());
            before.apply(web);
            ForwarderHandover released = before.forwarder.release();
            assertThat(released.descriptors()).hasSize(2);
            int open = Descriptors.open();
            // Within one process the descriptors are not duplicated: the second forwarder owns them.
            after.forwarder.inherit(released);
            after.apply(web);
            assertThat(after.status(tcp).state()).isEqualTo(FrontendStatus.State.FAILED);
            await().untilAsserted(() -> assertThat(Descriptors.open()).isEqualTo(open));
            // The port is free, so both sockets are closed.
            try (Lab third = new Lab(1)) {
                third.apply(web);
                assertThat(third.status(tcp).state()).isEqualTo(FrontendStatus.State.ACTIVE);
            }
            assertThat(GuardExtension.takeErrors()).isNotEmpty();
        }
    }

    @Test
    void anAdoptedFlowThatThrowsDoesNotAffectTheOthers() throws Exception {
        Predicate<IpAddress> fault = address -> {
            throw new IllegalStateException("on purpose");
        };
        try (Lab before = new Lab(1);
                Lab after = transparent(1, fault, FaultTest::neverPreserved, 0)) {
            UdpForwardingTest.Echo echo = before.closing(new UdpForwardingTest.Echo("a", "127.0.0.1"));
            before.apply(Lab.service("dns", udp, echo.endpoint()));
            List<DatagramSocket> clients = new ArrayList<>();
            for (int i = 0; i < 3; i++) {
                DatagramSocket client = before.closing(new DatagramSocket());
                client.setSoTimeout(5_000);
                client.connect(udp.address().toSocketAddress(udp.port()));
                clients.add(client);
                assertThat(ask(client)).isEqualTo("a?");
            }
            int open = Descriptors.open();
            ForwarderHandover released = withExternalClient(before.forwarder.release());
            after.forwarder.inherit(released);
            after.forwarder.apply(ServiceSnapshot.of(byOrigin(udp, echo.endpoint())));
            await().untilAsserted(
                            () -> assertThat(after.count(Counter.FLOWS_ACTIVE)).isEqualTo(2));
            await().untilAsserted(() -> assertThat(Descriptors.open()).isEqualTo(open - 1));
            int externalPort =
                    released.frontends().get(0).sockets().get(0).flows().get(0).clientPort();
            for (DatagramSocket client : clients) {
                if (client.getLocalPort() != externalPort) {
                    assertThat(ask(client)).isEqualTo("a?");
                }
            }
            assertThat(after.count(Counter.FLOWS_OPENED)).isZero();
            assertThat(GuardExtension.takeErrors()).singleElement().asString().contains("on purpose");
        }
    }

    /** The clock throws while the age of the flow is computed. */
    @Test
    void closesAFlowThatCannotBeReleasedAndServesItsAddressAgain() throws Exception {
        AtomicBoolean failing = new AtomicBoolean();
        LongSupplier clock = () -> {
            if (failing.get() && Thread.currentThread().getName().startsWith("sluice-loop")) {
                throw new IllegalStateException("on purpose");
            }
            return System.nanoTime();
        };
        try (UdpForwardingTest.Echo echo = new UdpForwardingTest.Echo("a", "127.0.0.1");
                Forwarder forwarder = new Forwarder(withClock(clock), ForwarderCallbacks.of(status -> {}));
                DatagramSocket client = new DatagramSocket()) {
            forwarder.apply(ServiceSnapshot.of(Lab.service("dns", udp, echo.endpoint())));
            client.setSoTimeout(5_000);
            client.connect(udp.address().toSocketAddress(udp.port()));
            int before = Descriptors.open();
            assertThat(ask(client)).isEqualTo("a?");
            failing.set(true);
            ForwarderHandover released = forwarder.release();
            failing.set(false);
            assertThat(released.frontends()).isEmpty();
            await().untilAsserted(() -> assertThat(Descriptors.open()).isZero());
            forwarder.takeBack(released);
            assertThat(forwarder.frontends())
                    .extracting(FrontendStatus::state)
                    .containsExactly(FrontendStatus.State.ACTIVE);
            assertThat(ask(client)).isEqualTo("a?");
            assertThat(Descriptors.open()).isEqualTo(before + 1);
            assertThat(forwarder.stats().sum(Counter.FLOWS_ACTIVE)).isEqualTo(1);
            assertThat(GuardExtension.takeErrors())
                    .anySatisfy(fault -> assertThat(fault).contains(udp.toString(), "on purpose"));
        }
    }

    private static ForwarderConfig withClock(LongSupplier clock) {
        ForwarderConfig defaults = ForwarderConfig.defaults();
        return new ForwarderConfig(
                1,
                defaults.busyPoll(),
                defaults.connectTimeout(),
                defaults.connectDeadline(),
                defaults.connectAttempts(),
                defaults.halfClosedTimeout(),
                defaults.keepAlive(),
                defaults.stalledTimeout(),
                defaults.udpUnrepliedTimeout(),
                defaults.udpRepliedTimeout(),
                defaults.maxFlows(),
                defaults.maxClientSharePercent(),
                defaults.bufferBudgetBytes(),
                defaults.transparentSockets(),
                clock);
    }

    /**
     * Replaces the client of the first flow by an external one, whose origin depends on the addresses of the machine.
     */
    private static ForwarderHandover withExternalClient(ForwarderHandover released) {
        ForwarderHandover.Sockets sockets = released.frontends().get(0);
        ForwarderHandover.OpenSocket socket = sockets.sockets().get(0);
        List<ForwarderHandover.OpenFlow> flows = new ArrayList<>(socket.flows());
        ForwarderHandover.OpenFlow first = flows.get(0);
        flows.set(
                0,
                new ForwarderHandover.OpenFlow(
                        first.descriptor(),
                        Lab.ip("198.18.0.7"),
                        first.clientPort(),
                        first.endpoint(),
                        first.asked(),
                        first.answered(),
                        first.ageNanos()));
        return new ForwarderHandover(
                List.of(new ForwarderHandover.Sockets(
                        sockets.address(), List.of(new ForwarderHandover.OpenSocket(socket.descriptor(), flows)))),
                released.services(),
                released.takenOut());
    }

    private static ServicePort byOrigin(FrontendAddress address, Endpoint endpoint) {
        Route node = Route.forward(List.of(endpoint), Source.NODE);
        return new ServicePort(
                new ServicePortName("test", "dns", "", Protocol.UDP),
                SessionAffinity.NONE,
                Set.of(endpoint),
                List.of(new Frontend(Frontend.Kind.LOAD_BALANCER, address, node, node, Route.DROP, List.of())));
    }

    private static String ask(DatagramSocket client) throws IOException {
        client.send(new DatagramPacket(new byte[] {'?'}, 1));
        DatagramPacket answer = new DatagramPacket(new byte[100], 100);
        client.receive(answer);
        return new String(answer.getData(), 0, answer.getLength(), StandardCharsets.UTF_8);
    }

    /** Callers handle an IOException, but not the RuntimeException that Netty throws. */
    @Test
    void anUnknownSocketOptionIsAnIOException() throws Exception {
        // Loads the native code.
        Lab lab = new Lab(1);
        InetSocket socket = InetSocket.stream(tcp.address().family());
        try (lab) {
            assertThatThrownBy(() -> socket.setIntOpt(IPPROTO_TCP, NO_OPTION, 1))
                    .isInstanceOf(IOException.class)
                    .hasMessageContaining("not available");
            assertThatThrownBy(() -> socket.getRawOpt(IPPROTO_TCP, NO_OPTION, ByteBuffer.allocate(4)))
                    .isInstanceOf(IOException.class)
                    .hasMessageContaining("not available");
        } finally {
            socket.closeQuietly();
        }
    }

    @Test
    void closesInheritedSocketsThatWereNeverApplied() throws Exception {
        try (Lab before = new Lab(2)) {
            before.apply(Lab.service("web", tcp, before.endpointServer("a").endpoint()));
            long open = Lab.descriptors();
            Lab after = new Lab(1);
            after.forwarder.inherit(before.forwarder.release());
            after.close();
            assertThat(Lab.descriptors()).isEqualTo(open - 2);
        }
    }

    @Test
    void aFailedConstructorLeavesNoDescriptors() throws Exception {
        ForwarderConfig defaults = ForwarderConfig.defaults();
        ForwarderConfig impossible = new ForwarderConfig(
                2,
                defaults.busyPoll(),
                defaults.connectTimeout(),
                defaults.connectDeadline(),
                defaults.connectAttempts(),
                defaults.halfClosedTimeout(),
                defaults.keepAlive(),
                defaults.stalledTimeout(),
                defaults.udpUnrepliedTimeout(),
                Duration.ofSeconds(Long.MAX_VALUE),
                defaults.maxFlows(),
                defaults.maxClientSharePercent(),
                defaults.bufferBudgetBytes(),
                defaults.transparentSockets(),
                defaults.nanoClock());
        // Load classes first, because that opens descriptors.
        new Lab(1).close();
        long open = Lab.descriptors();
        assertThatThrownBy(() -> new Lab(impossible)).isInstanceOf(ArithmeticException.class);
        await().untilAsserted(() -> assertThat(Lab.descriptors()).isLessThanOrEqualTo(open));
    }

    /** Runs in a process with direct memory for the loop, but not for the read buffer of datagrams. */
    @Test
    void servesTcpWithoutMemoryForDatagrams() throws Exception {
        Path out = Files.createTempFile("memory", ".txt");
        Process process = new ProcessBuilder(
                        Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                        "-ea",
                        "-XX:MaxDirectMemorySize=1m",
                        "-cp",
                        System.getProperty("java.class.path"),
                        WithoutMemory.class.getName())
                .redirectErrorStream(true)
                .redirectOutput(out.toFile())
                .start();
        try {
            assertThat(process.waitFor(15, TimeUnit.SECONDS)).isTrue();
            assertThat(process.exitValue()).as(Files.readString(out)).isZero();
        } finally {
            process.destroyForcibly();
            Files.delete(out);
        }
    }

    /** Main class of that process; exits with 1 after an exception. */
    static final class WithoutMemory {
        private WithoutMemory() {}

        public static void main(String[] args) throws Exception {
            FrontendAddress tcp = Lab.freeAddress(Protocol.TCP);
            FrontendAddress udp = Lab.freeAddress(Protocol.UDP);
            try (Lab lab = new Lab(1)) {
                Endpoint endpoint = lab.endpointServer("a").endpoint();
                lab.apply(Lab.service("udp", udp, endpoint), Lab.service("tcp", tcp, endpoint));
                assertThat(Descriptors.open()).isEqualTo(1);
                assertThat(lab.ask(tcp)).isEqualTo("a");
                assertThat(lab.status(udp).failure()).isEqualTo(FrontendStatus.Failure.OUT_OF_MEMORY);
            }
            System.exit(0);
        }
    }
}
