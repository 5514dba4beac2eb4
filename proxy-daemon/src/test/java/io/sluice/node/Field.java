package io.sluice.node;

import io.sluice.model.Protocol;
import java.util.function.Function;
import org.jspecify.annotations.Nullable;

/**
 * A field of a packet that rules compare or look up, such as {@code ip daddr}.
 *
 * @param type the type in the declaration of a set
 * @param value the value in the format of set elements; null if the packet does not have the field, so that the rule does not
 *     match
 */
record Field(String type, Function<PassingPacket, @Nullable String> value) {
    private static final String ADDRESS4 = "ipv4_addr";
    private static final String ADDRESS6 = "ipv6_addr";
    private static final String PORT = "inet_service";
    private static final String HALF = "64 bits";

    static boolean begins(String word) {
        return word.matches("ip|ip6|th|tcp|udp|meta|@nh,\\d+,\\d+");
    }

    static Field of(String text) {
        return switch (text) {
            case "ip saddr" -> new Field(ADDRESS4, each -> each.isIpv6() ? null : each.source.toString());
            case "ip6 saddr" -> new Field(ADDRESS6, each -> each.isIpv6() ? each.source.toString() : null);
            case "ip daddr" ->
                new Field(
                        ADDRESS4,
                        each -> each.isIpv6() ? null : each.packet.destination().toString());
            case "ip6 daddr" ->
                new Field(
                        ADDRESS6,
                        each -> each.isIpv6() ? each.packet.destination().toString() : null);
            // Used only in rules with another IPv6 field.
            case "@nh,128,64" ->
                new Field(HALF, each -> each.isIpv6() ? Long.toUnsignedString(each.source.low()) : null);
            case "@nh,256,64" ->
                new Field(
                        HALF,
                        each -> each.isIpv6()
                                ? Long.toUnsignedString(
                                        each.packet.destination().low())
                                : null);
            case "th sport" -> new Field(PORT, each -> String.valueOf(each.packet.sourcePort()));
            case "th dport" -> new Field(PORT, each -> String.valueOf(each.packet.destinationPort()));
            case "tcp sport" -> new Field(PORT, each -> of(Protocol.TCP, each, each.packet.sourcePort()));
            case "tcp dport" -> new Field(PORT, each -> of(Protocol.TCP, each, each.packet.destinationPort()));
            case "udp sport" -> new Field(PORT, each -> of(Protocol.UDP, each, each.packet.sourcePort()));
            case "udp dport" -> new Field(PORT, each -> of(Protocol.UDP, each, each.packet.destinationPort()));
            case "meta l4proto" ->
                new Field("inet_proto", each -> each.packet.protocol().text());
            case "meta nfproto" -> new Field("nf_proto", each -> each.isIpv6() ? "ipv6" : "ipv4");
            default -> throw new IllegalArgumentException("unknown field: " + text);
        };
    }

    private static @Nullable String of(Protocol protocol, PassingPacket packet, int port) {
        return packet.packet.protocol() == protocol ? String.valueOf(port) : null;
    }
}
