package io.sluice.node;

import io.sluice.model.Family;
import io.sluice.model.FrontendAddress;
import io.sluice.model.IpAddress;
import io.sluice.model.Protocol;
import java.util.List;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * The addresses and sockets that the kernel of a node looks up for the first packet of a connection or flow.
 *
 * @param addresses interface addresses; loopback addresses are always local
 * @param sockets listening sockets
 */
record SimulatedHost(Set<IpAddress> addresses, List<ListeningSocket> sockets) {
    /**
     * A TCP listener or an unconnected UDP socket.
     *
     * @param address the unspecified IPv6 address for all addresses of both families
     * @param frontend the frontend that the socket serves; null for a socket of another process
     */
    record ListeningSocket(
            Protocol protocol,
            IpAddress address,
            int port,
            @Nullable FrontendAddress frontend) {
        /** All sockets of the forwarder have IP_TRANSPARENT in node mode. */
        boolean isTransparent() {
            return frontend != null;
        }
    }

    boolean isLocal(IpAddress address) {
        return address.isLoopback() || addresses.contains(address);
    }

    /** The socket for an address and port; sockets that are bound to the address precede wildcard sockets. */
    @Nullable
    ListeningSocket socket(Protocol protocol, IpAddress address, int port) {
        ListeningSocket wildcard = null;
        for (ListeningSocket socket : sockets) {
            if (socket.protocol() != protocol || socket.port() != port) {
                continue;
            }
            if (socket.address().equals(address)) {
                return socket;
            }
            if (socket.address().isUnspecified()
                    && (socket.address().family() == address.family()
                            || (socket.address().family() == Family.IPV6 && !socket.isTransparent()))) {
                wildcard = socket;
            }
        }
        return wildcard;
    }
}
