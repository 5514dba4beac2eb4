/**
 * Compares Sluice with nftables, HAProxy and nginx: runs the same workloads through each in alternating order, in a
 * test network of network namespaces.
 *
 * <p>Uses none of Sluice's classes. It runs the distribution as a user would and observes it through sockets, a feed
 * and /proc.
 */
@NullMarked
package io.sluice.compare;

import org.jspecify.annotations.NullMarked;
