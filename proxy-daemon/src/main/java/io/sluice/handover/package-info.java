/**
 * Handover of listeners, UDP flows, load-balancing state and open TCP connections from the old process to the new
 * process over a Unix socket.
 *
 * <p>May use {@link io.sluice.forward}, {@link io.sluice.balance}, {@link io.sluice.socket},
 * {@link io.sluice.thread}, {@link io.sluice.model}, {@link io.sluice.text}, Netty and Jackson.
 */
@NullMarked
package io.sluice.handover;

import org.jspecify.annotations.NullMarked;
