/**
 * The handover benchmark: performs many handovers between processes of the distribution under load. Checks each byte
 * and measures the longest pause of every connection.
 *
 * <p>One process holds the client side of all connections and another the endpoint side, because each connection needs a
 * descriptor in both and the descriptor limit applies per process. The process that runs the benchmark controls them by
 * lines on standard input and reads one JSON object per line. Uses none of Sluice's classes.
 */
@NullMarked
package io.sluice.handoverbench;

import org.jspecify.annotations.NullMarked;
