package io.sluice.stats;

import static org.assertj.core.api.Assertions.assertThat;

import io.sluice.model.Protocol;
import io.sluice.model.ServicePortName;
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
    void trafficIsRememberedOnceAnythingWasCounted() {
        Stats stats = new Stats(2);
        ServiceStats one = stats.open(name(1));
        assertThat(one.hadTraffic()).isFalse();
        one.cells(1).add(Counter.SESSIONS_OPENED, 0);
        assertThat(one.hadTraffic()).as("counters that count nothing").isFalse();
        one.cells(1).increment(Counter.CONNECT_REFUSED);
        assertThat(one.hadTraffic()).isTrue();
    }

    @Test
    void figuresEndWithTheService() {
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
    void histogramsExistOnlyWithTrafficAndTheLongestUnusedGoes() {
        Stats stats = new Stats(1);
        for (int i = 0; i < 501; i++) {
            ServiceStats service = stats.open(name(i));
            assertThat(service.timings()).isNull();
            service.record(Timing.CONNECT, 3_000_000, i);
        }
        assertThat(stats.open(name(0)).timings()).isNull();
        for (int i = 1; i < 501; i++) {
            Timings timings = stats.open(name(i)).timings();
            assertThat(timings).isNotNull();
            assertThat(timings.read(Timing.CONNECT).getTotalCount()).isEqualTo(1);
        }
        assertThat(stats.total().read(Timing.CONNECT).getTotalCount()).isEqualTo(501);
        assertThat(stats.total().read(Timing.CONNECT).getValueAtPercentile(50)).isBetween(2_990L, 3_010L);
    }

    @Test
    void servicesComeOrderedByName() {
        Stats stats = new Stats(1);
        for (int i : new int[] {3, 1, 2}) {
            stats.open(name(i));
        }
        assertThat(stats.services())
                .extracting(service -> service.name().service())
                .containsExactly("s1", "s2", "s3");
    }
}
