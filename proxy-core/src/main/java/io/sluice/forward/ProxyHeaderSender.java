package io.sluice.forward;

import io.sluice.forward.EndedConnection.End;
import io.sluice.model.IpAddress;
import io.sluice.model.TrafficPolicy.ProxyHeader;
import io.sluice.proxyprotocol.ProxiedAddresses;
import io.sluice.proxyprotocol.ProxyHeaderWriter;
import io.sluice.stats.Counter;
import java.io.IOException;
import java.net.InetSocketAddress;

/** Sends the PROXY protocol header of a TCP connection to its endpoint. */
final class ProxyHeaderSender {
    private ProxyHeaderSender() {}

    /** Sends the header before all other bytes; returns false if this ended the connection. */
    static boolean send(TcpSession session, ProxyHeader version, Leg client, Leg endpoint) {
        IpAddress address = session.frontend.address.address();
        InetSocketAddress local = address.isUnspecified() ? client.socket.localAddress() : null;
        ProxiedAddresses addresses = new ProxiedAddresses(
                session.clientAddress,
                session.clientPort,
                local == null ? address : IpAddress.of(local.getAddress()),
                session.frontend.address.port());
        Loop loop = session.loop;
        int length = ProxyHeaderWriter.write(version, addresses, false, loop.buffer, 0);
        try {
            // The send buffer of a new connection has room for the whole header.
            if (endpoint.write(loop.bufferAddress, 0, length) == length) {
                return true;
            }
        } catch (IOException e) {
            endpoint.failed(e);
        }
        session.close(Counter.SESSIONS_RESET_BY_ENDPOINT, End.ENDPOINT_RESET, true);
        return false;
    }
}
