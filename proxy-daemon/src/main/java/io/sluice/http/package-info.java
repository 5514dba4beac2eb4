/**
 * HTTP server for all ports of the process, on a dedicated event loop.
 *
 * <p>Connections are limited in time, size and number, whatever a client sends or does not read; accepting never pauses.
 * Does not know the content of a {@link io.sluice.http.Page}: limits for clients and metrics for operators change
 * independently. May use {@link io.sluice.model}, {@link io.sluice.thread} and Netty.
 */
@NullMarked
package io.sluice.http;

import org.jspecify.annotations.NullMarked;
