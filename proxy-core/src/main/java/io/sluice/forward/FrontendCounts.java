package io.sluice.forward;

import io.sluice.forward.FrontendStatus.Failure;
import io.sluice.forward.FrontendStatus.State;
import java.util.Collection;
import java.util.EnumMap;
import java.util.Map;

/**
 * Number of frontends in each state at one moment.
 *
 * @param states number of frontends by state; a state without frontends is absent
 * @param failures number of {@code FAILED} frontends by failure; a failure without frontends is absent
 */
public record FrontendCounts(Map<State, Integer> states, Map<Failure, Integer> failures) {
    public FrontendCounts {
        states = Map.copyOf(states);
        failures = Map.copyOf(failures);
    }

    /** Creates the counts of the given frontends, by state and, for failed frontends, by failure. */
    public static FrontendCounts of(Collection<FrontendStatus> frontends) {
        Map<State, Integer> states = new EnumMap<>(State.class);
        Map<Failure, Integer> failures = new EnumMap<>(Failure.class);
        for (FrontendStatus frontend : frontends) {
            states.merge(frontend.state(), 1, Integer::sum);
            if (frontend.state() == State.FAILED) {
                failures.merge(frontend.failure(), 1, Integer::sum);
            }
        }
        return new FrontendCounts(states, failures);
    }

    /** Number of all frontends. */
    public int total() {
        return states.values().stream().mapToInt(Integer::intValue).sum();
    }

    /** Number of frontends in the given state. */
    public int count(State state) {
        return states.getOrDefault(state, 0);
    }

    /** Number of failed frontends with the given failure. */
    public int failed(Failure failure) {
        return failures.getOrDefault(failure, 0);
    }

    /** Number of frontends that failed because the process or the kernel ran out of a resource. */
    public int resourceExhausted() {
        int sum = 0;
        for (Map.Entry<Failure, Integer> entry : failures.entrySet()) {
            sum += entry.getKey().isResourceExhaustion() ? entry.getValue() : 0;
        }
        return sum;
    }
}
