package io.sluice.node;

import io.sluice.model.Family;
import java.io.IOException;
import java.net.ConnectException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import tools.jackson.databind.JsonNode;

/**
 * Tests whether packets are redirected to Sluice. Opens a connection to an unused address, marked like connections to
 * Services. Its first packet must reach the end of the input hook, where the probe's rules reject it. If it does not,
 * counters show where it was lost, and a one-line warning names the hook or routing rule. Services are served
 * regardless of the result.
 */
final class SelfProbe {
    private static final Logger log = LoggerFactory.getLogger(SelfProbe.class);
    private static final int TIMEOUT_MILLIS = 300;
    private static final int PORT = 9;
    /** Addresses in ranges reserved for documentation and benchmarks. */
    private static final List<String> UNUSED4 = List.of("192.0.2.254", "198.18.0.254", "203.0.113.254");

    private static final List<String> UNUSED6 = List.of("2001:db8:ffff::fffe", "2001:2::fffe");

    static final String REMOVE = "table inet sluice-probe\ndelete table inet sluice-probe\n";

    private final RuleOptions options;
    private final NodeKernel kernel;

    SelfProbe(RuleOptions options, NodeKernel kernel) {
        this.options = options;
        this.kernel = kernel;
    }

    /** Tests each family for which this node has a default route. Must be called after the rules are loaded. */
    void run() {
        for (Family family : PolicyRouting.families()) {
            try {
                Optional<String> address = unusedAddress(family);
                if (address.isPresent()) {
                    run(family, address.get());
                } else {
                    log.debug("not testing {}: no default route, or all test addresses are in use", family);
                }
            } catch (IOException | RuntimeException e) {
                log.warn("cannot test whether packets for Services are redirected to Sluice: {}", e.getMessage());
            }
        }
    }

    /** Returns the first test address that only the default route matches; empty if there is none. */
    private Optional<String> unusedAddress(Family family) throws IOException {
        for (String address : family == Family.IPV4 ? UNUSED4 : UNUSED6) {
            List<JsonNode> routes = kernel.routes(family, "match", address);
            if (!routes.isEmpty()
                    && routes.stream()
                            .allMatch(route -> route.path("dst").asString("").equals("default"))) {
                return Optional.of(address);
            }
        }
        return Optional.empty();
    }

    private void run(Family family, String address) throws IOException {
        try {
            kernel.load(script(family, address));
            boolean reset = isReset(address);
            JsonNode counters = kernel.list("counters", "table", "inet", "sluice-probe");
            Optional<String> failure = diagnose(family, address, counters, reset);
            failure.ifPresent(what -> log.warn(
                    "packets for Services might not reach Sluice: a test connection to {} failed: {}", address, what));
        } finally {
            kernel.load(REMOVE);
        }
    }

    private static boolean isReset(String address) {
        try (Socket socket = new Socket()) {
            socket.connect(new InetSocketAddress(InetAddress.getByName(address), PORT), TIMEOUT_MILLIS);
            return false;
        } catch (ConnectException e) {
            return String.valueOf(e.getMessage()).toLowerCase(Locale.ROOT).contains("refused");
        } catch (IOException e) {
            return false;
        }
    }

    /** Returns a description of where the packet was lost; empty if it arrived. */
    private Optional<String> diagnose(Family family, String address, JsonNode counters, boolean reset)
            throws IOException {
        String droppedOrUnmarked = " dropped the packet or cleared bit " + options.markBit() + " of its mark";
        if (isZero(counters, "sent")) {
            return Optional.of("an output chain" + otherChains("output") + " dropped the packet before it was marked");
        }
        if (isZero(counters, "left")) {
            return Optional.of("an output chain" + otherChains("output") + droppedOrUnmarked);
        }
        if (isZero(counters, "arrived")) {
            return Optional.of("a routing rule before priority " + options.rulePriority() + " matched ("
                    + kernel.route(family, address, options.mark()) + "); see 'ip " + LinuxKernel.flag(family)
                    + " rule', and set --rule-priority");
        }
        if (isZero(counters, "marked")) {
            return Optional.of("a prerouting chain" + otherChains("prerouting") + droppedOrUnmarked);
        }
        if (isZero(counters, "accepted")) {
            String mark = options.mark();
            return Optional.of(
                    "an input chain" + otherChains("input") + " dropped the packet; accept mark " + mark + "/" + mark);
        }
        return reset ? Optional.empty() : Optional.of("the reply was lost");
    }

    private static boolean isZero(JsonNode counters, String name) {
        for (JsonNode each : counters.path("nftables")) {
            JsonNode counter = each.path("counter");
            if (counter.path("name").asString("").equals(name)) {
                return counter.path("packets").asLong(0) == 0;
            }
        }
        return true;
    }

    /** Returns the chains of other programs at a hook, in parentheses; empty if there are none. */
    private String otherChains(String hook) throws IOException {
        StringBuilder names = new StringBuilder();
        for (JsonNode each : kernel.list("chains").path("nftables")) {
            JsonNode chain = each.path("chain");
            String table = chain.path("family").asString("") + " "
                    + chain.path("table").asString("");
            if (chain.path("hook").asString("").equals(hook) && !table.startsWith("inet sluice")) {
                names.append(names.isEmpty() ? "" : ", ")
                        .append(table)
                        .append(' ')
                        .append(chain.path("name").asString(""));
                names.append(chain.path("policy").asString("").equals("drop") ? ", whose policy is drop" : "");
            }
        }
        return names.isEmpty() ? "" : " (" + names + ")";
    }

    /**
     * Returns commands that create chains at the beginning and end of each hook. The mark that routes the test packet,
     * which a local process sends, is set on output. It is set again on prerouting, as for a packet from a pod, to test
     * whether other chains keep it.
     */
    private String script(Family family, String address) {
        String probePacket = (family == Family.IPV4 ? "ip daddr " : "ip6 daddr ") + address + " tcp dport " + PORT;
        return REMOVE
                + """
                table inet sluice-probe {
                  counter sent {}
                  counter left {}
                  counter arrived {}
                  counter marked {}
                  counter accepted {}
                  chain out {
                    type route hook output priority mangle;
                    PROBE_PACKET counter name sent meta mark set meta mark or MARK
                  }
                  chain left {
                    type filter hook output priority 1000;
                    PROBE_PACKET meta mark and MARK == MARK counter name left
                  }
                  chain arrived {
                    type filter hook prerouting priority -1000;
                    iifname "lo" PROBE_PACKET counter name arrived
                  }
                  chain again {
                    type filter hook prerouting priority mangle;
                    PROBE_PACKET meta mark set meta mark or MARK
                  }
                  chain marked {
                    type filter hook prerouting priority 1000;
                    PROBE_PACKET meta mark and MARK == MARK counter name marked
                  }
                  # The rules for Services would reject the packet if it had the mark here.
                  chain unmark {
                    type filter hook input priority mangle - 1;
                    PROBE_PACKET meta mark set meta mark and NOT_MARK
                  }
                  chain remark {
                    type filter hook input priority mangle + 1;
                    PROBE_PACKET meta mark set meta mark or MARK
                  }
                  chain accepted {
                    type filter hook input priority 1000;
                    PROBE_PACKET counter name accepted reject with tcp reset
                  }
                }
                """.replace("PROBE_PACKET", probePacket)
                        .replace("NOT_MARK", options.notMark())
                        .replace("MARK", options.mark());
    }
}
