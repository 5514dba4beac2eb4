/**
 * One HTTP server on an event loop of its own, with every port of the process on it.
 *
 * <p>What a client can hold is bounded in time, size and number, whatever it sends or does not read; accepting never
 * pauses. Knows nothing of what the {@link io.sluice.http.Page}s show: a package of its own, so that limits for clients
 * and figures for operators change apart. May use {@link io.sluice.model}, {@link io.sluice.thread} and Netty.
 */
@NullMarked
package io.sluice.http;

import org.jspecify.annotations.NullMarked;
