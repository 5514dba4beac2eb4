/**
 * What operators, probes and load balancers see: health, readiness, metrics, health check node ports and the log of
 * state changes.
 *
 * <p>Reads the state of the other parts and changes none of it. May use {@link io.sluice.http},
 * {@link io.sluice.forward}'s status, {@link io.sluice.stats}, {@link io.sluice.feed}, {@link io.sluice.rules} and
 * {@link io.sluice.model}.
 */
@NullMarked
package io.sluice.ops;

import org.jspecify.annotations.NullMarked;
