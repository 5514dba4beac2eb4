/**
 * Load balancing: picks the endpoint of each new connection or flow.
 *
 * <p>Holds the balancers, the session affinity entries, and the health and ejection of endpoints. The routing of a
 * frontend is replaced as a whole when it is published to the event loops. May use {@link io.sluice.model}, {@link
 * io.sluice.stats} and Caffeine; knows no sockets.
 */
@NullMarked
package io.sluice.balance;

import org.jspecify.annotations.NullMarked;
