/**
 * The PROXY protocol: encodes and decodes headers of version 1 and 2.
 *
 * <p>A header at the start of a connection, or of a datagram, carries the address of the client. Holds no sockets and
 * no policy; {@link io.sluice.model.TrafficPolicy.ProxyProtocol} says which headers are sent and which peers must send
 * one. May use {@link io.sluice.model}. The format is defined by HAProxy's {@code doc/proxy-protocol.txt}.
 */
@NullMarked
package io.sluice.proxyprotocol;

import org.jspecify.annotations.NullMarked;
