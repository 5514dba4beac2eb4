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
 * How sockets are opened on a node whose kernel delivers the packets for every Service here: they may have addresses that
 * are not the machine's own, those of Services and, towards endpoints, those of clients. Needs CAP_NET_ADMIN.
 *
 * @param isOwn whether an address is the machine's now, whatever the snapshot knows of it; a client that has one is this
 *     node. Asked like {@code keepsClient}
 * @param flippedPortBits what is other in the port that the TCP socket of a frontend listens on, where the kernel is told to
 *     lead connections to it all the same; 0 where it listens on the frontend's own
 * @param keepsClient whether an endpoint (second) can answer a client (first) whose address it sees; asked once per
 *     connection or flow, on a loop, where the route says that it should
 * @param priority the SO_PRIORITY of a socket that connects to an endpoint, 0 for the kernel's default: by it the rules
 *     recognize what they must not redirect. Asked like {@code keepsClient}
 */
public record TransparentSockets(
        Predicate<IpAddress> isOwn,
        BiPredicate<IpAddress, IpAddress> keepsClient,
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

    /** Where the TCP socket of a frontend listens. */
    int listeningPort(FrontendAddress frontend) {
        return frontend.listeningPort(flippedPortBits);
    }

    /** Gives a socket that is about to connect the priority of this endpoint. */
    void prioritize(InetSocket socket, Endpoint endpoint) throws IOException {
        int value = priority.applyAsInt(endpoint);
        if (value != 0) {
            socket.setIntOpt(SOL_SOCKET, SO_PRIORITY, value);
        }
    }

    /** Lets a socket have an address that is not the machine's. */
    static void allow(InetSocket socket, Family family) throws IOException {
        try {
            if (family == Family.IPV6) {
                socket.setIntOpt(SOL_IPV6, IPV6_TRANSPARENT, 1);
            } else {
                socket.setIntOpt(SOL_IP, IP_TRANSPARENT, 1);
            }
        } catch (IOException e) {
            throw new IOException("its socket may not be transparent (CAP_NET_ADMIN): " + e.getMessage(), e);
        }
    }

    /**
     * Has datagrams that are too large for the way cut in pieces. Told by a router how large they may be, the kernel does
     * not keep that for an address that is not its own (IPv4), and without this whatever is larger is lost each time.
     */
    static void cutToPath(InetSocket socket, Family family) throws IOException {
        if (family == Family.IPV4) {
            socket.setIntOpt(SOL_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DONT);
        }
    }

    /** Gives a socket that is about to connect the client's address; its port is chosen when it does. */
    static void assume(InetSocket socket, IpAddress client) throws IOException {
        allow(socket, client.family());
        // Chosen now, a port would have to be unused by all connections, whomever they go to.
        socket.setIntOpt(SOL_IP, IP_BIND_ADDRESS_NO_PORT, 1);
        socket.bind(client.toSocketAddress(0));
    }

    /** An endpoint that is the client itself would take its own address for a stranger's. */
    boolean keeps(IpAddress client, IpAddress endpoint) {
        return client.family() == endpoint.family() && !client.equals(endpoint) && keepsClient.test(client, endpoint);
    }
}
