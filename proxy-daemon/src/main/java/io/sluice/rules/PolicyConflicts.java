package io.sluice.rules;

import io.sluice.document.Problem.Severity;
import io.sluice.model.TrafficPolicy;
import io.sluice.model.TrafficPolicy.Algorithm;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Function;
import java.util.stream.Collectors;

/** Finds keys of a traffic policy that cannot be combined or have no effect, and replaces them with their defaults. */
public final class PolicyConflicts {
    /** Keys that change the shares of endpoints, which maglev does not support. */
    private static final List<PolicyKey<?>> NOT_WITH_MAGLEV =
            List.of(PolicyKey.PREFER, PolicyKey.SLOW_START, PolicyKey.MAX_CONNECTIONS_PER_ENDPOINT);

    private final PolicyValues own;
    private final PolicyValues defaults;
    private final Function<PolicyKey<?>, String> naming;
    private final List<Conflict> found = new ArrayList<>();
    private PolicyValues effective;

    private PolicyConflicts(PolicyValues own, PolicyValues defaults, Function<PolicyKey<?>, String> naming) {
        this.own = own;
        this.defaults = defaults;
        this.naming = naming;
        effective = own.over(defaults);
    }

    /** A key whose value is not used. */
    public record Conflict(Severity severity, PolicyKey<?> key, String message) {
        /** Whether the value cannot be used; if not, it merely has no effect. */
        public boolean isError() {
            return severity == Severity.ERROR;
        }
    }

    /**
     * The result of {@link #resolve}.
     *
     * @param values the values to use, with those of the defaults
     */
    public record Resolved(PolicyValues values, List<Conflict> conflicts) {}

    /**
     * Combines values with defaults. If values conflict with each other or with a default, a conflict is reported for one
     * of the values. If only a default conflicts, it is not used and not reported.
     *
     * @param defaults values without conflicts
     * @param naming returns the name of a key for messages
     */
    public static Resolved resolve(PolicyValues own, PolicyValues defaults, Function<PolicyKey<?>, String> naming) {
        PolicyConflicts conflicts = new PolicyConflicts(own, defaults, naming);
        conflicts.maglev();
        conflicts.slowStart();
        conflicts.connectTimeouts();
        conflicts.withoutEffect();
        return new Resolved(conflicts.effective, List.copyOf(conflicts.found));
    }

    private void maglev() {
        if (effective.get(PolicyKey.BALANCE) != Algorithm.MAGLEV) {
            return;
        }
        List<PolicyKey<?>> others = NOT_WITH_MAGLEV.stream().filter(this::isOn).toList();
        List<PolicyKey<?>> ownOthers = others.stream().filter(own::has).toList();
        if (own.has(PolicyKey.BALANCE) && !ownOthers.isEmpty()) {
            error(
                    PolicyKey.BALANCE,
                    "'maglev' cannot be combined with "
                            + ownOthers.stream().map(naming).collect(Collectors.joining(", ")));
            Algorithm byDefault = defaults.get(PolicyKey.BALANCE);
            effective = effective.with(
                    PolicyKey.BALANCE, byDefault == Algorithm.MAGLEV ? Algorithm.ROUND_ROBIN : byDefault);
            return;
        }
        for (PolicyKey<?> key : others) {
            if (own.has(key)) {
                error(key, "cannot be combined with 'maglev', the default of " + naming.apply(PolicyKey.BALANCE));
            }
            effective = effective.withValueOf(key, PolicyValues.NONE);
        }
    }

    private boolean isOn(PolicyKey<?> key) {
        return !effective.text(key).equals(key.textIn(TrafficPolicy.DEFAULT));
    }

    private void slowStart() {
        Algorithm algorithm = effective.get(PolicyKey.BALANCE);
        if (algorithm != Algorithm.ROUND_ROBIN && effective.get(PolicyKey.SLOW_START) != 0) {
            if (own.has(PolicyKey.SLOW_START)) {
                error(
                        PolicyKey.SLOW_START,
                        "cannot be combined with '" + effective.text(PolicyKey.BALANCE) + "'; must be off unless "
                                + naming.apply(PolicyKey.BALANCE) + " is round-robin");
            }
            effective = effective.with(PolicyKey.SLOW_START, 0L);
        }
    }

    private void connectTimeouts() {
        if (!connectTimeoutIsTooLong()) {
            return;
        }
        PolicyKey<Long> reported =
                own.has(PolicyKey.CONNECT_TIMEOUT) ? PolicyKey.CONNECT_TIMEOUT : PolicyKey.CONNECT_DEADLINE;
        error(
                reported,
                naming.apply(PolicyKey.CONNECT_TIMEOUT) + " " + effective.text(PolicyKey.CONNECT_TIMEOUT)
                        + " is longer than " + naming.apply(PolicyKey.CONNECT_DEADLINE) + " "
                        + effective.text(PolicyKey.CONNECT_DEADLINE));
        effective = effective.withValueOf(reported, defaults);
        if (connectTimeoutIsTooLong()) {
            effective = effective.withValueOf(PolicyKey.CONNECT_TIMEOUT, PolicyValues.NONE);
        }
    }

    private boolean connectTimeoutIsTooLong() {
        long deadline = effective.get(PolicyKey.CONNECT_DEADLINE);
        return deadline != 0 && effective.get(PolicyKey.CONNECT_TIMEOUT) > deadline;
    }

    private void withoutEffect() {
        withoutEffect(
                PolicyKey.HEALTH_CHECK_INTERVAL,
                effective.get(PolicyKey.HEALTH_CHECK) == PolicyKey.Probe.NONE,
                PolicyKey.HEALTH_CHECK);
        withoutEffect(PolicyKey.EJECT_FOR, effective.get(PolicyKey.EJECT_AFTER) == 0, PolicyKey.EJECT_AFTER);
        withoutEffect(PolicyKey.HOLD_LIMIT, effective.get(PolicyKey.HOLD) == 0, PolicyKey.HOLD);
    }

    private void withoutEffect(PolicyKey<?> key, boolean without, PolicyKey<?> required) {
        if (without && own.has(key)) {
            found.add(new Conflict(
                    Severity.WARNING,
                    key,
                    "has no effect, because " + naming.apply(required) + " is " + effective.text(required)));
        }
    }

    private void error(PolicyKey<?> key, String message) {
        found.add(new Conflict(Severity.ERROR, key, message));
    }
}
