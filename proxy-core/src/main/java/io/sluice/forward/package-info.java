/**
 * Makes sockets match a snapshot, relays bytes and datagrams, and picks endpoints.
 *
 * <p>{@link io.sluice.forward.Forwarder#apply} publishes immutable routes to the event loops; everything behind it
 * belongs to one loop each. Also passes open sockets to another process ({@link io.sluice.forward.UnixSocket}). Knows
 * {@link io.sluice.model}, {@link io.sluice.stats}, {@link io.sluice.thread} and Netty's epoll transport; nothing of
 * Kubernetes or command lines.
 */
@NullMarked
package io.sluice.forward;

import org.jspecify.annotations.NullMarked;
