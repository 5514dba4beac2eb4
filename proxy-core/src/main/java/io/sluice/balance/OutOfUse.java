package io.sluice.balance;

import io.sluice.balance.EndpointHealth.State;
import java.time.Instant;
import org.jspecify.annotations.Nullable;

/**
 * Why an endpoint gets no new connections.
 *
 * @param byOperator whether an operator has taken the endpoint out; otherwise it was removed from the service port
 * @param state {@code DRAINING} or {@code DISABLED}
 * @param until the time at which a state set by an operator expires, or at which the connections of a removed endpoint are
 *     reset; null if there is none
 */
public record OutOfUse(
        boolean byOperator,
        State state,
        Instant since,
        @Nullable Instant until) {}
