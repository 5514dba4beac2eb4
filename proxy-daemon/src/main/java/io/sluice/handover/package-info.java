/**
 * Handover of listeners, UDP flows and load balancing state from the old process to the new process, over a Unix socket.
 *
 * <p>May use {@link io.sluice.forward}, {@link io.sluice.balance}, {@link io.sluice.socket} and {@link io.sluice.thread}.
 */
@NullMarked
package io.sluice.handover;

import org.jspecify.annotations.NullMarked;
