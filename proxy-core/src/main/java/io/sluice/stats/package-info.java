/**
 * What the data path counts and times, and how it is read.
 *
 * <p>Each loop writes cells of its own with plain opaque stores; readers sum them. Times are recorded once per
 * connection into wait-free histograms. Knows {@link io.sluice.model} and HdrHistogram; nothing of sockets and nothing
 * of how the figures are exported.
 */
@NullMarked
package io.sluice.stats;

import org.jspecify.annotations.NullMarked;
