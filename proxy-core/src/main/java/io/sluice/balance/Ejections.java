package io.sluice.balance;

import io.sluice.balance.EndpointHealth.State;
import io.sluice.model.TrafficPolicy.Balancing;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Comparator;
import java.util.List;
import java.util.Set;

/**
 * The ejections of a service port: endpoints that are passed over because of consecutive connect failures. Otherwise, if
 * one of two endpoints did not answer, every second client would have to wait for a timeout.
 *
 * <p>An ejection ends with a trial connection. Other connections pass the endpoint over until the trial succeeds. If it
 * fails, the next ejection takes twice as long, up to five minutes.
 *
 * <p>At most half of the endpoints are ejected at the same time, because the cause may be on this node. An ejection for
 * which there is no room takes place at a later failure.
 *
 * <p>A lock guards all changes, so that the number of ejected endpoints is exact. Connections to endpoints that answer
 * never take it. Thread-safe.
 */
final class Ejections {
    private final HealthCallback onChange;

    // All fields are guarded by this.
    private int ejectAfter;
    private long ejectForNanos;
    /** Number of endpoints that get new connections. */
    private int inUse;

    private final List<EndpointTarget> ejected = new ArrayList<>();

    /** Receives changes of the health of an endpoint, in their order. */
    interface HealthCallback {
        /** Called when the state changes, with the lock held; must not block. */
        void changed(EndpointTarget target, EndpointHealth before, EndpointHealth after);
    }

    Ejections(HealthCallback onChange) {
        this.onChange = onChange;
    }

    /**
     * Applies a new version of the service port. If more than half of its endpoints are ejected, the ejections that
     * would end first end now.
     *
     * @param newInUse the endpoints that get new connections; only these can be ejected
     * @param before the endpoints that got new connections until now
     */
    synchronized void update(Balancing policy, Set<EndpointTarget> newInUse, Collection<EndpointTarget> before) {
        ejectAfter = policy.ejectAfter();
        ejectForNanos = policy.ejectForNanos();
        before.forEach(target -> target.setInUse(false));
        newInUse.forEach(target -> target.setInUse(true));
        inUse = newInUse.size();
        Instant now = Instant.now();
        List<EndpointTarget> ending = new ArrayList<>(ejected);
        ending.removeIf(target -> target.isInUse() && ejectAfter > 0);
        ending.forEach(target -> endEjection(target, now));
        while (ejected.size() > maxEjected()) {
            // Differences, because nanosecond times may overflow.
            long any = ejected.get(0).condition().ejectedUntilNanos();
            EndpointTarget next = ejected.stream()
                    .min(Comparator.comparingLong(target -> target.condition().ejectedUntilNanos() - any))
                    .orElseThrow();
            endEjection(next, now);
        }
    }

    private void endEjection(EndpointTarget target, Instant now) {
        ejected.remove(target);
        change(target, target.condition().notEjected(now));
    }

    private int maxEjected() {
        return inUse / 2;
    }

    /** Records a failed attempt, and ejects the endpoint if it has failed too often. */
    synchronized void failed(EndpointTarget target, State failing, String error, int weight, long nowNanos) {
        Instant now = Instant.now();
        EndpointCondition before = target.condition();
        EndpointCondition after = before.afterFailure(failing, error, weight, now, nowNanos);
        if (before.isEjected()) {
            // A trial that was cut short has no result; another one follows.
            if (before.onTrial() && weight > 0) {
                after = after.ejected(ejectForNanos, now, nowNanos);
            }
        } else if (target.isInUse()
                && ejectAfter > 0
                && after.failureWeight() >= (long) ejectAfter * EndpointCondition.FAILURE_WEIGHT
                && ejected.size() < maxEjected()) {
            ejected.add(target);
            after = after.ejected(ejectForNanos, now, nowNanos);
        }
        change(target, after);
    }

    /** Records that the endpoint has answered. */
    synchronized void answered(EndpointTarget target) {
        ejected.remove(target);
        change(target, target.condition().afterSuccess(Instant.now()));
    }

    /** Records that the endpoint no longer reports errors, unless it has answered meanwhile. */
    synchronized void withoutErrors(EndpointTarget target) {
        EndpointCondition before = target.condition();
        if (before.health().state().isFailing()) {
            ejected.remove(target);
            change(target, before.withoutErrors(Instant.now()));
        }
    }

    /**
     * Whether a connection may use an endpoint that was just ejected. Once the ejection has lasted for its time, this
     * returns true to one caller.
     */
    synchronized boolean startTrial(EndpointTarget target, long nowNanos) {
        EndpointCondition before = target.condition();
        if (before.isEjected()) {
            if (nowNanos - before.ejectedUntilNanos() < 0) {
                return false;
            }
            target.condition(before.trialStarted(ejectForNanos, Instant.now(), nowNanos));
        }
        return true;
    }

    private void change(EndpointTarget target, EndpointCondition after) {
        EndpointHealth before = target.condition().health();
        target.condition(after);
        if (before.state() != after.health().state()) {
            onChange.changed(target, before, after.health());
        }
    }
}
