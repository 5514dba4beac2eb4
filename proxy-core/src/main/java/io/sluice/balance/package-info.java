/**
 * Load balancing: picks the endpoint of each new connection or flow.
 *
 * <p>Holds the round robins, session affinity entries and passive health of endpoints. The routing of a frontend is
 * immutable and is published to the event loops as a whole. May use {@link io.sluice.model}, {@link io.sluice.stats} and
 * Caffeine; knows no sockets.
 */
@NullMarked
package io.sluice.balance;

import org.jspecify.annotations.NullMarked;
