/**
 * Node mode: the nftables table and policy routing that redirect packets for Services to the forwarder, or reject or
 * drop them. Also provides the addresses of this machine's interfaces.
 *
 * <p>The table is the resource {@code sluice.nft}, a template for {@code NftScript}. {@code SetElements} translates
 * service ports into elements of its sets and maps, and {@code RuleTable} computes the difference between two
 * snapshots. The README in this directory explains the packet path and the design decisions.
 *
 * <p>May use {@link io.sluice.model}, {@link io.sluice.thread} and, for kernel settings,
 * {@link io.sluice.socket.Sysctl}. Accesses the kernel through {@code nft}, {@code ip} and {@code ss}. Reports the
 * addresses whose rules the kernel rejects through a callback. Does not depend on Kubernetes objects.
 */
@NullMarked
package io.sluice.node;

import org.jspecify.annotations.NullMarked;
