/**
 * Forwards TCP and UDP: listeners, connections, flows and the event loops that own them. README.md in this directory
 * describes the packet path.
 *
 * <p>{@link io.sluice.forward.Forwarder#apply} opens and closes listeners and publishes immutable routes to the event
 * loops. Each listener, connection and flow belongs to one loop. May use {@link io.sluice.socket}, {@link
 * io.sluice.balance}, {@link io.sluice.model}, {@link io.sluice.stats}, {@link io.sluice.thread} and Netty's epoll
 * transport; does not depend on the Kubernetes API or the command line.
 */
@NullMarked
package io.sluice.forward;

import org.jspecify.annotations.NullMarked;
