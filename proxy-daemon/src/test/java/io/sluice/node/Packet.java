package io.sluice.node;

import io.sluice.model.Family;
import io.sluice.model.IpAddress;
import io.sluice.model.Protocol;

/**
 * The first packet of a connection or flow.
 *
 * @param ofNode whether a process of the node sends the packet; otherwise it arrives at an interface
 * @param priority SO_PRIORITY of the sending socket; 0 by default
 */
record Packet(
        boolean ofNode,
        Protocol protocol,
        IpAddress source,
        int sourcePort,
        IpAddress destination,
        int destinationPort,
        int priority) {
    Family family() {
        return destination.family();
    }
}
