/**
 * Non-blocking sockets over Netty's {@code Socket}: TCP and UDP, Unix sockets that pass descriptors, socket options,
 * {@code TCP_INFO}, batches of datagrams, errno names and the descriptor limit.
 *
 * <p>Holds no connection state and no policy. May use {@link io.sluice.model} and Netty's epoll transport.
 */
@NullMarked
package io.sluice.socket;

import org.jspecify.annotations.NullMarked;
