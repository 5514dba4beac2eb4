package io.sluice.forward;

import io.sluice.model.FrontendAddress;
import io.sluice.model.IpAddress;
import io.sluice.model.TrafficPolicy.ProxyHeader;
import io.sluice.proxyprotocol.ProxiedAddresses;
import io.sluice.proxyprotocol.ProxyHeaderWriter;
import io.sluice.socket.InetSocket;
import java.net.InetSocketAddress;
import java.nio.ByteBuffer;

/** Creates the PROXY protocol headers of connections and flows. */
final class ProxyHeaders {
    private static final byte[] NONE = {};

    private ProxyHeaders() {}

    /**
     * Writes the header of a TCP connection into the loop's buffer and returns its length.
     *
     * @param socket the client's connection, whose local address the client connected to if the frontend is served at
     *     all addresses
     */
    static int write(
            ProxyHeader version,
            FrontendAddress frontend,
            IpAddress client,
            int clientPort,
            InetSocket socket,
            Loop loop) {
        InetSocketAddress local = frontend.address().isUnspecified() ? socket.localAddress() : null;
        IpAddress destination = local == null ? frontend.address() : IpAddress.of(local.getAddress());
        return ProxyHeaderWriter.write(
                version, new ProxiedAddresses(client, clientPort, destination, frontend.port()), false, loop.buffer, 0);
    }

    /** The header before each datagram of a flow; empty if there is none, as always in version 1. */
    static byte[] ofFlow(ProxyHeader version, FrontendAddress frontend, IpAddress client, int clientPort) {
        if (version != ProxyHeader.V2) {
            return NONE;
        }
        ByteBuffer buffer = ByteBuffer.allocate(ProxyHeaderWriter.MAX_BYTES);
        // If the frontend is served at all addresses, the one that the client sent to is not known.
        ProxiedAddresses addresses = new ProxiedAddresses(client, clientPort, frontend.address(), frontend.port());
        byte[] header = new byte[ProxyHeaderWriter.write(version, addresses, true, buffer, 0)];
        buffer.get(0, header);
        return header;
    }
}
