package io.sluice.forward;

import io.sluice.model.Endpoint;
import io.sluice.model.Family;
import io.sluice.model.FrontendAddress;
import io.sluice.model.IpAddress;
import io.sluice.socket.InetSocket;
import java.io.IOException;
import java.util.function.BiPredicate;
import java.util.function.Predicate;
import java.util.function.ToIntFunction;

/**
 * Options for opening sockets in node mode, in which nftables rules redirect packets of Services to Sluice. Transparent
 * sockets can be bound to addresses that are not local: those of Services and, for connections to endpoints, those of
 * clients. Requires CAP_NET_ADMIN.
 *
 * @param isOwn tests whether an address is now local to this machine, even if the snapshot does not contain it; a
 *     client with such an address has origin {@code NODE}. Called like {@code canPreserveClient}
 * @param canPreserveClient tests whether replies to a client's address (first argument) from an endpoint (second) would
 *     reach Sluice. Called on a loop, once per connection or flow whose route preserves the client's address
 * @param priority returns the SO_PRIORITY for sockets that connect to an endpoint, by which the nftables rules
 *     recognize packets that they must not redirect; 0 for the kernel's default. Called like {@code canPreserveClient}
 * @param flippedPortBits bits of a frontend's port to invert for its TCP listening socket, if the rules redirect each
 *     connection to its listener; 0 to listen on the frontend's port
 */
public record TransparentSockets(
        Predicate<IpAddress> isOwn,
        BiPredicate<IpAddress, IpAddress> canPreserveClient,
        ToIntFunction<Endpoint> priority,
        int flippedPortBits) {
    private static final int SOL_SOCKET = 1;
    private static final int SO_PRIORITY = 12;
    private static final int SOL_IP = 0;
    private static final int IP_MTU_DISCOVER = 10;
    private static final int IP_PMTUDISC_DONT = 0;
    private static final int IP_TRANSPARENT = 19;
    private static final int IP_BIND_ADDRESS_NO_PORT = 24;
    private static final int SOL_IPV6 = 41;
    private static final int IPV6_TRANSPARENT = 75;

    /** The port on which the TCP socket of a frontend listens. */
    int listeningPort(FrontendAddress frontend) {
        return frontend.listeningPort(flippedPortBits);
    }

    /** Sets the SO_PRIORITY for connections to this endpoint. Call before connecting. */
    void prioritize(InetSocket socket, Endpoint endpoint) throws IOException {
        int value = priority.applyAsInt(endpoint);
        if (value != 0) {
            socket.setIntOpt(SOL_SOCKET, SO_PRIORITY, value);
        }
    }

    /** Makes a socket transparent, so that it can be bound to an address that is not local. */
    static void allow(InetSocket socket, Family family) throws IOException {
        try {
            if (family == Family.IPV6) {
                socket.setIntOpt(SOL_IPV6, IPV6_TRANSPARENT, 1);
            } else {
                socket.setIntOpt(SOL_IP, IP_TRANSPARENT, 1);
            }
        } catch (IOException e) {
            throw new IOException("transparent sockets require CAP_NET_ADMIN: " + e.getMessage(), e);
        }
    }

    /**
     * Allows the fragmentation of datagrams that exceed the path MTU (IPv4). The kernel does not store a path MTU that
     * a router reports to a source address that is not local, so without fragmentation larger datagrams would always be
     * lost.
     */
    static void allowFragmentation(InetSocket socket, Family family) throws IOException {
        if (family == Family.IPV4) {
            socket.setIntOpt(SOL_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DONT);
        }
    }

    /** Binds a socket to the client's address. The port is chosen when connecting, so call this before connecting. */
    static void bindToClient(InetSocket socket, IpAddress client) throws IOException {
        allow(socket, client.family());
        // A port chosen by bind would have to be unused by all connections; connect only needs a port that is unused
        // for this endpoint.
        socket.setIntOpt(SOL_IP, IP_BIND_ADDRESS_NO_PORT, 1);
        socket.bind(client.toSocketAddress(0));
    }

    /**
     * Whether a connection to an endpoint can use the client's address. False if both addresses are equal or of
     * different families, or if replies would bypass Sluice.
     */
    boolean allowsClientAddress(IpAddress client, IpAddress endpoint) {
        return client.family() == endpoint.family()
                && !client.equals(endpoint)
                && canPreserveClient.test(client, endpoint);
    }
}
