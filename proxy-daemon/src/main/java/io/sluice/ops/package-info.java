/**
 * Health, readiness, metrics, health check node ports and the log of state changes, for operators, probes and load
 * balancers.
 *
 * <p>Only reads the state of other packages. May use {@link io.sluice.http},
 * {@link io.sluice.forward}'s status, {@link io.sluice.stats}, {@link io.sluice.feed}, {@link io.sluice.rules} and
 * {@link io.sluice.model}.
 */
@NullMarked
package io.sluice.ops;

import org.jspecify.annotations.NullMarked;
