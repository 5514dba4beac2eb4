/**
 * Socket-level load balancing: BPF programs choose the endpoint of a TCP connection to a ClusterIP when a process on this
 * node calls {@code connect()}. The README in this directory describes the programs and their maps.
 *
 * <p>{@code Eligibility} decides which frontends are served in this way, and all others go through the forwarder. {@code
 * SocketLoadBalancer} keeps the maps equal to the snapshot; {@code Redirects} computes the changes. {@code Programs}
 * loads, attaches and adopts the programs through libbpf.
 *
 * <p>May use {@link io.sluice.model}, {@link io.sluice.thread} and JNA. Does not depend on the forwarder: the daemon
 * connects the two.
 */
@NullMarked
package io.sluice.socketlb;

import org.jspecify.annotations.NullMarked;
