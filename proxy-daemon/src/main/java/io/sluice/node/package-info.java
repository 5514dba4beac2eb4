/**
 * What the kernel of this node must know so that every packet for a Service reaches the forwarder, or is refused or
 * dropped before: one nftables table, and one rule and route of policy routing. And what it says about this machine: the
 * addresses of its interfaces.
 *
 * <p>The rules are the resource {@code sluice.nft}, which {@code NftScript} fills in; {@code SetElements} are what Services add to
 * its sets and maps, {@code RuleTable} what differs between two snapshots.
 *
 * <p>Addresses whose rules the kernel rejects go to a callback. May use {@link io.sluice.model},
 * {@link io.sluice.thread} and, for kernel settings, {@link io.sluice.socket.Sysctl}; reaches the kernel through
 * {@code nft}, {@code ip} and {@code ss}. Knows nothing of Kubernetes.
 */
@NullMarked
package io.sluice.node;

import org.jspecify.annotations.NullMarked;
