/**
 * Access to the kernel's socket functions.
 *
 * <p>Holds non-blocking TCP and UDP sockets and their options, Unix sockets that pass descriptors, {@code TCP_INFO},
 * batches of datagrams, error numbers, kernel settings and the descriptor limit. Knows neither connections nor
 * policies. May use {@link io.sluice.model}, Netty's epoll transport, slf4j and {@code com.sun.management}.
 */
@NullMarked
package io.sluice.socket;

import org.jspecify.annotations.NullMarked;
