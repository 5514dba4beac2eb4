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

/** Generates nft scripts: the table from the template {@code sluice.nft}, and changes to its sets, maps and chains. */
final class NftScript {
    private NftScript() {}

    private static final Pattern NAME = Pattern.compile("\\$\\{([a-z0-9-]+)}");

    /**
     * nft expressions by the name of their placeholder {@code ${name}} in {@code sluice.nft}. The names with
     * {@code low-} stand for the lower half of an IPv6 address. This half is enough to distinguish clients, and nft up
     * to 1.0.6 cannot add elements to a map whose key is longer than 16 bytes.
     */
    private static final Map<String, String> EXPRESSIONS = Map.ofEntries(
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

    /** Names of the sets of address ranges, without the digit at the end that stands for the family. */
    static final List<String> RANGE_SETS = List.of("pod-cidr", "service-cidr", "node-port-address");

    /**
     * The SO_PRIORITY of sockets to endpoints if their packets must not be redirected. Unlike a mark bit, the priority
     * does not conflict with the routing rules of other programs; like a mark, it is preserved across the loopback
     * interface. Values above 6 require CAP_NET_ADMIN. The low bits are 0, which packet schedulers treat as best
     * effort.
     */
    static final int NOT_REDIRECTED_PRIORITY = 0x5c1c_0000;

    static final String DEFRAGMENT = "meta l4proto udp tproxy to :1";

    /**
     * The bits in which a TCP listener's port differs from its frontend's port, so that another process can listen on
     * the frontend's port on all addresses. Common ports, below 4,096, are mapped to ports from 28,672 on, which are
     * rarely used.
     */
    static final int FLIPPED_PORT_BITS = 0x7000;

    static final String LISTENER4 = "meta nfproto ipv4 meta l4proto tcp tproxy ip to ip daddr:tcp dport ^ 0x"
            + Integer.toHexString(FLIPPED_PORT_BITS) + " accept";

    static final String LISTENER6 = LISTENER4.replace("ipv4", "ipv6").replace("ip to ip ", "ip6 to ip6 ");

    /**
     * Rule that finds the listener for the first packet of a connection. The chain {@code prerouting} has marked it.
     */
    private static final String REDIRECT_NEW_TCP =
            "meta l4proto tcp ${first-packet} meta mark and ${mark} == ${mark} goto redirect-tcp";

    /**
     * With bridge-nf-call-iptables, packets from a bridge pass prerouting inside the bridge, and later lose the socket
     * that tproxy assigned. After that, only a chain that runs before br_netfilter's hook sees them. Such a chain must
     * have the lowest priority and must be added last.
     */
    private static final String BRIDGE_PREROUTING = """
            add chain inet sluice bridge-prerouting
            delete chain inet sluice bridge-prerouting
            add chain inet sluice bridge-prerouting { type filter hook prerouting priority -2147483648; }
            add rule inet sluice bridge-prerouting ${redirect-new-tcp}
            """;

    /**
     * Rule that leaves to connection tracking the connections that kube-proxy redirected before its rules were removed.
     */
    private static final String ACCEPT_DNAT = "ct status dnat accept";

    /**
     * Chain that delivers IPv6 replies on connections from Sluice that a CNI plugin has masqueraded. Before Linux 6.15,
     * the socket for such a reply can be found only after the original address is restored.
     */
    private static final String MASQUERADED_REPLIES = """
            chain masqueraded-replies {
                    type filter hook prerouting priority dstnat + 10; policy accept;
                    meta nfproto ipv6 meta mark and ${mark} != ${mark} meta l4proto { tcp, udp } socket transparent 1 goto deliver
                  }""";

    /**
     * Chain that prevents NAT rules of other programs, such as those of kube-proxy, from translating packets for Sluice.
     * It runs before theirs. Translating an address to itself completes the NAT mapping of a connection, so that the
     * kernel skips all later NAT chains of the hook; an {@code accept} would not. The statement makes the kernel track
     * connections, so the chain exists only if it does so anyway.
     */
    private static final String BYPASS_NAT = """
            chain bypass-nat {
                    type nat hook prerouting priority dstnat - 1; policy accept;
                    meta nfproto ipv4 meta mark and ${mark} == ${mark} dnat ip to ip daddr
                    meta nfproto ipv6 meta mark and ${mark} == ${mark} dnat ip6 to ip6 daddr
                  }""";

    private static final String TABLE = resource("sluice.nft");

    private static String resource(String name) {
        try (InputStream in = Objects.requireNonNull(NftScript.class.getResourceAsStream(name), name)) {
            return new String(in.readAllBytes(), StandardCharsets.UTF_8);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** Returns commands that replace the table with an empty one. Appended commands run in the same transaction. */
    static String table(RuleOptions options, KernelFeatures features) {
        Map<String, String> expressions = expressions(options);
        expressions.put("defragment", features.tproxy() ? DEFRAGMENT : "ct state new");
        expressions.put("assign-listener4", features.tproxy() ? LISTENER4 : "");
        expressions.put("assign-listener6", features.tproxy() ? LISTENER6 : "");
        expressions.put("masqueraded-replies", features.findsMasqueraded() ? "" : MASQUERADED_REPLIES);
        boolean tracks = features.tracksConnections();
        expressions.put("accept-dnat", tracks ? ACCEPT_DNAT : "");
        expressions.put("bypass-nat", tracks ? BYPASS_NAT : "");
        expressions.put("prerouting-priority", tracks ? "mangle" : "raw");
        expressions.put("own-packets-not-tracked", tracks ? "" : "socket transparent 1 notrack");
        expressions.put("not-tracked", tracks ? "" : "notrack ");
        return expand(TABLE, expressions);
    }

    /** Returns commands that replace the chain for packets from bridges. */
    static String bridgePrerouting(RuleOptions options) {
        return expand(BRIDGE_PREROUTING, expressions(options));
    }

    private static Map<String, String> expressions(RuleOptions options) {
        Map<String, String> expressions = new HashMap<>(EXPRESSIONS);
        expressions.put("redirect-new-tcp", REDIRECT_NEW_TCP);
        expressions.put("not-redirected", "meta priority %x:0".formatted(NOT_REDIRECTED_PRIORITY >>> 16));
        expressions.put("unreplied-timeout", options.udpUnrepliedSeconds() + "s");
        expressions.put("replied-timeout", options.udpRepliedSeconds() + "s");
        expressions.put("mark", options.mark());
        expressions.put("not-mark", options.notMark());
        return expressions;
    }

    /** Replaces placeholders in a template, and placeholders in the expressions themselves. */
    private static String expand(String text, Map<String, String> expressions) {
        Matcher name = NAME.matcher(text);
        return name.replaceAll(found -> {
            String value = Objects.requireNonNull(expressions.get(found.group(1)), found.group());
            return Matcher.quoteReplacement(expand(value, expressions));
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
     * A script that {@code nft -c} accepts if and only if the table exists. Listing a single set would be slower,
     * because nft then reads the whole table: 0.2 s with 10,000 Services.
     */
    static final String CHECK_TABLE = "add element inet sluice frontend4 { 127.0.0.1 . tcp . 1 }\n";

    /**
     * Commands that reject all new connections and flows to Sluice. Established ones continue. Another process on this
     * node that is bound to a Service's address, such as a DNS cache, keeps receiving packets: its socket can be looked
     * up only in prerouting, which packets from local processes pass on {@code lo}.
     */
    static final String REJECT_NEW = """
            flush chain inet sluice new-traffic
            add rule inet sluice new-traffic iif 0 fib daddr type local accept
            add rule inet sluice new-traffic iif != 0 fib daddr type local socket transparent 0 accept
            add rule inet sluice new-traffic goto reject-new
            """;

    /**
     * Commands that drop the first packets of new connections and flows, which clients repeat, while established
     * connections of local processes are listed.
     */
    static final String DROP_NEW = """
            flush chain inet sluice new-traffic
            add rule inet sluice new-traffic goto drop-new
            """;

    /**
     * Commands that leave everything to kube-proxy except established TCP connections, the UDP flows in {@code flow4} and
     * {@code flow6}, and the established connections of local processes in {@code removed-frontend4} and {@code
     * removed-frontend6}.
     */
    private static final String RELEASE_NEW = """
            flush chain inet sluice new-tcp
            flush chain inet sluice orphaned-tcp
            flush chain inet sluice cluster-ips-check
            flush chain inet sluice service-ips
            flush chain inet sluice service-node-ports
            flush chain inet sluice output-service
            add rule inet sluice service-ips meta l4proto udp jump established-flows
            add rule inet sluice service-ips accept
            add rule inet sluice service-node-ports meta l4proto udp jump established-flows
            add rule inet sluice service-node-ports accept
            add rule inet sluice output-service oif lo ${not-redirected} notrack accept
            add rule inet sluice output-service ${not-redirected} accept
            add rule inet sluice output-service ${later-packet} ${connection4} @removed-frontend4 notrack goto deliver
            add rule inet sluice output-service ${later-packet} ${connection6} @removed-frontend6 notrack goto deliver
            add rule inet sluice output-service ${flow4} @flow4 notrack jump established-flows
            add rule inet sluice output-service ${flow6} @flow6 notrack jump established-flows
            """;

    static String releaseNew(RuleOptions options) {
        return expand(RELEASE_NEW, expressions(options));
    }

    static String flush(String set) {
        return "flush set inet sluice " + set + "\n";
    }
}
