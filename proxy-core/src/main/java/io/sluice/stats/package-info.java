/**
 * Counters and latency histograms of the data path.
 *
 * <p>Holds them for each service port and, for latencies, over the whole process. Each event loop writes cells of its own
 * with opaque stores, and readers sum the cells of all loops. The histograms of the whole process are shared by all loops
 * and wait-free. May use {@link io.sluice.model} and HdrHistogram. Knows neither sockets nor the export of metrics.
 */
@NullMarked
package io.sluice.stats;

import org.jspecify.annotations.NullMarked;
