package io.sluice.node;

import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** The table as nft reads it: its rules, whose number does not depend on what is served, and changes to its sets. */
final class Script {
    private Script() {}

    private static final String KEY4 = "ip daddr . meta l4proto . th dport";
    private static final String KEY6 = "ip6 daddr . meta l4proto . th dport";

    private static final String CONN4 = "ip saddr . tcp sport . ip daddr . tcp dport";
    private static final String CONN6 = "ip6 saddr . tcp sport . ip6 daddr . tcp dport";

    /** An empty table in the place of whatever stood there, in one transaction with what follows. */
    static String table(String mark) {
        // Declared first, so that it can be deleted whether or not it was there.
        return "table inet sluice\ndelete table inet sluice\ntable inet sluice {\n" + sets("4", "ipv4_addr")
                + sets("6", "ipv6_addr")
                + """
                  chain deliver {
                    meta mark set meta mark or MARK accept
                  }
                  # Where what is new goes: until the end, to be delivered too.
                  chain admit {
                    goto deliver
                  }
                  chain refuse {
                    meta l4proto tcp reject with tcp reset
                    reject with icmpx port-unreachable
                  }
                  # By origin: pods before the node itself, as the forwarder tells them. A key is in all three maps or in
                  # none, so whoever passes the first lookup in vain passes the others too.
                  chain judge {
                    KEY4 @limited4 KEY4 . ip saddr != @admitted4 drop
                    KEY6 @limited6 KEY6 . ip6 saddr != @admitted6 drop
                    ip saddr @pods4 KEY4 vmap @pod4
                    ip6 saddr @pods6 KEY6 vmap @pod6
                    ip saddr @own4 KEY4 vmap @node4
                    ip6 saddr @own6 KEY6 vmap @node6
                    fib saddr type local KEY4 vmap @node4
                    fib saddr type local KEY6 vmap @node6
                    KEY4 vmap @outside4
                    KEY6 vmap @outside6
                    goto strange
                  }
                  # Whatever else a Service's address is asked for, it is not to be had elsewhere.
                  chain strange {
                    ip daddr @cluster4 goto refuse
                    ip6 daddr @cluster6 goto refuse
                    ip daddr @range4 drop
                    ip6 daddr @range6 drop
                  }
                  # Only what begins something is judged: an established connection or flow is never cut by a rule. That
                  # connection tracking is asked also makes the kernel put fragments together before all of this, of
                  # which only the first has ports.
                  chain pre {
                    type filter hook prerouting priority mangle; policy accept;
                    # Errors that come of what our sockets sent: too large, port unreachable.
                    meta l4proto { icmp, icmpv6 } socket transparent 1 goto deliver
                    meta l4proto != { tcp, udp } goto strange
                    meta l4proto tcp tcp flags & (fin | syn | rst | ack) == syn jump judge
                    meta l4proto udp KEY4 @front4 ct state established goto deliver
                    meta l4proto udp KEY6 @front6 ct state established goto deliver
                    meta l4proto udp KEY4 @front4 jump judge
                    meta l4proto udp KEY6 @front6 jump judge
                    socket transparent 1 goto deliver
                    meta l4proto udp jump judge
                    # What remains of a connection that we do not have any more is reset, not sent on to somebody else.
                    KEY4 @front4 goto deliver
                    KEY6 @front6 goto deliver
                  }
                  # Answers to us that somebody masqueraded after us, as CNIs do to what leaves the cluster. Before 6.15 the
                  # kernel finds our socket in IPv6 only when the address is ours again.
                  chain unmasqueraded {
                    type filter hook prerouting priority dstnat + 10; policy accept;
                    meta nfproto ipv6 ct status snat ct direction reply socket transparent 1 goto deliver
                  }
                  # What this node's own processes send. A process may have chosen any address of the node.
                  chain out {
                    type route hook output priority mangle; policy accept;
                    meta l4proto != { tcp, udp } goto strange
                    meta l4proto tcp tcp flags & (fin | syn | rst | ack) == syn jump judge
                    meta l4proto udp jump judge
                    KEY4 @front4 goto deliver
                    KEY6 @front6 goto deliver
                    CONN4 @late4 update @late4 { CONN4 timeout 1d } goto deliver
                    CONN6 @late6 update @late6 { CONN6 timeout 1d } goto deliver
                  }
                  # Nobody listens: the daemon is gone, or does not have the address. The kernel by itself would not
                  # answer for an address that is not its own.
                  chain in {
                    type filter hook input priority mangle; policy accept;
                    meta mark and MARK != MARK accept
                    socket transparent 1 accept
                    # For its own addresses it does; and somebody else may have this one, as a cache of DNS on the node.
                    fib daddr type local accept
                    goto refuse
                  }
                  # What the node's own processes and we send each other needs no tracking, and whoever judges by tracking
                  # must see nothing of it: neither what is new nor, since answers alone are invalid, these.
                  chain untracked {
                    type filter hook output priority raw; policy accept;
                    KEY4 @front4 notrack
                    KEY6 @front6 notrack
                    fib daddr type local ip saddr . meta l4proto . th sport @front4 notrack
                    fib daddr type local ip6 saddr . meta l4proto . th sport @front6 notrack
                  }
                }
                """.replace("KEY4", KEY4)
                        .replace("KEY6", KEY6)
                        .replace("CONN4", CONN4)
                        .replace("CONN6", CONN6)
                        .replace("MARK", mark);
    }

    private static String sets(String family, String address) {
        String key = address + " . inet_proto . inet_service";
        String sets = "";
        for (String plain : List.of("front", "limited")) {
            sets += "  set " + plain + family + " { type " + key + "; }\n";
        }
        String connection = address + " . inet_service . " + address + " . inet_service";
        sets += "  set late" + family + " { type " + connection
                + "; flags dynamic,timeout; size 65536; timeout 1d; }\n";
        sets += "  set admitted" + family + " { type " + key + " . " + address + "; flags interval; }\n";
        for (String origin : List.of("pod", "node", "outside")) {
            sets += "  map " + origin + family + " { type " + key + " : verdict; }\n";
        }
        sets += "  set cluster" + family + " { type " + address + "; }\n";
        for (String ranges : List.of("pods", "own", "range")) {
            sets += "  set " + ranges + family + " { type " + address + "; flags interval; auto-merge; }\n";
        }
        return sets;
    }

    static String add(Collection<Elements.Element> elements) {
        return changes("add", elements);
    }

    static String delete(Collection<Elements.Element> elements) {
        return changes("delete", elements);
    }

    private static String changes(String verb, Collection<Elements.Element> elements) {
        Map<String, StringBuilder> bySet = new LinkedHashMap<>();
        for (Elements.Element element : elements) {
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
    static final String REFUSE = "flush chain inet sluice admit\nadd rule inet sluice admit goto refuse\n";

    static String flush(String set) {
        return "flush set inet sluice " + set + "\n";
    }
}
