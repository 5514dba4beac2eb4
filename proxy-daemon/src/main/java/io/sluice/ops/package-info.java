/**
 * Health, readiness, metrics, health check node ports and the log of state changes. The audience is operators, probes
 * and load balancers.
 *
 * <p>Reads the state of other packages but does not change it. May use {@link io.sluice.http},
 * {@link io.sluice.forward}'s status, {@link io.sluice.stats}, {@link io.sluice.feed}, {@link io.sluice.rules},
 * {@link io.sluice.model}, {@link io.sluice.document}, {@link io.sluice.text}, {@link io.sluice.thread}, Netty's channels,
 * Jackson and the Prometheus client.
 */
@NullMarked
package io.sluice.ops;

import org.jspecify.annotations.NullMarked;
