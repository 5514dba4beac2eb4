package io.sluice.stats;

import static org.assertj.core.api.Assertions.assertThat;

import io.sluice.model.Protocol;
import io.sluice.model.ServicePortName;
import java.util.HashMap;
import java.util.Map;
import org.junit.jupiter.api.Test;

class StatsTest {
    private static ServicePortName name(int index) {
        return new ServicePortName("ns", "s" + index, "", Protocol.TCP);
    }

    @Test
    void sumsOverLoopsAndServices() {
        Stats stats = new Stats(3);
        ServiceStats one = stats.open(name(1));
        one.cells(0).add(Counter.BYTES_TO_CLIENT, 5);
        one.cells(2).add(Counter.BYTES_TO_CLIENT, 7);
        stats.open(name(2)).cells(1).add(Counter.BYTES_TO_CLIENT, 100);
        assertThat(one.get(Counter.BYTES_TO_CLIENT)).isEqualTo(12);
        assertThat(stats.sum(Counter.BYTES_TO_CLIENT)).isEqualTo(112);
        assertThat(one.get(Counter.BYTES_TO_ENDPOINT)).isZero();
    }

    @Test
    void hadTrafficOnceACounterIsNotZero() {
        Stats stats = new Stats(2);
        ServiceStats one = stats.open(name(1));
        assertThat(one.hadTraffic()).isFalse();
        one.cells(1).add(Counter.SESSIONS_OPENED, 0);
        assertThat(one.hadTraffic()).as("counters that are all zero").isFalse();
        one.cells(1).increment(Counter.CONNECT_REFUSED);
        assertThat(one.hadTraffic()).isTrue();
    }

    @Test
    void closingAServicePortDropsItsCounters() {
        Stats stats = new Stats(1);
        ServiceStats one = stats.open(name(1));
        one.cells(0).increment(Counter.SESSIONS_OPENED);
        stats.close(one);
        assertThat(stats.services()).isEmpty();
        assertThat(stats.open(name(1)).get(Counter.SESSIONS_OPENED)).isZero();
        stats.close(one);
        assertThat(stats.services()).hasSize(1);
    }

    @Test
    void everyBusyServicePortHasItsOwnHistograms() {
        Stats stats = new Stats(2);
        for (int i = 0; i < 2_000; i++) {
            ServiceStats service = stats.open(name(i));
            assertThat(service.hasTimes()).isFalse();
            service.record(0, Timing.CONNECT, 3_000_000);
            service.record(1, Timing.CONNECT, 7_000_000);
        }
        for (int i = 0; i < 2_000; i++) {
            ServiceStats service = stats.open(name(i));
            assertThat(service.hasTimes()).isTrue();
            assertThat(service.sumNanos(Timing.CONNECT)).isEqualTo(10_000_000);
            assertThat(counts(service, Timing.CONNECT)).isEqualTo(Map.of(5e-3, 1L, 10e-3, 1L));
            assertThat(counts(service, Timing.SESSION)).isEmpty();
        }
        assertThat(stats.total().read(Timing.CONNECT).getTotalCount()).isEqualTo(4_000);
        assertThat(stats.total().read(Timing.CONNECT).getValueAtPercentile(50)).isBetween(2_990L, 3_010L);
    }

    @Test
    void recordsATimeInTheFirstBucketWithALargeEnoughBound() {
        ServiceStats service = new Stats(1).open(name(1));
        service.record(0, Timing.SESSION, -1);
        service.record(0, Timing.SESSION, 0);
        service.record(0, Timing.SESSION, 100_000);
        service.record(0, Timing.SESSION, 101_000);
        service.record(0, Timing.SESSION, 500_000_000_000L);
        service.record(0, Timing.SESSION, 500_000_001_000L);
        assertThat(counts(service, Timing.SESSION))
                .isEqualTo(Map.of(100e-6, 3L, 200e-6, 1L, 500.0, 1L, Double.POSITIVE_INFINITY, 1L));
        assertThat(service.sumNanos(Timing.SESSION)).isEqualTo(1_000_000_202_000L);
    }

    /** The counts of the buckets that are not empty, by upper bound in seconds. */
    private static Map<Double, Long> counts(ServiceStats service, Timing timing) {
        Map<Double, Long> counts = new HashMap<>();
        for (int bucket = 0; bucket < Buckets.count(); bucket++) {
            long count = service.count(timing, bucket);
            if (count > 0) {
                counts.put(Buckets.boundSeconds(bucket), count);
            }
        }
        return counts;
    }

    @Test
    void sortsServicePortsByName() {
        Stats stats = new Stats(1);
        for (int i : new int[] {3, 1, 2}) {
            stats.open(name(i));
        }
        assertThat(stats.services())
                .extracting(service -> service.name().service())
                .containsExactly("s1", "s2", "s3");
    }
}
