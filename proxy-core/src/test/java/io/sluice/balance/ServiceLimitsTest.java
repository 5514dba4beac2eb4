package io.sluice.balance;

import static org.assertj.core.api.Assertions.assertThat;

import io.sluice.balance.ServiceLimits.Refusal;
import io.sluice.model.IpAddress;
import io.sluice.model.TrafficPolicy.Limits;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;

class ServiceLimitsTest {
    private static final IpAddress CLIENT = IpAddress.v4(1);
    private static final long MINUTE = 60_000_000_000L;

    @Test
    void theRateAllowsABurstAndThenOneForEachPart() {
        ServiceLimits limits = new ServiceLimits();
        Limits rate = new Limits(0, 0, 0, 6, MINUTE);
        List<Integer> admittedAtSecond = new ArrayList<>();
        for (int second = 0; second < 60; second++) {
            for (int i = 0; i < 10; i++) {
                if (limits.tryOpen(rate, CLIENT, second * 1_000_000_000L) == null) {
                    admittedAtSecond.add(second);
                }
            }
        }
        assertThat(admittedAtSecond).containsExactly(0, 0, 0, 0, 0, 0, 10, 20, 30, 40, 50);
        // After a whole idle period, the burst is available again, but no more.
        int admitted = 0;
        for (int i = 0; i < 10; i++) {
            admitted += limits.tryOpen(rate, CLIENT, 10 * MINUTE) == null ? 1 : 0;
        }
        assertThat(admitted).isEqualTo(6);
    }

    @Test
    void aRefusalCountsNothing() {
        ServiceLimits limits = new ServiceLimits();
        assertThat(limits.tryOpen(new Limits(1, 0, 0, 0, 0), CLIENT, 0)).isNull();
        assertThat(limits.tryOpen(new Limits(1, 0, 0, 0, 0), CLIENT, 0)).isEqualTo(Refusal.SERVICE);
        assertThat(limits.tryOpen(new Limits(0, 1, 0, 0, 0), CLIENT, 0)).isEqualTo(Refusal.CLIENT);
        limits.closed(CLIENT);
        assertThat(limits.isEmpty()).isTrue();
    }

    @Test
    void limitsAreExactWithManyThreads() throws InterruptedException {
        ServiceLimits limits = new ServiceLimits();
        Limits max = new Limits(50, 7, 0, 0, 0);
        AtomicInteger admitted = new AtomicInteger();
        int[] perClient = new int[20];
        List<Thread> threads = new ArrayList<>();
        for (int i = 0; i < 4; i++) {
            Thread thread = new Thread(() -> {
                for (int round = 0; round < 1_000; round++) {
                    int client = round % perClient.length;
                    if (limits.tryOpen(max, IpAddress.v4(client), 0) == null) {
                        admitted.incrementAndGet();
                        synchronized (perClient) {
                            perClient[client]++;
                        }
                    }
                }
            });
            thread.start();
            threads.add(thread);
        }
        for (Thread thread : threads) {
            thread.join();
        }
        assertThat(admitted).hasValue(50);
        for (int client = 0; client < perClient.length; client++) {
            assertThat(perClient[client]).isLessThanOrEqualTo(7);
            for (int i = 0; i < perClient[client]; i++) {
                limits.closed(IpAddress.v4(client));
            }
        }
        assertThat(limits.isEmpty()).isTrue();
    }
}
