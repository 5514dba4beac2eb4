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

/** What a change costs, counted in sockets and state changes, never in time. */
class ApplyTest {
    private static final int SERVICES = 10_000;
    private static final int PORT = 31_007;

    private static FrontendAddress address(int index) {
        return new FrontendAddress(Protocol.TCP, IpAddress.v4(0x7f400000 + index), PORT);
    }

    @Test
    void touchingOneOfTenThousandServicesTouchesNothingElse() throws Exception {
        try (Lab lab = new Lab(2)) {
            Endpoint a = lab.backend("a").endpoint();
            Endpoint b = lab.backend("b").endpoint();
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
    void descriptorsAndThreadsReturnToTheirStart() throws Exception {
        long before = 0;
        for (int round = 0; round < 3; round++) {
            try (Lab lab = new Lab(2)) {
                FrontendAddress address = Lab.freeAddress(Protocol.TCP);
                lab.apply(Lab.service("web", address, lab.backend("a").endpoint()));
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

    /** Found by the test above, once in a while: a loop that was at its tasks when told to end left its sockets open. */
    @Test
    void closingWhileALoopIsBusyClosesItsSessions() throws Exception {
        Lab lab = new Lab(1);
        FrontendAddress address = Lab.freeAddress(Protocol.TCP);
        Backend backend = lab.backend(Backend.Kind.HAND_OVER);
        lab.apply(Lab.service("web", address, backend.endpoint()));
        Socket client = lab.dial(address);
        lab.closing(backend.next()).getOutputStream().write(1);
        assertThat(client.getInputStream().read()).isEqualTo(1);
        IoEventLoop loop = lab.forwarder.loops().get(0).executor;
        new Runnable() {
            /** Keeps the loop at its tasks until it is told to end. */
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
