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

    private static final String FROM4 = "ip saddr . meta l4proto . th sport";
    private static final String FROM6 = "ip6 saddr . meta l4proto . th sport";

    private static final String CONN4 = "ip saddr . tcp sport . ip daddr . tcp dport";
    private static final String CONN6 = "ip6 saddr . tcp sport . ip6 daddr . tcp dport";

    private static final String FLOW4 = "ip saddr . udp sport . ip daddr . udp dport";
    private static final String FLOW6 = "ip6 saddr . udp sport . ip6 daddr . udp dport";

    /**
     * The lower halves of the addresses, in which clients differ: nft up to 1.0.6 adds no elements to a map whose key is
     * longer than 16 bytes.
     */
    private static final String SADDR6_LOW = "@nh,128,64";

    private static final String DADDR6_LOW = "@nh,256,64";

    private static final String ANSWER4 = "ip daddr . udp dport . ip saddr . udp sport";
    private static final String ANSWER6 = "ip6 daddr . udp dport . ip6 saddr . udp sport";

    /** Sets of address ranges, by the beginning of their names. */
    static final List<String> RANGES = List.of("pods", "range", "node-port-address");

    /**
     * Set by the daemon on its own sockets. Unlike the packet mark it takes no bit that others' routing rules may use, and
     * like it, it survives the loopback interface. More than 6 needs CAP_NET_ADMIN; the low bits are best effort's.
     */
    static final int NOT_REDIRECTED_PRIORITY = 0x5c1c_0000;

    private static final String NOT_REDIRECTED = "meta priority %x:0".formatted(NOT_REDIRECTED_PRIORITY >>> 16);

    private static final String FIRST = "tcp flags & (fin | syn | rst | ack) == syn";

    static final String WHOLE = "meta l4proto udp tproxy to :1";

    /**
     * What a socket for connections has, of each address, in the place of these bits of the port: a port that nobody is
     * likely to have on all addresses. Those that most have, below 4,096, go to 28,672 and above.
     */
    static final int FLIPPED_PORT_BITS = 0x7000;

    static final String LISTENER4 = "meta nfproto ipv4 meta l4proto tcp tproxy ip to ip daddr:tcp dport ^ 0x"
            + Integer.toHexString(FLIPPED_PORT_BITS) + " accept";

    static final String LISTENER6 = LISTENER4.replace("ipv4", "ipv6").replace("ip to ip ", "ip6 to ip6 ");

    /** What only begins has no socket yet that {@code socket} could find, and is marked by then. */
    private static final String CLAIM = "meta l4proto tcp FIRST meta mark and MARK == MARK goto claim";

    /**
     * With bridge-nf-call-iptables, what comes over a bridge passes prerouting while it is there, and loses its socket as it
     * comes up. Then only what comes before the bridge's own hook sees it: the last chain that was added at the lowest
     * priority.
     */
    private static final String BRIDGED = """
            add chain inet sluice bridged
            delete chain inet sluice bridged
            add chain inet sluice bridged { type filter hook prerouting priority -2147483648; }
            add rule inet sluice bridged CLAIM
            """;

    /** What kube-proxy's rules, which are gone, still lead elsewhere. It begins before us, and goes on to its end. */
    private static final String BEFORE = "ct status dnat accept";

    /**
     * Answers to us that somebody masqueraded after us, as CNIs do to what leaves the cluster, and that an older kernel
     * knows for ours only when the address is ours again.
     */
    private static final String UNMASQUERADED = """
            chain unmasqueraded {
                    type filter hook prerouting priority dstnat + 10; policy accept;
                    meta nfproto ipv6 meta mark and MARK != MARK meta l4proto { tcp, udp } socket transparent 1 goto deliver
                  }""";

    /** An empty table in the place of whatever stood there, in one transaction with what follows. */
    static String table(RuleOptions options, KernelFeatures features) {
        // Declared first, so that it can be deleted whether or not it was there.
        return "table inet sluice\ndelete table inet sluice\ntable inet sluice {\n" + sets("4", "ipv4_addr")
                + sets("6", "ipv6_addr")
                + """
                  set node-port { type nf_proto . inet_proto . inet_service; }
                  map pod-node-port { type nf_proto . inet_proto . inet_service : verdict; }
                  map node-node-port { type nf_proto . inet_proto . inet_service : verdict; }
                  map outside-node-port { type nf_proto . inet_proto . inet_service : verdict; }
                  chain deliver {
                    meta mark set meta mark or MARK accept
                  }
                  # Where what is new goes, until the end.
                  chain admit {
                    goto arrive
                  }
                  # What the node's own processes send comes by twice: as it goes out, when its socket is theirs, and then as
                  # it comes in.
                  chain arrive {
                    meta l4proto udp iif != 0 goto find
                    goto deliver
                  }
                  # If nobody listens, the daemon is gone or does not have the address. The kernel by itself would not answer
                  # for an address that is not its own. For its own it does; and somebody else may have this one, as a cache
                  # of DNS on the node.
                  chain find {
                    socket wildcard 0 goto deliver
                    fib daddr type local goto deliver
                    goto turn-away
                  }
                  # The same for connections: their listener has a port of its own, so the packet is told its socket.
                  chain listener {
                    LISTENER4
                    LISTENER6
                    socket transparent 1 accept
                    goto find
                  }
                  chain claim {
                    KEY4 @front4 goto listener
                    KEY6 @front6 goto listener
                  }
                  chain claims {
                    type filter hook prerouting priority mangle + 1; policy accept;
                    CLAIM
                  }
                  # Only what begins something is refused or dropped: a flow that was answered lately goes on.
                  chain established {
                    FLOW4 @flow4 update @flow4 { FLOW4 timeout 120s } goto arrive
                    FLOW6 @flow6 update @flow6 { FLOW6 timeout 120s } goto arrive
                  }
                  chain refuse {
                    meta l4proto udp jump established
                    goto turn-away
                  }
                  chain discard {
                    meta l4proto udp jump established
                    drop
                  }
                  chain turn-away {
                    meta l4proto tcp reject with tcp reset
                    reject with icmpx port-unreachable
                  }
                  # By origin: pods before the node itself, as the forwarder tells them. A key is in all three maps or in
                  # none, so whoever passes the first lookup in vain passes the others too.
                  chain judge {
                    NOT_REDIRECTED accept
                    KEY4 @limited4 KEY4 . ip saddr != @admitted4 goto discard
                    KEY6 @limited6 KEY6 . ip6 saddr != @admitted6 goto discard
                    ip saddr @pods4 KEY4 vmap @pod4
                    ip6 saddr @pods6 KEY6 vmap @pod6
                    fib saddr type local KEY4 vmap @node4
                    fib saddr type local KEY6 vmap @node6
                    KEY4 vmap @outside4
                    KEY6 vmap @outside6
                  }
                  # Node ports on all local addresses in certain ranges. Our sockets have these ports of every address, so
                  # elsewhere the rules answer as the kernel would for a closed port.
                  chain node-port {
                    PORT @node-port fib daddr type local goto node-port-here
                  }
                  chain node-port-here {
                    ip daddr != @node-port-address4 goto turn-away
                    ip6 daddr != @node-port-address6 goto turn-away
                    update @asked4 { ip saddr . udp sport . udp dport timeout 30s : ip daddr }
                    update @asked6 { SADDR6_LOW . udp sport . udp dport timeout 30s : ip6 daddr }
                    ip saddr @pods4 PORT vmap @pod-node-port
                    ip6 saddr @pods6 PORT vmap @pod-node-port
                    fib saddr type local PORT vmap @node-node-port
                    PORT vmap @outside-node-port
                  }
                  # Whatever else a Service's address is asked for, it is not to be had elsewhere.
                  chain strange {
                    ip daddr @cluster4 goto turn-away
                    ip6 daddr @cluster6 goto turn-away
                    ip daddr @range4 drop
                    ip6 daddr @range6 drop
                  }
                  # None of this needs connection tracking: where nobody else does, it stays off. A socket of ours has an
                  # address of its own; one without, transparent too, is another proxy's and takes whatever has its port.
                  chain pre {
                    type filter hook prerouting priority mangle; policy accept;
                    BEFORE
                    # What is most comes first, and goes nowhere else.
                    meta l4proto tcp LATER OURS meta mark set meta mark or MARK accept
                    meta l4proto tcp goto pre-tcp
                    KEY4 @front4 goto judge
                    KEY6 @front6 goto judge
                    jump node-port
                    # Also errors that come of what our sockets sent: too large, port unreachable.
                    OURS goto deliver
                    goto strange
                  }
                  chain pre-tcp {
                    FIRST goto begin
                    # What begins or ends and has no whole socket cannot be asked for its address.
                    socket transparent 1 socket wildcard 1 goto nobodys
                    socket transparent 1 goto deliver
                    goto nobodys
                  }
                  chain begin {
                    jump judge
                    jump node-port
                    # The port that our listener has instead, of which nobody is to know.
                    KEY4 @listener4 OURS goto turn-away
                    KEY6 @listener6 OURS goto turn-away
                    goto strange
                  }
                  # What remains of a connection that we do not have any more is reset, not sent on to somebody else.
                  chain nobodys {
                    KEY4 @front4 meta mark set meta mark or MARK goto listener
                    KEY6 @front6 meta mark set meta mark or MARK goto listener
                    goto strange
                  }
                  # Nobody comes here: that a rule could need them makes the kernel put fragments together before all of
                  # this. Only the first has ports.
                  chain whole {
                    WHOLE
                  }
                  UNMASQUERADED
                  # What this node's own processes send. A process may have chosen any address of the node. What they and we
                  # send each other needs no tracking, and whoever judges by tracking must see nothing of it: neither what is
                  # new nor, since answers alone are invalid, these.
                  chain out {
                    type route hook output priority raw; policy accept;
                    # Where accepted sockets have the mark of what they were asked by (tcp_fwmark_accept).
                    meta l4proto tcp meta mark and MARK == MARK socket transparent 1 meta mark set meta mark and NOT_MARK accept
                    meta l4proto udp FROM4 @front4 goto answer
                    meta l4proto udp FROM6 @front6 goto answer
                    meta l4proto udp FROM_PORT @node-port goto node-port-answer
                    KEY4 @front4 goto out-front
                    KEY6 @front6 goto out-front
                    # To an endpoint at an address that was not known to be local when it was chosen: it must not loop.
                    NOT_REDIRECTED PORT @node-port fib daddr type local goto turn-away
                    meta l4proto tcp goto out-tcp
                    goto strange
                  }
                  chain out-tcp {
                    oif != lo LATER socket transparent 1 accept
                    oif lo FROM4 @front4 notrack accept
                    oif lo FROM6 @front6 notrack accept
                    # What refuses has never been a connection.
                    oif lo ip saddr @cluster4 notrack accept
                    oif lo ip6 saddr @cluster6 notrack accept
                    LATER CONN4 @late4 update @late4 { CONN4 timeout 1d } goto deliver
                    LATER CONN6 @late6 update @late6 { CONN6 timeout 1d } goto deliver
                    goto strange
                  }
                  chain out-front {
                    # What the daemon sends to an endpoint whose address is a frontend's, too. Over lo it comes by again.
                    oif lo NOT_REDIRECTED notrack accept
                    NOT_REDIRECTED accept
                    notrack
                    meta l4proto tcp LATER goto deliver
                    goto judge
                  }
                  # The socket of a node port has no address of its own, so the kernel has chosen one. The client expects that
                  # which it sent to.
                  chain node-port-answer {
                    ip saddr set ip daddr . udp dport . udp sport map @asked4
                    ip6 saddr set DADDR6_LOW . udp dport . udp sport map @asked6
                    update @asked4 { ip daddr . udp dport . udp sport : ip saddr }
                    update @asked6 { DADDR6_LOW . udp dport . udp sport : ip6 saddr }
                    goto answer
                  }
                  # The times are those of the forwarder's flows: longer from the second answer on.
                  chain answer {
                    oif lo notrack
                    ANSWER4 @flow4 update @flow4 { ANSWER4 timeout 120s } accept
                    ANSWER6 @flow6 update @flow6 { ANSWER6 timeout 120s } accept
                    meta nfproto ipv4 add @flow4 { ANSWER4 timeout 30s } accept
                    meta nfproto ipv6 add @flow6 { ANSWER6 timeout 30s } accept
                  }
                }
                """.replace("CLAIM", CLAIM)
                        .replace("KEY4", KEY4)
                        .replace("KEY6", KEY6)
                        .replace("FROM_PORT", "meta nfproto . meta l4proto . th sport")
                        .replace("PORT", "meta nfproto . meta l4proto . th dport")
                        .replace("FIRST", FIRST)
                        .replace("LATER", "tcp flags & (fin | syn | rst | ack) != syn")
                        .replace("OURS", "socket transparent 1 socket wildcard 0")
                        .replace("CONN4", CONN4)
                        .replace("CONN6", CONN6)
                        .replace("FROM4", FROM4)
                        .replace("FROM6", FROM6)
                        .replace("FLOW4", FLOW4)
                        .replace("FLOW6", FLOW6)
                        .replace("SADDR6_LOW", SADDR6_LOW)
                        .replace("DADDR6_LOW", DADDR6_LOW)
                        .replace("ANSWER4", ANSWER4)
                        .replace("ANSWER6", ANSWER6)
                        .replace("WHOLE", features.tproxy() ? WHOLE : "ct state new")
                        .replace("LISTENER4", features.tproxy() ? LISTENER4 : "")
                        .replace("LISTENER6", features.tproxy() ? LISTENER6 : "")
                        .replace("UNMASQUERADED", features.findsMasqueraded() ? "" : UNMASQUERADED)
                        .replace("BEFORE", features.tracks() ? BEFORE : "")
                        .replace("NOT_REDIRECTED", NOT_REDIRECTED)
                        .replace("NOT_MARK", options.notMark())
                        .replace("MARK", options.mark());
    }

    static String bridged(RuleOptions options) {
        return BRIDGED.replace("CLAIM", CLAIM).replace("FIRST", FIRST).replace("MARK", options.mark());
    }

    private static String sets(String family, String address) {
        String key = address + " . inet_proto . inet_service";
        String sets = "";
        for (String plain : List.of("front", "listener", "limited")) {
            sets += "  set " + plain + family + " { type " + key + "; }\n";
        }
        String connection = address + " . inet_service . " + address + " . inet_service";
        sets += "  set late" + family + " { type " + connection
                + "; flags dynamic,timeout; size 65536; timeout 1d; }\n";
        sets += "  set flow" + family + " { type " + connection
                + "; flags dynamic,timeout; size 131072; timeout 120s; }\n";
        sets += "  set admitted" + family + " { type " + key + " . " + address + "; flags interval; }\n";
        for (String origin : List.of("pod", "node", "outside")) {
            sets += "  map " + origin + family + " { type " + key + " : verdict; }\n";
        }
        String asked = family.equals("4")
                ? "ip saddr . udp sport . udp dport : ip daddr"
                : SADDR6_LOW + " . udp sport . udp dport : ip6 daddr";
        sets += "  map asked" + family + " { typeof " + asked
                + "; flags dynamic,timeout; size 131072; timeout 120s; }\n";
        sets += "  set cluster" + family + " { type " + address + "; }\n";
        for (String ranges : RANGES) {
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
