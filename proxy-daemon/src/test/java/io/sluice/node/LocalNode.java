package io.sluice.node;

import io.sluice.model.Family;
import io.sluice.model.FrontendAddress;
import io.sluice.model.IpAddress;
import io.sluice.model.Protocol;
import java.util.List;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * What the kernel of a node looks up for the first packet of a connection or flow, beside the rules.
 *
 * @param addresses of its interfaces; loopback is always among them
 * @param sockets that listen
 */
record LocalNode(Set<IpAddress> addresses, List<ListeningSocket> sockets) {
    /**
     * A socket that waits for connections or datagrams.
     *
     * @param address the unspecified address of IPv6 for all addresses of both families
     * @param frontend of the forwarder that it serves, null for a socket of another process
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

    /** The socket that is bound to an address, before one that is bound to all addresses. */
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
