package io.sluice.apiserver;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import io.sluice.thread.Supervisor;
import java.time.Duration;
import java.util.Random;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.atomic.AtomicLong;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

/** Collections that wait for API servers share one back-off. */
final class SharedBackoffTest {
    private static final Duration HOUR = Duration.ofHours(1);
    private static final Duration NO_DELAY = Duration.ZERO;

    private final AtomicLong nanos = new AtomicLong();
    private final SharedBackoff patient = new SharedBackoff(HOUR, HOUR, NO_DELAY, nanos::get, new Random(1));

    @AfterEach
    void close() {
        patient.close();
    }

    private static CompletableFuture<String> waiting(SharedBackoff retry, String name, Duration atLeast) {
        return Supervisor.call(name, () -> {
            retry.await(atLeast);
            return name;
        });
    }

    private static void awaitWaiting(int threads, String name) {
        await().until(() -> Thread.getAllStackTraces().keySet().stream()
                        .filter(thread -> thread.getName().startsWith(name))
                        .filter(thread -> thread.getState() == Thread.State.TIMED_WAITING)
                        .count()
                == threads);
    }

    @Test
    void aResponseEndsAllWaits() {
        var all = Stream.of("all-1", "all-2", "all-3", "all-4")
                .map(name -> waiting(patient, name, NO_DELAY))
                .toList();
        awaitWaiting(4, "all-");
        patient.responseReceived();
        await().until(() -> all.stream().allMatch(CompletableFuture::isDone));
    }

    @Test
    void aResponseDoesNotShortenRetryAfter() {
        var limited = waiting(patient, "limited", Duration.ofSeconds(8));
        var free = waiting(patient, "free", NO_DELAY);
        awaitWaiting(1, "limited");
        awaitWaiting(1, "free");
        patient.responseReceived();
        await().until(free::isDone);
        assertThat(limited).isNotDone();
        nanos.addAndGet(Duration.ofSeconds(8).toNanos());
        patient.responseReceived();
        await().until(limited::isDone);
    }

    @Test
    void spacesOutAttempts() {
        Duration one = Duration.ofMillis(40);
        SharedBackoff retry = new SharedBackoff(one, one, NO_DELAY, System::nanoTime, new Random(1));
        long begun = System.nanoTime();
        var all = Stream.of("turn-1", "turn-2", "turn-3", "turn-4")
                .map(name -> waiting(retry, name, NO_DELAY))
                .toList();
        await().until(() -> all.stream().allMatch(CompletableFuture::isDone));
        assertThat(Duration.ofNanos(System.nanoTime() - begun))
                .as("four waits of at least 20 ms, one after the other")
                .isGreaterThanOrEqualTo(one.multipliedBy(2));
    }

    @Test
    void doublesUpToTheLimitWithJitter() {
        Random random = new Random(1);
        Duration first = Duration.ofMillis(200);
        Duration most = Duration.ofSeconds(5);
        long[] expected = {200, 400, 800, 1_600, 3_200, 5_000, 5_000};
        for (int failures = 0; failures < expected.length; failures++) {
            int number = failures;
            assertThat(Stream.generate(() -> SharedBackoff.backOff(first, most, number, random)
                                    .toMillis())
                            .limit(200))
                    .as("after %s failures", failures)
                    .allSatisfy(millis -> assertThat(millis).isBetween(expected[number] / 2, expected[number]));
        }
        assertThat(SharedBackoff.backOff(first, most, Integer.MAX_VALUE, random))
                .isLessThanOrEqualTo(most);
    }
}
