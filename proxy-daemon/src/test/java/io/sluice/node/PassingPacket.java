package io.sluice.node;

import io.sluice.model.Family;
import io.sluice.model.IpAddress;
import io.sluice.model.Protocol;
import io.sluice.node.LocalNode.ListeningSocket;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** A packet on its way through the hooks, with what rules have changed about it. */
final class PassingPacket {
    /** Interfaces as their indexes. */
    static final int NO_INTERFACE = 0;

    static final int LOOPBACK = 1;
    static final int OTHER_INTERFACE = 2;

    final Packet packet;
    final LocalNode node;
    long mark;
    int input = NO_INTERFACE;
    int output = NO_INTERFACE;
    IpAddress source;
    /** The listener that a rule has assigned to the packet. */
    @Nullable
    ListeningSocket assigned;

    /** The rules that have matched, each behind its chain. */
    final List<String> matched = new ArrayList<>();

    PassingPacket(Packet packet, LocalNode node) {
        this.packet = packet;
        this.node = node;
        source = packet.source();
    }

    boolean isTcp() {
        return packet.protocol() == Protocol.TCP;
    }

    boolean isIpv6() {
        return packet.family() == Family.IPV6;
    }

    /** The socket that the kernel delivers it to if it delivers it here. */
    @Nullable
    ListeningSocket socket() {
        return assigned != null
                ? assigned
                : node.socket(packet.protocol(), packet.destination(), packet.destinationPort());
    }
}
