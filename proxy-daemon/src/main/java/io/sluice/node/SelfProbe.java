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
 * Whether packets are led here: a connection of this node's own to an address that is nobody's, marked as those to Services
 * are, has to come to the end of the input hook, where the probe's own rules refuse it. Counters on the way tell where one
 * that does not was lost. Nothing is served meanwhile or not because of it; what is wrong is said on one line.
 */
final class SelfProbe {
    private static final Logger log = LoggerFactory.getLogger(SelfProbe.class);
    private static final int PATIENCE_MILLIS = 300;
    private static final int PORT = 9;
    /** Of ranges reserved for documentation and for benchmarks of routers. */
    private static final List<String> UNUSED4 = List.of("192.0.2.254", "198.18.0.254", "203.0.113.254");

    private static final List<String> UNUSED6 = List.of("2001:db8:ffff::fffe", "2001:2::fffe");

    static final String REMOVE = "table inet sluice-probe\ndelete table inet sluice-probe\n";

    private final RuleOptions options;
    private final NodeKernel kernel;

    SelfProbe(RuleOptions options, NodeKernel kernel) {
        this.options = options;
        this.kernel = kernel;
    }

    /** Tries each family whose own processes have a way to Services at all; warns. To be run when the rules are in force. */
    void run() {
        for (Family family : PolicyRouting.families()) {
            try {
                Optional<String> address = unusedAddress(family);
                if (address.isPresent()) {
                    run(family, address.get());
                } else {
                    log.debug("not tried over {}: no default route, or each address is in use", family);
                }
            } catch (IOException | RuntimeException e) {
                log.warn("whether packets for Services arrive here could not be tried: {}", e.getMessage());
            }
        }
    }

    /** The first address that goes where everything unknown goes. */
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
            boolean refused = isRefused(address);
            JsonNode counters = kernel.list("counters", "table", "inet", "sluice-probe");
            Optional<String> wrong = wrong(family, address, counters, refused);
            wrong.ifPresent(what -> log.warn(
                    "packets for Services may not arrive here, as a connection of this node's to {} shows: {}",
                    address,
                    what));
        } finally {
            kernel.load(REMOVE);
        }
    }

    private static boolean isRefused(String address) {
        try (Socket socket = new Socket()) {
            socket.connect(new InetSocketAddress(InetAddress.getByName(address), PORT), PATIENCE_MILLIS);
            return false;
        } catch (ConnectException e) {
            return String.valueOf(e.getMessage()).toLowerCase(Locale.ROOT).contains("refused");
        } catch (IOException e) {
            return false;
        }
    }

    /** Where it was lost first. */
    private Optional<String> wrong(Family family, String address, JsonNode counters, boolean refused)
            throws IOException {
        String orMark = " dropped it, or took bit " + options.markBit() + " from its mark";
        if (none(counters, "sent")) {
            return Optional.of("an output chain" + suspects("output") + " dropped it before it was marked");
        }
        if (none(counters, "left")) {
            return Optional.of("an output chain" + suspects("output") + orMark);
        }
        if (none(counters, "arrived")) {
            return Optional.of("the routing rule of priority " + options.rulePriority() + " is not followed ("
                    + kernel.route(family, address, options.mark()) + "): another comes before it; see 'ip "
                    + LinuxKernel.flag(family) + " rule', and --rule-priority");
        }
        if (none(counters, "marked")) {
            return Optional.of("a prerouting chain" + suspects("prerouting") + orMark);
        }
        if (none(counters, "accepted")) {
            String mark = options.mark();
            return Optional.of("an input chain" + suspects("input") + " dropped it: let packets with mark " + mark + "/"
                    + mark + " pass");
        }
        return refused ? Optional.empty() : Optional.of("the answer was lost on its way back");
    }

    private static boolean none(JsonNode counters, String name) {
        for (JsonNode each : counters.path("nftables")) {
            JsonNode counter = each.path("counter");
            if (counter.path("name").asString("").equals(name)) {
                return counter.path("packets").asLong(0) == 0;
            }
        }
        return true;
    }

    /** Chains of others at a hook, which may have done it. */
    private String suspects(String hook) throws IOException {
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
     * First and last at each hook. What comes from this node itself is routed once, on its way out; on its way in it is
     * marked again, as what comes from pods is, only to see whether it keeps that.
     */
    private String script(Family family, String address) {
        String ours = (family == Family.IPV4 ? "ip daddr " : "ip6 daddr ") + address + " tcp dport " + PORT;
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
                    OURS counter name sent meta mark set meta mark or MARK
                  }
                  chain left {
                    type filter hook output priority 1000;
                    OURS meta mark and MARK == MARK counter name left
                  }
                  chain arrived {
                    type filter hook prerouting priority -1000;
                    iifname "lo" OURS counter name arrived
                  }
                  chain again {
                    type filter hook prerouting priority mangle;
                    OURS meta mark set meta mark or MARK
                  }
                  chain marked {
                    type filter hook prerouting priority 1000;
                    OURS meta mark and MARK == MARK counter name marked
                  }
                  # Without the mark only where the rules for Services would refuse it.
                  chain unmark {
                    type filter hook input priority mangle - 1;
                    OURS meta mark set meta mark and NOT_MARK
                  }
                  chain remark {
                    type filter hook input priority mangle + 1;
                    OURS meta mark set meta mark or MARK
                  }
                  chain accepted {
                    type filter hook input priority 1000;
                    OURS counter name accepted reject with tcp reset
                  }
                }
                """.replace("OURS", ours)
                        .replace("NOT_MARK", options.notMark())
                        .replace("MARK", options.mark());
    }
}
