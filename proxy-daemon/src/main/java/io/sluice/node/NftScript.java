package io.sluice.node;

import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.util.Collection;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** Makes what nft reads: the table, from the resource {@code sluice.nft}, and changes to its sets and maps. */
final class NftScript {
    private NftScript() {}

    private static final Pattern NAME = Pattern.compile("\\$\\{([a-z0-9-]+)}");

    /**
     * What {@code ${name}} stands for in {@code sluice.nft} on every node. The lower halves of IPv6 addresses, in which
     * clients differ, are there because nft up to 1.0.6 adds no elements to a map whose key is longer than 16 bytes.
     */
    private static final Map<String, String> NAMES = Map.ofEntries(
            Map.entry("destination4", "ip daddr . meta l4proto . th dport"),
            Map.entry("destination6", "ip6 daddr . meta l4proto . th dport"),
            Map.entry("destination-port", "meta nfproto . meta l4proto . th dport"),
            Map.entry("source4", "ip saddr . meta l4proto . th sport"),
            Map.entry("source6", "ip6 saddr . meta l4proto . th sport"),
            Map.entry("source-port", "meta nfproto . meta l4proto . th sport"),
            Map.entry("connection4", "ip saddr . tcp sport . ip daddr . tcp dport"),
            Map.entry("connection6", "ip6 saddr . tcp sport . ip6 daddr . tcp dport"),
            Map.entry("flow4", "ip saddr . udp sport . ip daddr . udp dport"),
            Map.entry("flow6", "ip6 saddr . udp sport . ip6 daddr . udp dport"),
            Map.entry("reply-flow4", "ip daddr . udp dport . ip saddr . udp sport"),
            Map.entry("reply-flow6", "ip6 daddr . udp dport . ip6 saddr . udp sport"),
            Map.entry("low-source6", "@nh,128,64"),
            Map.entry("low-destination6", "@nh,256,64"),
            Map.entry("first-packet", "tcp flags & (fin | syn | rst | ack) == syn"),
            Map.entry("later-packet", "tcp flags & (fin | syn | rst | ack) != syn"),
            Map.entry("own-socket", "socket transparent 1 socket wildcard 0"));

    /** Sets of address ranges, by the beginning of their names. */
    static final List<String> RANGES = List.of("pods", "range", "node-port-address");

    /**
     * Set by the daemon on its own sockets. Unlike the packet mark it takes no bit that others' routing rules may use, and
     * like it, it survives the loopback interface. More than 6 needs CAP_NET_ADMIN; the low bits are best effort's.
     */
    static final int NOT_REDIRECTED_PRIORITY = 0x5c1c_0000;

    static final String DEFRAGMENT = "meta l4proto udp tproxy to :1";

    /**
     * What a socket for connections has, of each address, in the place of these bits of the port: a port that nobody is
     * likely to have on all addresses. Those that most have, below 4,096, go to 28,672 and above.
     */
    static final int FLIPPED_PORT_BITS = 0x7000;

    static final String LISTENER4 = "meta nfproto ipv4 meta l4proto tcp tproxy ip to ip daddr:tcp dport ^ 0x"
            + Integer.toHexString(FLIPPED_PORT_BITS) + " accept";

    static final String LISTENER6 = LISTENER4.replace("ipv4", "ipv6").replace("ip to ip ", "ip6 to ip6 ");

    /** A first packet has no socket yet that {@code socket} could find, and is marked by then. */
    private static final String REDIRECT_NEW_TCP =
            "meta l4proto tcp ${first-packet} meta mark and ${mark} == ${mark} goto redirect-tcp";

    /**
     * With bridge-nf-call-iptables, what comes over a bridge passes prerouting while it is there, and loses its socket as it
     * comes up. Then only what comes before the bridge's own hook sees it: the last chain that was added at the lowest
     * priority.
     */
    private static final String BRIDGED = """
            add chain inet sluice bridged
            delete chain inet sluice bridged
            add chain inet sluice bridged { type filter hook prerouting priority -2147483648; }
            add rule inet sluice bridged ${redirect-new-tcp}
            """;

    /** Connections that kube-proxy's rules, now gone, have redirected. They came first, and continue to their end. */
    private static final String LEAVE_DNAT = "ct status dnat accept";

    /**
     * Replies to Sluice that another table masqueraded after ours, as CNIs do to what leaves the cluster. An older kernel
     * recognizes them only once the address is restored.
     */
    private static final String UNMASQUERADED = """
            chain unmasqueraded {
                    type filter hook prerouting priority dstnat + 10; policy accept;
                    meta nfproto ipv6 meta mark and ${mark} != ${mark} meta l4proto { tcp, udp } socket transparent 1 goto deliver
                  }""";

    private static final String TABLE = resource("sluice.nft");

    private static String resource(String name) {
        try (InputStream in = Objects.requireNonNull(NftScript.class.getResourceAsStream(name), name)) {
            return new String(in.readAllBytes(), StandardCharsets.UTF_8);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** An empty table in the place of whatever stood there, in one transaction with what follows. */
    static String table(RuleOptions options, KernelFeatures features) {
        Map<String, String> names = names(options);
        names.put("defragment", features.tproxy() ? DEFRAGMENT : "ct state new");
        names.put("assign-listener4", features.tproxy() ? LISTENER4 : "");
        names.put("assign-listener6", features.tproxy() ? LISTENER6 : "");
        names.put("unmasqueraded", features.findsMasqueraded() ? "" : UNMASQUERADED);
        names.put("leave-dnat", features.tracks() ? LEAVE_DNAT : "");
        return filled(TABLE, names);
    }

    static String bridged(RuleOptions options) {
        return filled(BRIDGED, names(options));
    }

    private static Map<String, String> names(RuleOptions options) {
        Map<String, String> names = new HashMap<>(NAMES);
        names.put("redirect-new-tcp", REDIRECT_NEW_TCP);
        names.put("not-redirected", "meta priority %x:0".formatted(NOT_REDIRECTED_PRIORITY >>> 16));
        names.put("unreplied-timeout", options.udpUnrepliedSeconds() + "s");
        names.put("replied-timeout", options.udpRepliedSeconds() + "s");
        names.put("mark", options.mark());
        names.put("not-mark", options.notMark());
        return names;
    }

    /** The text with names replaced, also in what they stand for. */
    private static String filled(String text, Map<String, String> names) {
        Matcher name = NAME.matcher(text);
        return name.replaceAll(found -> {
            String value = Objects.requireNonNull(names.get(found.group(1)), found.group());
            return Matcher.quoteReplacement(filled(value, names));
        });
    }

    static String add(Collection<SetElements.Element> elements) {
        return changes("add", elements);
    }

    static String delete(Collection<SetElements.Element> elements) {
        return changes("delete", elements);
    }

    private static String changes(String verb, Collection<SetElements.Element> elements) {
        Map<String, StringBuilder> bySet = new LinkedHashMap<>();
        for (SetElements.Element element : elements) {
            StringBuilder list = bySet.computeIfAbsent(element.set(), set -> new StringBuilder());
            list.append(list.isEmpty() ? "" : ", ").append(element.text());
        }
        StringBuilder script = new StringBuilder();
        bySet.forEach((set, list) -> script.append(verb)
                .append(" element inet sluice ")
                .append(set)
                .append(" { ")
                .append(list)
                .append(" }\n"));
        return script.toString();
    }

    /**
     * What nft takes, without doing it, if and only if the table is there. To list any of it, nft reads all of it, which
     * takes it a fifth of a second with 10,000 Services.
     */
    static final String PROBE = "add element inet sluice front4 { 127.0.0.1 . tcp . 1 }\n";

    /** Nothing new is let in from now on; what exists goes on. */
    static final String REJECT =
            "flush chain inet sluice new-traffic\nadd rule inet sluice new-traffic goto reject-new\n";

    static String flush(String set) {
        return "flush set inet sluice " + set + "\n";
    }
}
