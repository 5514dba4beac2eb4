/**
 * Counters and latency histograms of the data path.
 *
 * <p>Holds counters and histograms for each service port, and histograms for the whole process. For a service port,
 * each event loop writes its own cells with opaque stores, and readers sum the cells of all loops. The histograms of
 * the whole process are wait-free and shared by all loops. May use {@link io.sluice.model} and HdrHistogram. Knows
 * neither sockets nor the export of metrics.
 */
@NullMarked
package io.sluice.stats;

import org.jspecify.annotations.NullMarked;
