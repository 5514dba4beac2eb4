package io.sluice.balance;

import io.sluice.model.Endpoint;
import io.sluice.model.ServicePortName;
import io.sluice.stats.EndpointStats;
import java.time.Instant;
import org.jspecify.annotations.Nullable;

/**
 * The health of one endpoint of a service port at one moment, with its counters.
 *
 * @param stats the counters, which continue to change
 * @param until the time at which a state set by an operator expires, an ejected endpoint gets a trial connection, or
 *     the connections of a removed endpoint are reset; null if there is none
 */
public record EndpointStatus(
        ServicePortName service,
        Endpoint endpoint,
        EndpointHealth health,
        EndpointStats stats,
        @Nullable Instant until) {}
