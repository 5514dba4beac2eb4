package io.sluice.forward;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import io.netty.channel.IoEventLoop;
import io.sluice.model.Endpoint;
import io.sluice.model.FrontendAddress;
import io.sluice.model.IpAddress;
import io.sluice.model.Protocol;
import io.sluice.model.ServicePort;
import io.sluice.model.ServiceSnapshot;
import io.sluice.socket.Descriptors;
import java.net.Socket;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;

/** Cost of applying a change, in sockets and state changes, and what closing the forwarder releases. */
class ApplyTest {
    private static final int SERVICES = 10_000;
    private static final int PORT = 31_007;

    private static FrontendAddress address(int index) {
        return new FrontendAddress(Protocol.TCP, IpAddress.v4(0x7f400000 + index), PORT);
    }

    @Test
    void changingOneOfTenThousandServicesChangesNothingElse() throws Exception {
        try (Lab lab = new Lab(2)) {
            Endpoint a = lab.endpointServer("a").endpoint();
            Endpoint b = lab.endpointServer("b").endpoint();
            List<ServicePort> services = new ArrayList<>();
            for (int i = 0; i < SERVICES; i++) {
                services.add(Lab.service("s" + i, address(i), a));
            }
            ServiceSnapshot before = ServiceSnapshot.of(services.toArray(ServicePort[]::new));
            lab.forwarder.apply(before);
            assertThat(lab.forwarder.frontends()).hasSize(SERVICES);
            assertThat(lab.forwarder.frontends())
                    .filteredOn(status -> status.state() != FrontendStatus.State.ACTIVE)
                    .isEmpty();
            assertThat(lab.ask(address(4711))).isEqualTo("a");
            long descriptors = Lab.descriptors();
            int changes = lab.changes.size();

            ServiceSnapshot after = before.with(List.of(Lab.service("s4711", address(4711), b)), List.of());
            lab.forwarder.apply(after);
            assertThat(lab.ask(address(4711))).isEqualTo("b");
            assertThat(lab.changes).hasSize(changes);
            await().untilAsserted(() -> assertThat(Lab.descriptors()).isLessThanOrEqualTo(descriptors));

            lab.forwarder.apply(after.with(List.of(Lab.service("s4711", address(4711))), List.of()));
            assertThat(lab.changes).hasSize(changes + 1);
            await().untilAsserted(() -> assertThat(Lab.descriptors()).isLessThan(descriptors));
            assertThat(lab.ask(address(4712))).isEqualTo("a");
        }
    }

    @Test
    void closingReleasesAllDescriptorsAndThreads() throws Exception {
        long before = 0;
        for (int round = 0; round < 3; round++) {
            try (Lab lab = new Lab(2)) {
                FrontendAddress address = Lab.freeAddress(Protocol.TCP);
                lab.apply(Lab.service("web", address, lab.endpointServer("a").endpoint()));
                for (int i = 0; i < 50; i++) {
                    lab.ask(address);
                }
                assertThat(Thread.getAllStackTraces().keySet())
                        .anyMatch(thread -> thread.getName().startsWith("sluice-"));
            }
            long limit = before;
            if (round > 0) {
                await().untilAsserted(() -> assertThat(Lab.descriptors()).isLessThanOrEqualTo(limit));
            }
            before = Lab.descriptors();
        }
        await().untilAsserted(() -> assertThat(Descriptors.open()).isZero());
        await().untilAsserted(() -> assertThat(Thread.getAllStackTraces().keySet())
                .noneMatch(thread -> thread.getName().startsWith("sluice-")));
    }

    /**
     * Regression: a loop that was running tasks at shutdown left its sockets open.
     */
    @Test
    void closingWhileALoopIsBusyClosesItsSessions() throws Exception {
        Lab lab = new Lab(1);
        FrontendAddress address = Lab.freeAddress(Protocol.TCP);
        EndpointServer endpointServer = lab.endpointServer(EndpointServer.Kind.MANUAL);
        lab.apply(Lab.service("web", address, endpointServer.endpoint()));
        Socket client = lab.dial(address);
        lab.closing(endpointServer.next()).getOutputStream().write(1);
        assertThat(client.getInputStream().read()).isEqualTo(1);
        IoEventLoop loop = lab.forwarder.loops().get(0).executor;
        new Runnable() {
            /** Keeps the loop running tasks until it shuts down. */
            @Override
            public void run() {
                for (long start = System.nanoTime(); System.nanoTime() - start < 1_000_000; ) {
                    Thread.onSpinWait();
                }
                if (!loop.isShuttingDown()) {
                    loop.execute(this);
                }
            }
        }.run();
        lab.forwarder.close();
        assertThat(Descriptors.open()).isZero();
        lab.close();
    }
}
