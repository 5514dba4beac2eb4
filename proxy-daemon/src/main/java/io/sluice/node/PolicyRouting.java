package io.sluice.node;

import io.sluice.model.Family;
import io.sluice.socket.Sysctl;
import java.io.IOException;
import java.util.List;
import tools.jackson.databind.JsonNode;

/** The routing rule and table that deliver marked packets here, of each family that the machine has. */
final class PolicyRouting {
    private final RuleOptions options;
    private final NodeKernel kernel;
    private final String mark;
    private final String table;
    private final String priority;

    PolicyRouting(RuleOptions options, NodeKernel kernel) {
        this.options = options;
        this.kernel = kernel;
        mark = options.mark() + "/" + options.mark();
        table = String.valueOf(options.routingTable());
        priority = String.valueOf(options.rulePriority());
    }

    /** Those that the machine has. */
    static List<Family> families() {
        try {
            return Sysctl.read("net/ipv6/conf/lo/disable_ipv6").equals("0")
                    ? List.of(Family.IPV4, Family.IPV6)
                    : List.of(Family.IPV4);
        } catch (IOException e) {
            // A kernel without IPv6.
            return List.of(Family.IPV4);
        }
    }

    boolean isThere() throws IOException {
        for (Family family : families()) {
            if (!hasRule(family) || !hasRoute(family)) {
                return false;
            }
        }
        return true;
    }

    /** Whether a rule of our priority is one of ours, if perhaps from a time when the mark or the table was another. */
    static boolean isOurs(RoutingRule rule, RuleOptions options) {
        return rule.matchesOnly(1L << options.markBit())
                || (rule.looksAtMark() && rule.table().equals(String.valueOf(options.routingTable())));
    }

    private boolean hasRule(Family family) throws IOException {
        return rules(family).stream()
                .anyMatch(rule -> rule.matchesOnly(1L << options.markBit())
                        && rule.table().equals(table));
    }

    private List<RoutingRule> rules(Family family) throws IOException {
        return kernel.rules(family).stream()
                .filter(rule -> rule.priority() == options.rulePriority())
                .toList();
    }

    private boolean hasRoute(Family family) {
        return routes(kernel, family, options).stream().anyMatch(PolicyRouting::isOurs);
    }

    /** The routes of our table. */
    static List<JsonNode> routes(NodeKernel kernel, Family family, RuleOptions options) {
        try {
            String table = String.valueOf(options.routingTable());
            return kernel.routes(family, "table", table);
        } catch (IOException e) {
            // A table without routes does not exist.
            return List.of();
        }
    }

    static boolean isOurs(JsonNode route) {
        return route.path("type").asString("").equals("local")
                && route.path("dst").asString("").equals("default")
                && route.path("dev").asString("").equals("lo");
    }

    /** What is there already, of us or of a predecessor, is left. */
    void add() throws IOException {
        for (Family family : families()) {
            kernel.changeRouting(family, "route", "replace", "local", "default", "dev", "lo", "table", table);
            if (!hasRule(family)) {
                removeOld(family);
                rule(family, "add");
            }
        }
    }

    /** Rules of ours with another mark or table. */
    private void removeOld(Family family) throws IOException {
        for (RoutingRule rule : rules(family)) {
            if (isOurs(rule, options)) {
                kernel.changeRouting(family, "rule", "del", "priority", priority, "lookup", rule.table());
            }
        }
    }

    void remove() throws IOException {
        for (Family family : families()) {
            if (hasRule(family)) {
                rule(family, "del");
            }
            if (hasRoute(family)) {
                kernel.changeRouting(family, "route", "flush", "table", table);
            }
        }
    }

    private void rule(Family family, String verb) throws IOException {
        kernel.changeRouting(family, "rule", verb, "fwmark", mark, "lookup", table, "priority", priority);
    }
}
