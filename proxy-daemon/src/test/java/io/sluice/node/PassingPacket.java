package io.sluice.node;

import io.sluice.model.Family;
import io.sluice.model.IpAddress;
import io.sluice.model.Protocol;
import io.sluice.node.SimulatedHost.ListeningSocket;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** A packet that passes the hooks, with the changes that rules have made to it. */
final class PassingPacket {
    /** Interface indexes. */
    static final int NO_INTERFACE = 0;

    static final int LOOPBACK = 1;
    static final int OTHER_INTERFACE = 2;

    final Packet packet;
    final SimulatedHost node;
    long mark;
    int input = NO_INTERFACE;
    int output = NO_INTERFACE;
    IpAddress source;
    /** The listener that a rule has assigned to the packet. */
    @Nullable
    ListeningSocket assigned;

    /** The rules that have matched, each after the name of its chain. */
    final List<String> matched = new ArrayList<>();

    PassingPacket(Packet packet, SimulatedHost node) {
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

    /** The socket that receives the packet if it is delivered to this node; null if there is none. */
    @Nullable
    ListeningSocket socket() {
        return assigned != null
                ? assigned
                : node.socket(packet.protocol(), packet.destination(), packet.destinationPort());
    }
}
