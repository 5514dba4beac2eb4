package io.sluice.forward;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import ch.qos.logback.classic.Level;
import ch.qos.logback.classic.Logger;
import io.netty.channel.IoEventLoop;
import io.netty.channel.IoHandle;
import io.netty.channel.IoHandler;
import io.netty.channel.IoHandlerContext;
import io.netty.channel.IoHandlerFactory;
import io.netty.channel.IoRegistration;
import io.netty.channel.epoll.EpollIoHandler;
import io.sluice.model.Endpoint;
import io.sluice.model.FrontendAddress;
import io.sluice.model.Protocol;
import io.sluice.model.ServiceSnapshot;
import io.sluice.thread.EventLoops;
import io.sluice.thread.Supervisor;
import io.sluice.thread.Supervisor.Failure;
import java.net.ServerSocket;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;
import org.junit.jupiter.api.Test;
import org.slf4j.LoggerFactory;

/** Failure reports for threads of the forwarder that die or are blocked. */
final class EventLoopsTest {
    private final AtomicLong clockNanos = new AtomicLong();
    private final Supervisor supervisor = new Supervisor(clockNanos::get);

    /** Turns loggers off until closed, because errors that are logged fail the test. */
    private static AutoCloseable silence(String... loggers) {
        for (String name : loggers) {
            ((Logger) LoggerFactory.getLogger(name)).setLevel(Level.OFF);
        }
        return () -> {
            for (String name : loggers) {
                ((Logger) LoggerFactory.getLogger(name)).setLevel(null);
            }
        };
    }

    /** Throws an error as soon as the test asks for it. */
    private static final class FailingHandler implements IoHandler {
        private final AtomicBoolean die;

        FailingHandler(AtomicBoolean die) {
            this.die = die;
        }

        @Override
        public int run(IoHandlerContext context) {
            if (die.get()) {
                throw new OutOfMemoryError("as the test wants");
            }
            return 0;
        }

        @Override
        public IoRegistration register(IoHandle handle) {
            throw new UnsupportedOperationException();
        }

        @Override
        public void wakeup() {}

        @Override
        public boolean isCompatible(Class<? extends IoHandle> handleType) {
            return false;
        }
    }

    @Test
    void reportsALoopThatDies() throws Exception {
        AtomicBoolean die = new AtomicBoolean();
        IoHandlerFactory dying = executor -> new FailingHandler(die);
        try (AutoCloseable quiet = silence("io.netty", "io.sluice.thread")) {
            EventLoops loops = EventLoops.start(supervisor, "sluice-test", 1, dying);
            assertThat(supervisor.failures()).as("%s", quiet).isEmpty();
            die.set(true);
            await().untilAsserted(() -> assertThat(supervisor.failures())
                    .containsExactly(new Failure("sluice-test", "a thread ended unexpectedly")));
            loops.close(Duration.ZERO, Duration.ZERO).awaitUninterruptibly();
            assertThat(supervisor.failures()).isEmpty();
        }
    }

    @Test
    void reportsALoopThatIsBlocked() throws InterruptedException {
        EventLoops loops = EventLoops.start(supervisor, "sluice-test", 2, EpollIoHandler.newFactory());
        CountDownLatch blocked = new CountDownLatch(1);
        CountDownLatch release = new CountDownLatch(1);
        IoEventLoop first = (IoEventLoop) loops.group().iterator().next();
        first.execute(() -> {
            blocked.countDown();
            try {
                release.await();
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            }
        });
        blocked.await();
        clockNanos.addAndGet(Duration.ofSeconds(60).toNanos());
        // The second loop's heartbeat follows the real clock, so by this clock it may be late too.
        assertThat(supervisor.failures())
                .extracting(Failure::thread)
                .contains("sluice-test-1")
                .allMatch(name -> name.startsWith("sluice-test-"));
        release.countDown();
        loops.close(Duration.ZERO, Duration.ofSeconds(5)).awaitUninterruptibly();
        assertThat(supervisor.failures()).isEmpty();
    }

    @Test
    void housekeepingContinuesAfterAnError() throws Exception {
        FrontendAddress address = Lab.freeAddress(Protocol.TCP);
        AtomicBoolean fail = new AtomicBoolean();
        AtomicInteger failures = new AtomicInteger();
        ForwarderConfig config = Lab.withClock(ForwarderConfig.defaults().withLoops(1), () -> {
            if (fail.get() && Thread.currentThread().getName().equals("sluice-housekeeper")) {
                failures.incrementAndGet();
                throw new OutOfMemoryError("as the test wants");
            }
            return System.nanoTime();
        });
        ServerSocket taken =
                new ServerSocket(address.port(), 1, address.address().toInetAddress());
        try (AutoCloseable quiet = silence("io.sluice.thread");
                Forwarder forwarder = new Forwarder(config, ForwarderCallbacks.of(status -> {}), supervisor)) {
            fail.set(true);
            forwarder.apply(ServiceSnapshot.of(Lab.service("web", address, new Endpoint(Lab.ip("127.0.0.1"), 1))));
            assertThat(state(forwarder)).as("%s", quiet).isEqualTo(FrontendStatus.State.FAILED);
            await().until(() -> failures.get() > 0);
            taken.close();
            fail.set(false);
            await().untilAsserted(() -> assertThat(state(forwarder)).isEqualTo(FrontendStatus.State.ACTIVE));
            assertThat(supervisor.failures()).isEmpty();
        }
        assertThat(supervisor.failures()).isEqualTo(List.of());
    }

    private static FrontendStatus.State state(Forwarder forwarder) {
        return forwarder.frontends().get(0).state();
    }
}
