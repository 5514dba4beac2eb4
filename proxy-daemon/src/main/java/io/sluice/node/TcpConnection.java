package io.sluice.node;

import io.sluice.model.IpAddress;
import java.util.List;
import java.util.Set;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/**
 * A TCP connection of this machine, as its socket stands.
 *
 * @param state as {@code ss} calls it
 * @param local what its socket has
 */
record TcpConnection(String state, IpAddress local, int localPort, IpAddress peer, int peerPort) {
    /** Closed by whoever had it; the kernel still has something to send, if perhaps only that. */
    private static final Set<String> CLOSED = Set.of("FIN-WAIT-1", "LAST-ACK", "CLOSING");

    /** @param listed by {@code ss -Htn}: state, two queues, the local address, the peer's */
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

    /** Of {@code 10.96.0.10:80}, {@code [fd00::10]:80} or, bound to a device, {@code 10.96.0.10%eth0:80}. */
    private static @Nullable IpAddress address(String text, int colon) {
        String address = colon < 0 ? "" : text.substring(0, colon);
        return IpAddress.parse(address.replaceAll("[\\[\\]]|%[^\\]]*", ""));
    }

    boolean isClosed() {
        return CLOSED.contains(state);
    }

    /** As the sets have a frontend. */
    String frontend() {
        return SetElements.key(local, "tcp", localPort);
    }

    /** As the set of {@code late} ones has it: what its peer sends. */
    SetElements.Element late() {
        return new SetElements.Element(
                "late" + SetElements.family(local), peer + " . " + peerPort + " . " + local + " . " + localPort, "");
    }
}
