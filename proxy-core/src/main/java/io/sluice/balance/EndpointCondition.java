package io.sluice.balance;

import io.sluice.balance.EndpointHealth.State;
import java.time.Instant;
import java.util.concurrent.TimeUnit;

/**
 * The health of an endpoint, together with the data that decides on its ejection. Immutable.
 *
 * @param failing {@code REFUSING} or {@code SILENT}, by the last failure
 * @param failureWeight sum of the weights of the failures since the last success
 * @param ejections number of ejections since the last success
 * @param ejectedUntilNanos time of the next trial connection; meaningless if the endpoint is not ejected
 * @param onTrial whether a trial connection was let through, and none has failed since
 * @param lastErrorNanos time of the last failure; meaningless without a failure
 */
record EndpointCondition(
        EndpointHealth health,
        State failing,
        long failureWeight,
        int ejections,
        long ejectedUntilNanos,
        boolean onTrial,
        long lastErrorNanos) {
    /** The condition of an endpoint to which no connection has been attempted. */
    static final EndpointCondition INITIAL =
            new EndpointCondition(EndpointHealth.NEVER_TRIED, State.REFUSING, 0, 0, 0, false, 0);

    /** Weight of a failure. A timeout weighs one and a half failures, so the unit is half a failure. */
    static final int FAILURE_WEIGHT = 2;

    static final int TIMEOUT_WEIGHT = 3;
    /** Weight of an attempt that waited for more than one timeout. */
    static final int TIMEOUTS_WEIGHT = 6;

    /** Maximum time of a repeated ejection, unless the first one is already longer. */
    private static final long MAX_EJECTION_NANOS = TimeUnit.MINUTES.toNanos(5);

    boolean isEjected() {
        return health.state() == State.EJECTED;
    }

    /** Returns the condition after a failed attempt, without a decision on ejection. */
    EndpointCondition afterFailure(State newFailing, String error, int weight, Instant now, long nowNanos) {
        return new EndpointCondition(
                health.afterFailure(isEjected() ? State.EJECTED : newFailing, error, now),
                newFailing,
                failureWeight + weight,
                ejections,
                ejectedUntilNanos,
                onTrial,
                nowNanos);
    }

    /** Returns the condition after a successful attempt. */
    EndpointCondition afterSuccess(Instant now) {
        return withHealth(health.afterSuccess(now));
    }

    /** Returns the condition of an endpoint that no longer reports errors, but has not answered either. */
    EndpointCondition withoutErrors(Instant now) {
        return withHealth(health.withoutErrors(now));
    }

    private EndpointCondition withHealth(EndpointHealth healthy) {
        return new EndpointCondition(healthy, failing, 0, 0, 0, false, lastErrorNanos);
    }

    /** Returns the condition after a new ejection, whose time doubles with each of them. */
    EndpointCondition ejected(long firstNanos, Instant now, long nowNanos) {
        return ejectedFor(ejectionNanos(firstNanos, ejections), ejections + 1, false, now, nowNanos);
    }

    /** Returns the condition after a trial connection was let through. Another one follows if it has no result. */
    EndpointCondition trialStarted(long firstNanos, Instant now, long nowNanos) {
        return ejectedFor(ejectionNanos(firstNanos, ejections - 1), ejections, true, now, nowNanos);
    }

    private EndpointCondition ejectedFor(long nanos, int newEjections, boolean trial, Instant now, long nowNanos) {
        return new EndpointCondition(
                health.ejected(now, now.plusNanos(nanos)),
                failing,
                failureWeight,
                newEjections,
                nowNanos + nanos,
                trial,
                lastErrorNanos);
    }

    /** Returns the condition of an endpoint that is no longer ejected, although it has not answered. */
    EndpointCondition notEjected(Instant now) {
        return new EndpointCondition(
                health.with(failing, now), failing, failureWeight, ejections, 0, false, lastErrorNanos);
    }

    private static long ejectionNanos(long firstNanos, int before) {
        long max = Math.max(firstNanos, MAX_EJECTION_NANOS);
        long nanos = firstNanos;
        for (int i = 0; i < before && nanos < max; i++) {
            nanos = Math.min(2 * nanos, max);
        }
        return nanos;
    }
}
