package io.sluice.forward;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import io.netty.channel.unix.FileDescriptor;
import io.netty.util.concurrent.SingleThreadEventExecutor;
import io.sluice.forward.FrontendStatus.Failure;
import io.sluice.forward.FrontendStatus.State;
import io.sluice.model.FrontendAddress;
import io.sluice.model.Protocol;
import io.sluice.model.ServicePort;
import io.sluice.socket.Descriptors;
import io.sluice.socket.InetSocket;
import java.io.IOException;
import java.net.DatagramPacket;
import java.net.DatagramSocket;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** A frontend whose socket or rules the kernel rejects is failed, and active once the kernel accepts them. */
class RejectionTest {
    private final FrontendAddress tcp = Lab.freeAddress(Protocol.TCP);
    private final FrontendAddress udp = Lab.freeAddress(Protocol.UDP);

    @TempDir
    private Path directory;

    private int file() throws IOException {
        return FileDescriptor.from(
                        Files.createTempFile(directory, "no", "socket").toFile())
                .intValue();
    }

    /** Replaces a descriptor by that of a regular file, which epoll rejects (EPERM). */
    private void replaceByFile(int descriptor) throws IOException {
        InetSocket.close(descriptor);
        // The kernel assigns the lowest free number.
        List<Integer> lower = new ArrayList<>();
        for (int file = file(); file != descriptor; file = file()) {
            assertThat(file).isLessThan(descriptor);
            lower.add(file);
        }
        lower.forEach(InetSocket::close);
    }

    /** Applies a service with an inherited socket that is replaced by a file before its loop registers it. */
    private void applyWithReplacedSocket(Lab lab, int descriptor, ServicePort service) throws Exception {
        inherit(lab, service.frontends().get(0).address(), socket(descriptor));
        CountDownLatch release = lab.stopLoop();
        Thread control = new Thread(() -> lab.apply(service));
        control.start();
        SingleThreadEventExecutor loop =
                (SingleThreadEventExecutor) lab.forwarder.loops().get(0).executor;
        await().until(() -> loop.pendingTasks() > 0);
        replaceByFile(descriptor);
        release.countDown();
        control.join();
    }

    private static ForwarderHandover.OpenSocket socket(int descriptor) {
        return new ForwarderHandover.OpenSocket(descriptor, List.of());
    }

    private static void inherit(Lab lab, FrontendAddress address, ForwarderHandover.OpenSocket... sockets) {
        lab.forwarder.inherit(new ForwarderHandover(
                List.of(new ForwarderHandover.Sockets(address, List.of(sockets))), List.of(), List.of()));
    }

    /** All states that the frontend has entered; a retry may be faster than the test can observe. */
    private static List<FrontendStatus> history(Lab lab, FrontendAddress address) {
        synchronized (lab.changes) {
            return lab.changes.stream()
                    .filter(change -> change.address().equals(address))
                    .toList();
        }
    }

    private static void assertFailedAtFirst(Lab lab, FrontendAddress address, String... reason) {
        assertThat(history(lab, address)).extracting(FrontendStatus::state).containsExactly(State.FAILED, State.ACTIVE);
        assertThat(history(lab, address).get(0).reason()).contains(reason);
    }

    private static void awaitRetry(Lab lab, FrontendAddress address) {
        await().until(() -> {
            lab.advance(Duration.ofSeconds(1));
            return lab.status(address).state() == State.ACTIVE;
        });
    }

    @Test
    void aTcpSocketRejectedByEpollFailsUntilARetrySucceeds() throws Exception {
        try (Lab lab = new Lab(1)) {
            InetSocket unregistrable = InetSocket.stream(tcp.address().family());
            applyWithReplacedSocket(
                    lab,
                    unregistrable.intValue(),
                    Lab.service("web", tcp, lab.endpointServer("a").endpoint()));
            Descriptors.closed();
            awaitRetry(lab, tcp);
            assertThat(lab.ask(tcp)).isEqualTo("a");
            assertFailedAtFirst(lab, tcp, "epoll", "Operation not permitted");
        }
        assertThat(Descriptors.open()).isZero();
    }

    @Test
    void aUdpSocketRejectedByEpollFailsUntilARetrySucceeds() throws Exception {
        try (Lab lab = new Lab(1);
                UdpForwardingTest.Echo echo = new UdpForwardingTest.Echo("a", "127.0.0.1");
                DatagramSocket client = new DatagramSocket()) {
            InetSocket unregistrable = InetSocket.datagram(udp.address().family());
            applyWithReplacedSocket(lab, unregistrable.intValue(), Lab.service("dns", udp, echo.endpoint()));
            Descriptors.closed();
            awaitRetry(lab, udp);
            client.connect(udp.address().toSocketAddress(udp.port()));
            client.setSoTimeout(5_000);
            client.send(new DatagramPacket(new byte[] {'?'}, 1));
            DatagramPacket answer = new DatagramPacket(new byte[10], 10);
            client.receive(answer);
            assertThat(new String(answer.getData(), 0, answer.getLength(), StandardCharsets.UTF_8))
                    .isEqualTo("a?");
            assertFailedAtFirst(lab, udp, "epoll", "Operation not permitted");
        }
        assertThat(Descriptors.open()).isZero();
    }

    @Test
    void anInheritedDescriptorThatIsNotASocketFailsTheFrontend() throws Exception {
        long open = Lab.descriptors();
        try (Lab before = new Lab(1);
                Lab lab = new Lab(2)) {
            ServicePort web = Lab.service("web", tcp, lab.endpointServer("a").endpoint());
            before.apply(web);
            ForwarderHandover.OpenSocket listening =
                    before.forwarder.release().frontends().get(0).sockets().get(0);
            inherit(lab, tcp, listening, socket(file()));
            inherit(lab, udp, socket(file()));
            lab.apply(web, Lab.service("dns", udp, Lab.closedPort()));
            awaitRetry(lab, tcp);
            awaitRetry(lab, udp);
            assertThat(lab.ask(tcp)).isEqualTo("a");
            assertFailedAtFirst(lab, tcp, "non-socket");
            assertFailedAtFirst(lab, udp, "non-socket");
        }
        assertThat(Descriptors.open()).isZero();
        await().untilAsserted(() -> assertThat(Lab.descriptors()).isLessThanOrEqualTo(open));
    }

    /** For example one that another process has shut down: accept(2) always fails with EINVAL. */
    @Test
    void aSocketThatDoesNotListenFailsUntilARetrySucceeds() throws Exception {
        try (Lab lab = new Lab(1)) {
            InetSocket notListening = InetSocket.stream(tcp.address().family());
            notListening.bind(tcp.address().toSocketAddress(tcp.port()));
            inherit(lab, tcp, socket(notListening.intValue()));
            Descriptors.closed();
            lab.apply(Lab.service("web", tcp, lab.endpointServer("a").endpoint()));
            await().until(() -> history(lab, tcp).stream().anyMatch(status -> status.state() == State.FAILED));
            awaitRetry(lab, tcp);
            assertThat(lab.ask(tcp)).isEqualTo("a");
        }
    }

    @Test
    void failsWhileTheKernelRejectsTheRulesOfTheFrontend() throws Exception {
        FrontendAddress empty = Lab.freeAddress(Protocol.TCP);
        try (Lab lab = new Lab(1)) {
            lab.apply(Lab.service("web", tcp, lab.endpointServer("a").endpoint()), Lab.service("empty", empty));
            lab.forwarder.rejected(Map.of(tcp, "invalid rules", empty, "other rules"));
            for (FrontendAddress address : List.of(tcp, empty)) {
                assertThat(lab.status(address).failure()).isEqualTo(Failure.REJECTED_BY_KERNEL);
            }
            assertThat(lab.status(tcp).reason()).isEqualTo("invalid rules");
            assertThat(lab.forwarder.counts().failed(Failure.REJECTED_BY_KERNEL))
                    .isEqualTo(2);
            lab.forwarder.rejected(Map.of(tcp, "invalid rules"));
            assertThat(lab.status(empty).reason()).isEqualTo("no endpoint to forward to; the port is closed");
            // Changing its endpoints does not make it active.
            lab.apply(Lab.service("web", tcp, lab.endpointServer("b").endpoint()));
            assertThat(lab.status(tcp).failure()).isEqualTo(Failure.REJECTED_BY_KERNEL);
            lab.forwarder.rejected(Map.of());
            assertThat(lab.status(tcp).state()).isEqualTo(State.ACTIVE);
            assertThat(lab.ask(tcp)).isEqualTo("b");
            assertThat(history(lab, tcp))
                    .extracting(FrontendStatus::state)
                    .containsExactly(State.ACTIVE, State.FAILED, State.ACTIVE);
        }
    }

    @Test
    void isActiveOnlyWithBothAddressAndRules() throws Exception {
        try (Lab lab = new Lab(1)) {
            EndpointServer other = lab.closing(new EndpointServer(
                    "b", EndpointServer.Kind.NAME, Lab.ip("127.0.0.9").toInetAddress()));
            FrontendAddress taken = new FrontendAddress(
                    Protocol.TCP, other.endpoint().address(), other.endpoint().port());
            lab.apply(Lab.service("web", taken, lab.endpointServer("a").endpoint()));
            lab.forwarder.rejected(Map.of(taken, "invalid rules"));
            assertThat(lab.status(taken).failure()).isEqualTo(Failure.ADDRESS_IN_USE);
            other.close();
            await().until(() -> {
                lab.advance(Duration.ofSeconds(1));
                return lab.status(taken).failure() == Failure.REJECTED_BY_KERNEL;
            });
            lab.forwarder.rejected(Map.of());
            assertThat(lab.status(taken).state()).isEqualTo(State.ACTIVE);
            assertThat(lab.ask(taken)).isEqualTo("a");
        }
    }
}
