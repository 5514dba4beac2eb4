package io.sluice.thread;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import ch.qos.logback.classic.Logger;
import ch.qos.logback.classic.spi.ILoggingEvent;
import ch.qos.logback.core.AppenderBase;
import io.sluice.thread.Supervisor.Failure;
import java.time.Duration;
import java.util.List;
import java.util.Queue;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.IntFunction;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.slf4j.LoggerFactory;

/** Threads that die, end or get stuck in various ways. */
@Timeout(60)
final class SupervisorTest {
    private final AtomicLong clockNanos = new AtomicLong(Long.MAX_VALUE - 5);
    private final Supervisor supervisor = new Supervisor(clockNanos::get);
    private final AtomicInteger runs = new AtomicInteger();
    private final CountDownLatch never = new CountDownLatch(1);
    private final Logger logger = (Logger) LoggerFactory.getLogger("io.sluice.thread");
    private final Queue<String> logged = new ConcurrentLinkedQueue<>();
    private volatile boolean logFails;

    private final AppenderBase<ILoggingEvent> appender = new AppenderBase<>() {
        @Override
        protected void append(ILoggingEvent event) {
            logged.add(event.getLevel() + " " + event.getFormattedMessage());
            if (logFails) {
                throw new OutOfMemoryError("thrown by the test");
            }
        }
    };

    /** Keeps the expected errors from the root logger, where GuardExtension would fail this class for them. */
    @BeforeEach
    void captureLog() {
        logger.setAdditive(false);
        appender.start();
        logger.addAppender(appender);
    }

    @AfterEach
    void restoreLog() {
        logger.detachAppender(appender);
        logger.setAdditive(true);
        never.countDown();
    }

    private void advance(Duration time) {
        clockNanos.addAndGet(time.toNanos());
    }

    /** A body that throws a few times, and then waits until it is interrupted. */
    private Supervisor.Body dying(int times, IntFunction<Throwable> error) {
        return () -> {
            int run = runs.incrementAndGet();
            if (run <= times) {
                sneakyThrow(error.apply(run));
            }
            never.await();
        };
    }

    @SuppressWarnings("unchecked") // throws any type without declaring it
    private static <T extends Throwable> void sneakyThrow(Throwable t) throws T {
        throw (T) t;
    }

    @SuppressWarnings("InfiniteRecursion") // on purpose
    private static int overflow(int depth) {
        return overflow(depth + 1) + 1;
    }

    @Test
    void restartsALoopThatDiesOrReturns() throws InterruptedException {
        Worker worker = supervisor.loop("sluice-test", () -> {
            switch (runs.incrementAndGet()) {
                case 1 -> throw new IllegalStateException("one");
                case 2 -> assertThat(overflow(0)).isZero();
                case 3 -> {
                    return;
                }
                default -> never.await();
            }
        });
        await().until(() -> runs.get() == 4);
        assertThat(logged)
                .containsExactly(
                        "ERROR thread sluice-test died; restarting it",
                        "ERROR thread sluice-test died; restarting it",
                        "ERROR thread sluice-test died; restarting it");
        assertThat(supervisor.failures()).isEmpty();
        worker.close();
        assertThat(worker.join(Duration.ofSeconds(60))).isTrue();
        assertThat(runs).hasValue(4);
        assertThat(logged).as("close() is not logged").hasSize(3);
    }

    @Test
    void aLoopThatKeepsDyingIsAFailureUntilItHasRunForAMinute() {
        Worker worker = supervisor.loop("sluice-test", dying(5, run -> new StackOverflowError("number " + run)));
        await().until(() -> runs.get() == 6);
        assertThat(supervisor.failures())
                .containsExactly(
                        new Failure("sluice-test", "died 5 times within 60 s: java.lang.StackOverflowError: number 5"));
        advance(Duration.ofSeconds(59));
        assertThat(supervisor.failures()).hasSize(1);
        advance(Duration.ofSeconds(1));
        assertThat(supervisor.failures()).isEmpty();
        worker.close();
    }

    @Test
    void aStoppedWorkerIsNotAFailure() throws InterruptedException {
        Worker worker = supervisor.loop("sluice-test", dying(100, run -> new IllegalStateException("again")));
        await().until(() -> runs.get() == 5);
        await().until(() -> !supervisor.failures().isEmpty());
        worker.stop();
        // Does not wait for the back-off.
        assertThat(worker.join(Duration.ofSeconds(60))).isTrue();
        assertThat(supervisor.failures()).isEmpty();
        assertThat(runs.get()).isLessThan(100);
    }

    @Test
    void restartsABodyThatIsInterruptedWithoutBeingStopped() {
        Worker worker = supervisor.loop("sluice-test", dying(1, run -> new InterruptedException("by mistake")));
        await().until(() -> runs.get() == 2);
        worker.close();
    }

    @Test
    void repeatsAOneTimeTaskOnlyIfItFailed() throws InterruptedException {
        Worker worker = supervisor.once("sluice-test", () -> {
            if (runs.incrementAndGet() == 1) {
                throw new NoClassDefFoundError("one");
            }
        });
        assertThat(worker.join(Duration.ofSeconds(60))).isTrue();
        assertThat(runs).hasValue(2);
        assertThat(supervisor.failures()).isEmpty();
    }

    @Test
    void restartsAThreadEvenIfLoggingItsDeathFails() {
        logFails = true;
        Worker worker = supervisor.loop("sluice-test", dying(5, run -> new OutOfMemoryError("number " + run)));
        await().until(() -> runs.get() == 6);
        assertThat(supervisor.failures()).hasSize(1);
        worker.close();
    }

    @Test
    void aPeriodicTaskSurvivesExceptionsAndLogsOnlyChanges() {
        Worker worker = supervisor.scheduled("sluice-test", Duration.ofMillis(1), () -> {
            int run = runs.incrementAndGet();
            if (run < 10) {
                throw new IllegalStateException("number " + run);
            }
            if (run < 20) {
                throw new AssertionError("number " + run);
            }
        });
        await().until(() -> runs.get() > 30);
        assertThat(logged)
                .containsExactly(
                        "ERROR periodic task sluice-test failed; retrying every 1 ms",
                        "ERROR periodic task sluice-test failed; retrying every 1 ms",
                        "INFO periodic task sluice-test succeeded after failing");
        assertThat(supervisor.failures()).isEmpty();
        worker.close();
    }

    @Test
    void aPeriodicTaskThatDoesNotReturnIsStuck() {
        CountDownLatch begun = new CountDownLatch(1);
        Worker worker = supervisor.scheduled("sluice-test", Duration.ofSeconds(1), () -> {
            begun.countDown();
            try {
                never.await();
            } catch (InterruptedException e) {
                // Tasks swallow interrupts; the worker must end nevertheless.
                runs.incrementAndGet();
            }
        });
        await().until(() -> begun.getCount() == 0);
        assertThat(supervisor.failures()).isEmpty();
        advance(Duration.ofSeconds(301));
        assertThat(supervisor.failures()).containsExactly(new Failure("sluice-test", "stuck for 301 s"));
        worker.close();
        await().until(() -> supervisor.failures().isEmpty());
    }

    @Test
    void aHeartbeatIsStuckUntilItsNextBeat() {
        Heartbeat first = supervisor.heartbeat("sluice-b", Duration.ofSeconds(60));
        Heartbeat second = supervisor.heartbeat("sluice-a", Duration.ofSeconds(60));
        advance(Duration.ofSeconds(59));
        assertThat(supervisor.failures()).isEmpty();
        advance(Duration.ofSeconds(1));
        assertThat(supervisor.failures())
                .containsExactly(new Failure("sluice-a", "stuck for 60 s"), new Failure("sluice-b", "stuck for 60 s"));
        first.beat();
        second.close();
        assertThat(supervisor.failures()).isEmpty();
    }

    @Test
    void aLibraryThreadThatEndsIsAFailure() throws InterruptedException {
        LibraryThreadFactory threads = supervisor.libraryThreadFactory("sluice-lib", Thread::new);
        Thread lives = threads.newThread(() -> runs.incrementAndGet());
        assertThat(supervisor.failures()).isEmpty();
        lives.start();
        lives.join();
        assertThat(supervisor.failures()).containsExactly(new Failure("sluice-lib", "a thread ended unexpectedly"));
        threads.close();
        assertThat(supervisor.failures()).isEmpty();
    }

    @Test
    void aLibraryThreadThatEndsAfterCloseIsNotAFailure() throws InterruptedException {
        LibraryThreadFactory threads = supervisor.libraryThreadFactory("sluice-lib", Thread::new);
        Thread ends = threads.newThread(() -> runs.incrementAndGet());
        threads.close();
        ends.start();
        ends.join();
        assertThat(supervisor.failures()).isEmpty();
        assertThat(logged).isEmpty();
    }

    @Test
    void anErrorOfAShortTaskCompletesItsFuture() throws Exception {
        assertThat(Supervisor.call("sluice-test", () -> Thread.currentThread().getName())
                        .get())
                .isEqualTo("sluice-test");
        assertThatThrownBy(
                        () -> Supervisor.call("sluice-test", () -> overflow(0)).get())
                .isInstanceOf(ExecutionException.class)
                .hasCauseInstanceOf(StackOverflowError.class);
    }

    @Test
    void allThreadsAreDaemons() {
        List<Boolean> daemon = new java.util.concurrent.CopyOnWriteArrayList<>();
        Worker worker = supervisor.once(
                "sluice-test", () -> daemon.add(Thread.currentThread().isDaemon()));
        await().until(() -> daemon.size() == 1);
        assertThat(daemon).containsExactly(true);
        worker.close();
    }
}
