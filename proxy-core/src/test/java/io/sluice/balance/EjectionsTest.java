package io.sluice.balance;

import static io.sluice.balance.TestService.CLIENT;
import static io.sluice.balance.TestService.endpoint;
import static io.sluice.balance.TestService.endpoints;
import static io.sluice.balance.TestService.firstEndpoints;
import static org.assertj.core.api.Assertions.assertThat;

import io.sluice.balance.EndpointHealth.State;
import io.sluice.model.Endpoint;
import io.sluice.model.TrafficPolicy.Algorithm;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Random;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;

class EjectionsTest {
    private static final long SECOND = TimeUnit.SECONDS.toNanos(1);

    private final TestService service = new TestService();

    private void update(int... endpoints) {
        service.update(endpoints(endpoints));
    }

    private EndpointTarget target(int endpoint) {
        return service.target(endpoint);
    }

    private void refuse(int endpoint, int times) {
        for (int i = 0; i < times; i++) {
            target(endpoint).refused("connection refused", service.nowNanos);
        }
    }

    private void timeOut(int endpoint, int timeouts) {
        target(endpoint).timedOut(timeouts, "connect timeout", service.nowNanos);
    }

    private State state(int endpoint) {
        return target(endpoint).status().health().state();
    }

    private long ejected(int... endpoints) {
        return endpoints(endpoints).stream()
                .filter(endpoint -> service.target(endpoint).isEjected())
                .count();
    }

    /** The endpoint gets exactly one of these picks. */
    private void assertTrial(int endpoint) {
        assertThat(service.next(10)).filteredOn(endpoint(endpoint)::equals).hasSize(1);
    }

    private void assertPassedOver(int endpoint) {
        assertThat(service.next(10)).doesNotContain(endpoint(endpoint));
    }

    @Test
    void ejectsAfterConsecutiveFailures() {
        update(1, 2);
        refuse(1, 2);
        assertThat(state(1)).isEqualTo(State.REFUSING);
        target(1).answered();
        assertThat(state(1)).isEqualTo(State.UP);
        refuse(1, 2);
        assertThat(service.next(4)).contains(endpoint(1));
        refuse(1, 1);
        assertThat(state(1)).isEqualTo(State.EJECTED);
        assertPassedOver(1);
        EndpointHealth health = target(1).status().health();
        assertThat(health.lastError()).isEqualTo("connection refused");
        assertThat(health.consecutiveFailures()).isEqualTo(3);
        assertThat(service.changes)
                .extracting(change -> change.after().state())
                .containsExactly(State.REFUSING, State.UP, State.REFUSING, State.EJECTED);
    }

    @Test
    void aTimeoutCountsMoreThanAFailure() {
        update(1, 2);
        timeOut(1, 1);
        assertThat(state(1)).isEqualTo(State.SILENT);
        timeOut(1, 1);
        assertThat(state(1)).isEqualTo(State.EJECTED);
        target(1).answered();
        timeOut(1, 2);
        assertThat(state(1)).isEqualTo(State.EJECTED);
        target(1).answered();
        timeOut(1, 1);
        refuse(1, 1);
        assertThat(state(1)).isEqualTo(State.REFUSING);
        refuse(1, 1);
        assertThat(state(1)).isEqualTo(State.EJECTED);
    }

    /** The connect deadline may end an attempt before its connect timeout. */
    @Test
    void anAttemptThatWasCutShortDoesNotCount() {
        update(1, 2);
        for (int i = 0; i < 10; i++) {
            timeOut(1, 0);
        }
        assertThat(state(1)).isEqualTo(State.SILENT);
    }

    @ParameterizedTest
    @CsvSource({"1, 1", "2, 2", "10, 10"})
    void countsAsThePolicyAsks(int ejectAfter, int failures) {
        service.withEjection(ejectAfter, SECOND);
        update(1, 2);
        refuse(1, failures - 1);
        assertThat(state(1)).isNotEqualTo(State.EJECTED);
        refuse(1, 1);
        assertThat(state(1)).isEqualTo(State.EJECTED);
    }

    @Test
    void zeroMeansNever() {
        service.withEjection(0, SECOND);
        update(1, 2);
        refuse(1, 100);
        timeOut(1, 5);
        assertThat(state(1)).isEqualTo(State.SILENT);
        assertThat(service.next(4)).contains(endpoint(1));
    }

    @ParameterizedTest
    @EnumSource(Algorithm.class)
    void oneTrialConnectionDecides(Algorithm algorithm) {
        service.with(algorithm);
        update(1, 2);
        int ejected = service.next().equals(endpoint(1)) ? 1 : 2;
        // Also if it has more connections than the others.
        target(ejected).acquire();
        timeOut(ejected, 2);
        service.nowNanos += 10 * SECOND - 1;
        assertPassedOver(ejected);
        service.nowNanos++;
        assertTrial(ejected);
        assertThat(state(ejected)).isEqualTo(State.EJECTED);
        target(ejected).answered();
        target(ejected).release();
        assertThat(service.next(10)).contains(endpoint(ejected));
    }

    @Test
    void theTimeDoublesUpToFiveMinutes() {
        update(1, 2);
        refuse(1, 3);
        for (int seconds : new int[] {10, 20, 40, 80, 160, 300, 300}) {
            service.nowNanos += seconds * SECOND - 1;
            assertPassedOver(1);
            service.nowNanos++;
            assertTrial(1);
            refuse(1, 1);
        }
        target(1).answered();
        refuse(1, 3);
        service.advance(10);
        assertTrial(1);
        assertThat(service.changes)
                .filteredOn(change -> change.after().state() == State.EJECTED)
                .hasSize(2);
    }

    @Test
    void aLongFirstEjectionIsNotShortened() {
        service.withEjection(1, 600 * SECOND);
        update(1, 2);
        for (int i = 0; i < 3; i++) {
            refuse(1, 1);
            service.nowNanos += 600 * SECOND - 1;
            assertPassedOver(1);
            service.nowNanos++;
            assertTrial(1);
        }
    }

    /** Failures of connections that were opened before the ejection are not those of a trial. */
    @Test
    void furtherFailuresDoNotExtendAnEjection() {
        update(1, 2);
        refuse(1, 3);
        service.advance(5);
        refuse(1, 5);
        assertThat(target(1).status().health().consecutiveFailures()).isEqualTo(8);
        service.advance(5);
        assertTrial(1);
    }

    @Test
    void aTrialWithoutResultIsRepeated() {
        update(1, 2);
        refuse(1, 3);
        service.advance(10);
        assertTrial(1);
        service.advance(9);
        assertPassedOver(1);
        service.advance(1);
        assertTrial(1);
    }

    @ParameterizedTest
    @CsvSource({"1, 0", "2, 1", "3, 1", "4, 2", "5, 2", "100, 50"})
    void atMostHalfAreEjected(int endpoints, int expected) {
        service.update(firstEndpoints(endpoints));
        for (int i = 0; i < endpoints; i++) {
            refuse(i, 5);
        }
        assertThat(firstEndpoints(endpoints).stream()
                        .filter(endpoint -> service.target(endpoint).isEjected()))
                .hasSize(expected);
    }

    @Test
    void ejectsAtTheNextFailureOnceThereIsRoom() {
        update(1, 2);
        refuse(1, 3);
        refuse(2, 3);
        assertThat(state(2)).isEqualTo(State.REFUSING);
        target(1).answered();
        assertThat(state(2)).isEqualTo(State.REFUSING);
        refuse(2, 1);
        assertThat(state(2)).isEqualTo(State.EJECTED);
        refuse(1, 3);
        assertThat(state(1)).isEqualTo(State.REFUSING);
        update(1, 2, 3, 4);
        refuse(1, 1);
        assertThat(state(1)).isEqualTo(State.EJECTED);
    }

    @Test
    void removalOfOthersEndsTheEjectionThatEndsFirst() {
        update(1, 2, 3, 4);
        refuse(1, 3);
        service.advance(1);
        timeOut(2, 2);
        update(1, 2, 3);
        assertThat(state(1)).isEqualTo(State.REFUSING);
        assertThat(state(2)).isEqualTo(State.EJECTED);
        update(1, 2);
        assertThat(state(2)).isEqualTo(State.EJECTED);
        update(2);
        assertThat(state(2)).isEqualTo(State.SILENT);
        assertThat(target(2).status().health().lastError()).isEqualTo("connect timeout");
    }

    @Test
    void anEjectedEndpointThatIsRemovedMakesRoom() {
        update(1, 2);
        refuse(1, 3);
        EndpointTarget old = target(1);
        update(2, 3);
        refuse(2, 3);
        assertThat(state(2)).isEqualTo(State.EJECTED);
        update(1, 2, 3);
        assertThat(state(1)).isEqualTo(State.UNKNOWN);
        // A connection that was opened before the removal.
        for (int i = 0; i < 5; i++) {
            old.refused("connection refused", 0);
        }
        assertThat(old.isEjected()).isFalse();
        update(1, 2, 3, 4);
        refuse(1, 3);
        assertThat(ejected(1, 2, 3, 4)).isEqualTo(2);
        refuse(3, 3);
        assertThat(ejected(1, 2, 3, 4)).isEqualTo(2);
    }

    /** While it has open connections, the service port knows an endpoint that was removed. */
    @Test
    void aBusyEndpointThatReturnsIsNotEjected() {
        update(1, 2);
        EndpointTarget busy = target(1);
        busy.cells(0).opened();
        refuse(1, 3);
        update(2);
        assertThat(busy.isEjected()).isFalse();
        update(1, 2);
        assertThat(target(1)).isSameAs(busy);
        assertThat(state(1)).isEqualTo(State.REFUSING);
        assertThat(service.next(4)).contains(endpoint(1));
    }

    @Test
    void anEndpointThatAnOperatorTakesOutIsNotEjected() {
        update(1, 2, 3, 4);
        refuse(1, 3);
        refuse(2, 3);
        service.takenOut.put(endpoint(1), new OutOfUse(true, State.DRAINING, Instant.EPOCH, null));
        update(1, 2, 3, 4);
        assertThat(ejected(2, 3, 4)).isEqualTo(1);
        service.takenOut.clear();
        update(1, 2, 3, 4);
        assertThat(state(1)).isEqualTo(State.REFUSING);
        refuse(1, 1);
        assertThat(ejected(1, 2, 3, 4)).isEqualTo(2);
        refuse(3, 5);
        assertThat(ejected(1, 2, 3, 4)).isEqualTo(2);
    }

    @Test
    void changesOfThePolicyApply() {
        update(1, 2);
        refuse(1, 3);
        service.withEjection(0, SECOND);
        update(1, 2);
        assertThat(state(1)).isEqualTo(State.REFUSING);
        refuse(1, 5);
        assertThat(state(1)).isEqualTo(State.REFUSING);
        service.withEjection(20, SECOND);
        update(1, 2);
        refuse(1, 1);
        assertThat(state(1)).isEqualTo(State.REFUSING);
        service.withEjection(2, SECOND);
        update(1, 2);
        refuse(1, 1);
        assertThat(state(1)).isEqualTo(State.EJECTED);
        // The balancers change, but not the ejections.
        service.with(Algorithm.MAGLEV);
        update(1, 2);
        assertThat(state(1)).isEqualTo(State.EJECTED);
        assertPassedOver(1);
    }

    @Test
    void listsOfAServicePortShareTheLimit() {
        service.update(endpoints(1, 2), endpoints(3, 4));
        refuse(3, 3);
        refuse(4, 3);
        assertThat(ejected(3, 4)).isEqualTo(2);
        // All endpoints of this list are ejected, so each is tried.
        assertThat(service.counts(4).values()).containsExactly(2, 2);
    }

    @Test
    void usesEjectedEndpointsIfTheOthersWereTried() {
        update(1, 2);
        refuse(1, 3);
        assertThat(service.balancer().pick(CLIENT, endpoints(2), service.nowNanos))
                .isSameAs(target(1));
        assertThat(service.balancer().pick(CLIENT, endpoints(1, 2), service.nowNanos))
                .isNull();
    }

    @Test
    void preferredEndpointsAreUsedAgainAfterTheTrial() {
        service.preferring(endpoints(1));
        update(1, 2, 3);
        refuse(1, 3);
        assertThat(service.counts(10)).containsOnly(Map.entry(endpoint(2), 5), Map.entry(endpoint(3), 5));
        service.advance(10);
        assertThat(service.next()).isEqualTo(endpoint(1));
        assertPassedOver(1);
        target(1).answered();
        assertThat(service.next(4)).containsOnly(endpoint(1));
    }

    @Test
    void clientsOfAnEjectedEndpointReturnToIt() {
        service.with(Algorithm.MAGLEV);
        service.update(firstEndpoints(10));
        Endpoint own = service.next();
        EndpointTarget target = service.target(own);
        target.timedOut(2, "connect timeout", service.nowNanos);
        Endpoint other = service.next();
        assertThat(other).isNotEqualTo(own);
        assertThat(service.next(5)).containsOnly(other);
        target.answered();
        assertThat(service.next()).isEqualTo(own);
    }

    /** A log server, for example, never replies. */
    @Test
    void aUdpEndpointWithoutErrorsIsNoLongerEjected() {
        update(1, 2);
        refuse(1, 3);
        service.advance(20);
        // Flows that were opened before the ejection prove nothing.
        target(1).sentWithoutError(service.nowNanos);
        assertThat(state(1)).isEqualTo(State.EJECTED);
        assertTrial(1);
        target(1).sentWithoutError(service.nowNanos);
        assertThat(state(1)).isEqualTo(State.UNKNOWN);
        assertThat(service.next(4)).contains(endpoint(1));
        refuse(2, 3);
        assertThat(state(2)).isEqualTo(State.EJECTED);
    }

    @Test
    void statusSaysWhenTheTrialIs() {
        update(1, 2);
        assertThat(target(1).status().until()).isNull();
        refuse(1, 3);
        EndpointStatus status = target(1).status();
        assertThat(status.until()).isNotNull();
        assertThat(Duration.between(status.health().since(), status.until())).isEqualTo(Duration.ofSeconds(10));
        target(1).answered();
        assertThat(target(1).status().until()).isNull();
    }

    /** Threads that pick, fail and answer, while endpoints come and go. */
    @Test
    void theNumberOfEjectedEndpointsStaysExact() throws Exception {
        service.withEjection(2, 1);
        service.update(firstEndpoints(8));
        int threads = 4;
        ExecutorService executor = Executors.newFixedThreadPool(threads);
        try {
            List<Future<?>> running = new ArrayList<>();
            for (int i = 0; i < threads; i++) {
                int seed = i;
                running.add(executor.submit(() -> {
                    Random random = new Random(seed);
                    for (int step = 0; step < 20_000; step++) {
                        EndpointTarget picked = service.balancer().pick(CLIENT, List.of(), step);
                        if (random.nextInt(3) == 0) {
                            Objects.requireNonNull(picked).answered();
                        } else {
                            Objects.requireNonNull(picked).refused("connection refused", step);
                        }
                    }
                }));
            }
            Random random = new Random(9);
            while (!running.stream().allMatch(Future::isDone)) {
                service.update(firstEndpoints(2 + random.nextInt(7)));
            }
            for (Future<?> future : running) {
                future.get();
            }
        } finally {
            executor.shutdownNow();
        }
        service.update(firstEndpoints(8));
        assertThat(ejected(0, 1, 2, 3, 4, 5, 6, 7)).isLessThanOrEqualTo(4);
        firstEndpoints(8).forEach(endpoint -> service.target(endpoint).answered());
        assertThat(ejected(0, 1, 2, 3, 4, 5, 6, 7)).isZero();
        for (int i = 0; i < 8; i++) {
            refuse(i, 2);
        }
        assertThat(ejected(0, 1, 2, 3)).isEqualTo(4);
        assertThat(ejected(4, 5, 6, 7)).isZero();
    }
}
