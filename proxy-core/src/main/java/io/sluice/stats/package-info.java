/**
 * What the data path counts and times, and how it is read.
 *
 * <p>Each loop writes cells of its own with plain opaque stores; readers sum them. Counters and histograms of a service port
 * are cells; the histograms of the whole daemon are wait-free. Knows {@link io.sluice.model} and HdrHistogram; nothing of
 * sockets and nothing of how the figures are exported.
 */
@NullMarked
package io.sluice.stats;

import org.jspecify.annotations.NullMarked;
