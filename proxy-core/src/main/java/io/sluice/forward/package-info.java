/**
 * Makes sockets match a snapshot: listeners, TCP connections, UDP flows and the event loops they belong to.
 *
 * <p>{@link io.sluice.forward.Forwarder#apply} publishes immutable routes to the event loops; everything behind it
 * belongs to one loop each. May use {@link io.sluice.socket}, {@link io.sluice.balance}, {@link io.sluice.model},
 * {@link io.sluice.stats}, {@link io.sluice.thread} and Netty's epoll transport; knows nothing of Kubernetes or command
 * lines.
 */
@NullMarked
package io.sluice.forward;

import org.jspecify.annotations.NullMarked;
