/**
 * HTTP for probes, load balancers and Prometheus: one server on an event loop of its own, with every port of the
 * process on it.
 *
 * <p>What a client can hold is bounded in time, size and number, whatever it sends or does not read; accepting never
 * pauses. Knows {@link io.sluice.model}, {@link io.sluice.thread} and Netty, and nothing of what the pages say: {@link io.sluice.ops.Page}s are
 * handed in.
 */
@NullMarked
package io.sluice.ops;

import org.jspecify.annotations.NullMarked;
