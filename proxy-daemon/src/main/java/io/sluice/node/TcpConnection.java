package io.sluice.node;

import io.sluice.model.IpAddress;
import java.util.List;
import java.util.Set;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/**
 * A TCP connection of this machine.
 *
 * @param state the name of the TCP state in the output of {@code ss}
 * @param local the local address of the socket
 */
record TcpConnection(String state, IpAddress local, int localPort, IpAddress peer, int peerPort) {
    /** States of closed sockets whose data or FIN the peer has not acknowledged yet. */
    private static final Set<String> CLOSED = Set.of("FIN-WAIT-1", "LAST-ACK", "CLOSING");

    /** @param listed the output of {@code ss -Htn}: state, two queue lengths, local address, peer address */
    static List<TcpConnection> of(String listed) {
        return listed.lines()
                .map(line -> line.strip().split("\\s+"))
                .filter(words -> words.length >= 5)
                .flatMap(words -> Stream.ofNullable(of(words[0], words[3], words[4])))
                .toList();
    }

    private static @Nullable TcpConnection of(String state, String local, String peer) {
        int localColon = local.lastIndexOf(':');
        int peerColon = peer.lastIndexOf(':');
        IpAddress localAddress = address(local, localColon);
        IpAddress peerAddress = address(peer, peerColon);
        return localAddress == null || peerAddress == null
                ? null
                : new TcpConnection(
                        state,
                        localAddress,
                        Integer.parseInt(local.substring(localColon + 1)),
                        peerAddress,
                        Integer.parseInt(peer.substring(peerColon + 1)));
    }

    /** Parses the address in {@code 10.96.0.10:80}, {@code [fd00::10]:80} or {@code 10.96.0.10%eth0:80}. */
    private static @Nullable IpAddress address(String text, int colon) {
        String address = colon < 0 ? "" : text.substring(0, colon);
        return IpAddress.parse(address.replaceAll("[\\[\\]]|%[^\\]]*", ""));
    }

    /** Returns whether the local process has closed the socket, but the peer has not acknowledged everything. */
    boolean isClosed() {
        return CLOSED.contains(state);
    }

    /** Returns the key of the connection's frontend in the table's sets. */
    String frontend() {
        return SetElements.key(local, "tcp", localPort);
    }

    /**
     * Returns the connection's element in the set {@code removed-frontend}. Its key starts with the peer's address.
     */
    SetElements.Element removedFrontendElement() {
        return new SetElements.Element(
                "removed-frontend" + SetElements.family(local),
                peer + " . " + peerPort + " . " + local + " . " + localPort,
                "");
    }
}
