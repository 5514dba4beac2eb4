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

/** What is known of the forwarder's threads when one of them dies or stands still. */
final class EventLoopsTest {
    private final AtomicLong clockNanos = new AtomicLong();
    private final Supervisor supervisor = new Supervisor(clockNanos::get);

    /** Silent while it is wanted: what is logged would be a fault of this class. */
    private static AutoCloseable silent(String... loggers) {
        for (String name : loggers) {
            ((Logger) LoggerFactory.getLogger(name)).setLevel(Level.OFF);
        }
        return () -> {
            for (String name : loggers) {
                ((Logger) LoggerFactory.getLogger(name)).setLevel(null);
            }
        };
    }

    /** Dies from an error as soon as it is told to. */
    private static final class Dying implements IoHandler {
        private final AtomicBoolean die;

        Dying(AtomicBoolean die) {
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
    void aLoopThatDiesIsAFailure() throws Exception {
        AtomicBoolean die = new AtomicBoolean();
        IoHandlerFactory dying = executor -> new Dying(die);
        try (AutoCloseable quiet = silent("io.netty", "io.sluice.thread")) {
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
    void aLoopThatStandsStillIsAFailure() throws InterruptedException {
        EventLoops loops = EventLoops.start(supervisor, "sluice-test", 2, EpollIoHandler.newFactory());
        CountDownLatch standing = new CountDownLatch(1);
        CountDownLatch release = new CountDownLatch(1);
        IoEventLoop first = (IoEventLoop) loops.group().iterator().next();
        first.execute(() -> {
            standing.countDown();
            try {
                release.await();
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            }
        });
        standing.await();
        clockNanos.addAndGet(Duration.ofSeconds(60).toNanos());
        // The other one beats when it is due, which it is only by the real clock; both are late by this one.
        assertThat(supervisor.failures())
                .extracting(Failure::thread)
                .contains("sluice-test-1")
                .allMatch(name -> name.startsWith("sluice-test-"));
        release.countDown();
        loops.close(Duration.ZERO, Duration.ofSeconds(5)).awaitUninterruptibly();
        assertThat(supervisor.failures()).isEmpty();
    }

    @Test
    void housekeepingGoesOnAfterAnError() throws Exception {
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
        try (AutoCloseable quiet = silent("io.sluice.thread");
                Forwarder forwarder = new Forwarder(config, status -> {}, supervisor)) {
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
