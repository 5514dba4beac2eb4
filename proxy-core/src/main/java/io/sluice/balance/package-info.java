/**
 * Chooses an endpoint for a new connection or flow: round robin, client-IP affinity, and the routes of a service port.
 *
 * <p>Routes are published whole to the event loops and never changed. May use {@link io.sluice.model},
 * {@link io.sluice.stats} and Caffeine; knows nothing of sockets.
 */
@NullMarked
package io.sluice.balance;

import org.jspecify.annotations.NullMarked;
