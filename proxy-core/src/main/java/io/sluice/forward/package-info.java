/**
 * Makes sockets match a snapshot, relays bytes and datagrams, and picks endpoints.
 *
 * <p>{@link io.sluice.forward.Forwarder#apply} publishes immutable routes to the event loops; everything behind it
 * belongs to one loop each. Knows {@link io.sluice.model}, {@link io.sluice.stats} and Netty's epoll transport; nothing
 * of Kubernetes, files or command lines.
 */
@NullMarked
package io.sluice.forward;

import org.jspecify.annotations.NullMarked;
