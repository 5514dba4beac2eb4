/**
 * Health, readiness, metrics, health check node ports, the log and the events of state changes, and the connection log.
 * The audience is operators, probes and load balancers.
 *
 * <p>Reads the state of other packages but does not change it. May use {@link io.sluice.http},
 * {@link io.sluice.forward}'s status, {@link io.sluice.balance}'s endpoint health, {@link io.sluice.stats},
 * {@link io.sluice.feed}, {@link io.sluice.rules}, {@link io.sluice.model}, {@link io.sluice.document},
 * {@link io.sluice.text}, {@link io.sluice.thread}, Netty's channels, Logback, Jackson and the Prometheus client.
 */
@NullMarked
package io.sluice.ops;

import org.jspecify.annotations.NullMarked;
