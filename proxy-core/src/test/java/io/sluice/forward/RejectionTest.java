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

/** What the kernel refuses is failed, never active, and served once the kernel takes it. */
class RejectionTest {
    private final FrontendAddress tcp = Lab.freeAddress(Protocol.TCP);
    private final FrontendAddress udp = Lab.freeAddress(Protocol.UDP);

    @TempDir
    private Path folder;

    private int file() throws IOException {
        return FileDescriptor.from(Files.createTempFile(folder, "no", "socket").toFile())
                .intValue();
    }

    /** Puts a regular file, which epoll does not take (EPERM), in the place of a descriptor. */
    private void replaceByFile(int descriptor) throws IOException {
        InetSocket.close(descriptor);
        // The kernel gives the lowest number that is free.
        List<Integer> lower = new ArrayList<>();
        for (int file = file(); file != descriptor; file = file()) {
            assertThat(file).isLessThan(descriptor);
            lower.add(file);
        }
        lower.forEach(InetSocket::close);
    }

    /** Applies a service that inherits a socket, which is replaced before its loop registers it. */
    private void applyWithout(Lab lab, int descriptor, ServicePort service) throws Exception {
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
        lab.forwarder.inherit(
                new ForwarderHandover(List.of(new ForwarderHandover.Sockets(address, List.of(sockets))), List.of()));
    }

    /** The states it has entered; a retry may be as fast as this test. */
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
    void aTcpSocketThatEpollRefusesIsFailedUntilARetrySucceeds() throws Exception {
        try (Lab lab = new Lab(1)) {
            InetSocket refused = InetSocket.stream(tcp.address().family());
            applyWithout(
                    lab,
                    refused.intValue(),
                    Lab.service("web", tcp, lab.backend("a").endpoint()));
            Descriptors.closed();
            awaitRetry(lab, tcp);
            assertThat(lab.ask(tcp)).isEqualTo("a");
            assertFailedAtFirst(lab, tcp, "epoll", "Operation not permitted");
        }
        assertThat(Descriptors.open()).isZero();
    }

    @Test
    void aUdpSocketThatEpollRefusesIsFailedUntilARetrySucceeds() throws Exception {
        try (Lab lab = new Lab(1);
                UdpForwardingTest.Echo echo = new UdpForwardingTest.Echo("a", "127.0.0.1");
                DatagramSocket client = new DatagramSocket()) {
            InetSocket refused = InetSocket.datagram(udp.address().family());
            applyWithout(lab, refused.intValue(), Lab.service("dns", udp, echo.endpoint()));
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
    void oneInheritedDescriptorThatIsNoSocketFailsTheFrontend() throws Exception {
        long open = Lab.descriptors();
        try (Lab before = new Lab(1);
                Lab lab = new Lab(2)) {
            ServicePort web = Lab.service("web", tcp, lab.backend("a").endpoint());
            before.apply(web);
            ForwarderHandover.OpenSocket listening =
                    before.forwarder.release().frontends().get(0).sockets().get(0);
            inherit(lab, tcp, listening, socket(file()));
            inherit(lab, udp, socket(file()));
            lab.apply(web, Lab.service("dns", udp, Lab.rejectingNew()));
            awaitRetry(lab, tcp);
            awaitRetry(lab, udp);
            assertThat(lab.ask(tcp)).isEqualTo("a");
            assertFailedAtFirst(lab, tcp, "non-socket");
            assertFailedAtFirst(lab, udp, "non-socket");
        }
        assertThat(Descriptors.open()).isZero();
        await().untilAsserted(() -> assertThat(Lab.descriptors()).isLessThanOrEqualTo(open));
    }

    /** As one does that another process has shut down: accept(2) says EINVAL, whenever it is asked. */
    @Test
    void aListenerThatDoesNotListenIsFailedUntilARetrySucceeds() throws Exception {
        try (Lab lab = new Lab(1)) {
            InetSocket deaf = InetSocket.stream(tcp.address().family());
            deaf.bind(tcp.address().toSocketAddress(tcp.port()));
            inherit(lab, tcp, socket(deaf.intValue()));
            Descriptors.closed();
            lab.apply(Lab.service("web", tcp, lab.backend("a").endpoint()));
            await().until(() -> history(lab, tcp).stream().anyMatch(status -> status.state() == State.FAILED));
            awaitRetry(lab, tcp);
            assertThat(lab.ask(tcp)).isEqualTo("a");
        }
    }

    @Test
    void aFrontendWhoseRulesTheKernelRejectsIsFailedUntilItTakesThem() throws Exception {
        FrontendAddress empty = Lab.freeAddress(Protocol.TCP);
        try (Lab lab = new Lab(1)) {
            lab.apply(Lab.service("web", tcp, lab.backend("a").endpoint()), Lab.service("empty", empty));
            lab.forwarder.rejected(Map.of(tcp, "not these rules", empty, "nor these"));
            for (FrontendAddress address : List.of(tcp, empty)) {
                assertThat(lab.status(address).failure()).isEqualTo(Failure.REJECTED_BY_KERNEL);
            }
            assertThat(lab.status(tcp).reason()).isEqualTo("not these rules");
            assertThat(lab.forwarder.counts().failed(Failure.REJECTED_BY_KERNEL))
                    .isEqualTo(2);
            lab.forwarder.rejected(Map.of(tcp, "not these rules"));
            assertThat(lab.status(empty).reason()).isEqualTo("nothing to forward to, refused");
            // A change of its endpoints does not make it active.
            lab.apply(Lab.service("web", tcp, lab.backend("b").endpoint()));
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
    void aRejectedFrontendWhoseAddressIsTakenNeedsBoth() throws Exception {
        try (Lab lab = new Lab(1)) {
            Backend other = lab.closing(
                    new Backend("b", Backend.Kind.NAME, Lab.ip("127.0.0.9").toInetAddress()));
            FrontendAddress taken = new FrontendAddress(
                    Protocol.TCP, other.endpoint().address(), other.endpoint().port());
            lab.apply(Lab.service("web", taken, lab.backend("a").endpoint()));
            lab.forwarder.rejected(Map.of(taken, "not these rules"));
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
