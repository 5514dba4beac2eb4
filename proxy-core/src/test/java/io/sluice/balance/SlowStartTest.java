package io.sluice.balance;

import static io.sluice.balance.TestService.endpoint;
import static io.sluice.balance.TestService.endpoints;
import static org.assertj.core.api.Assertions.assertThat;

import io.sluice.model.Endpoint;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class SlowStartTest {
    private static final long MINUTE = TimeUnit.MINUTES.toNanos(1);

    private static TestService service(int... endpoints) {
        TestService service = new TestService().withSlowStart(MINUTE);
        service.update(endpoints(endpoints));
        return service;
    }

    @ParameterizedTest
    @CsvSource({"0, 0", "15, 25", "30, 50", "45, 75", "60, 100", "600, 100"})
    void theShareGrowsLinearly(long seconds, int expected) {
        TestService service = service(1, 2);
        service.update(endpoints(1, 2, 3));
        service.advance(seconds);
        // 100 rounds, in which each old endpoint is picked once.
        Map<Endpoint, Integer> counts = service.counts(200 + expected);
        assertThat(counts.getOrDefault(endpoint(3), 0)).isBetween(expected - 1, expected + 1);
        assertThat(counts.get(endpoint(1))).isBetween(99, 101);
        assertThat(counts.get(endpoint(2))).isBetween(99, 101);
    }

    @Test
    void picksAreEvenlySpaced() {
        TestService service = service(1);
        service.update(endpoints(1, 2));
        service.advance(15);
        service.next(5);
        for (int i = 0; i < 20; i++) {
            assertThat(service.next(5)).containsOnlyOnce(endpoint(2));
        }
    }

    @Test
    void endpointsOfTheFirstVersionAreNotNew() {
        assertThat(service(1, 2, 3).counts(30).values()).containsOnly(10);
    }

    @Test
    void aWhollyNewSetIsNotNew() {
        TestService service = service(1, 2);
        service.update(endpoints(3, 4));
        assertThat(service.counts(20).values()).containsOnly(10);
        service.update(endpoints());
        service.update(endpoints(5, 6));
        assertThat(service.counts(20).values()).containsOnly(10);
    }

    @Test
    void aNewEndpointIsPickedIfItIsTheOnlyOneLeft() {
        TestService service = service(1);
        service.update(endpoints(1, 2));
        assertThat(service.next(4)).containsOnly(endpoint(1));
        service.update(endpoints(2));
        assertThat(service.next(4)).containsOnly(endpoint(2));
    }

    /** A rolling update that is shorter than the slow start leaves only new endpoints. */
    @Test
    void newEndpointsShareByAge() {
        TestService service = service(1);
        service.update(endpoints(1, 2));
        service.advance(20);
        service.update(endpoints(1, 2, 3));
        service.advance(20);
        service.update(endpoints(2, 3));
        Map<Endpoint, Integer> counts = service.counts(300);
        assertThat(counts.get(endpoint(2))).isBetween(199, 201);
        assertThat(counts.get(endpoint(3))).isBetween(99, 101);
    }

    @Test
    void newEndpointsShareEvenlyWhileTheOldestIsFull() {
        TestService service = service(1).withMaxPerEndpoint(1);
        service.update(endpoints(1, 2, 3));
        service.target(1).acquire();
        Map<Endpoint, Integer> counts = service.counts(20);
        assertThat(counts).containsOnly(Map.entry(endpoint(2), 10), Map.entry(endpoint(3), 10));
    }

    @Test
    void anEndpointThatReturnsIsNew() {
        TestService service = service(1, 2);
        service.update(endpoints(1));
        service.update(endpoints(1, 2));
        assertThat(service.next(4)).containsOnly(endpoint(1));
        service.advance(60);
        assertThat(service.counts(4).values()).containsOnly(2);
        // A change of another endpoint does not restart it.
        service.update(endpoints(1, 2, 3));
        assertThat(service.counts(4).values()).containsOnly(2);
    }

    /** The list for clients on this node may contain only the new endpoint. */
    @Test
    void listsOfAServicePortAgreeOnWhatIsNew() {
        TestService service = service(1, 2);
        service.update(endpoints(3), endpoints(1, 2, 3));
        assertThat(service.next(6)).doesNotContain(endpoint(3));
    }
}
