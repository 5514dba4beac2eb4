package io.sluice.ops;

import io.sluice.balance.EndpointHealth.State;
import io.sluice.balance.EndpointStatus;
import java.util.List;

/**
 * The number of endpoints of a service port.
 *
 * @param total the number of endpoints that get new connections
 * @param failing how many of them are failing
 * @param working how many of them have answered or, after an error, have had none for a while
 */
public record EndpointCounts(int total, int failing, int working) {
    /** No endpoints; also the counts of a service port that does not exist. */
    public static final EndpointCounts NONE = new EndpointCounts(0, 0, 0);

    /** Counts endpoints. Those that get no new connections are left out. */
    public static EndpointCounts of(List<EndpointStatus> endpoints) {
        int total = 0;
        int failing = 0;
        int working = 0;
        for (EndpointStatus endpoint : endpoints) {
            State state = endpoint.health().state();
            total += state == State.DRAINING || state == State.DISABLED ? 0 : 1;
            failing += state.isFailing() ? 1 : 0;
            boolean recovered = state == State.UNKNOWN && endpoint.health().lastErrorTime() != null;
            working += state == State.UP || recovered ? 1 : 0;
        }
        return new EndpointCounts(total, failing, working);
    }

    /** Whether there are endpoints, and all of them are failing. */
    boolean allFailing() {
        return total > 0 && failing >= total;
    }

    @Override
    public String toString() {
        return failing + " of " + total + " failing";
    }
}
