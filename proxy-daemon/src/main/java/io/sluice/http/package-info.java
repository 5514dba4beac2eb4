/**
 * HTTP server for all ports of the process, on a dedicated event loop.
 *
 * <p>The duration, size and number of connections are limited, whatever clients send or leave unread; accepting never
 * pauses. The server does not depend on what a {@link io.sluice.http.Page} contains, so limits on clients and pages for
 * operators can change independently. May use {@link io.sluice.model}, {@link io.sluice.socket}, {@link
 * io.sluice.thread} and Netty.
 */
@NullMarked
package io.sluice.http;

import org.jspecify.annotations.NullMarked;
