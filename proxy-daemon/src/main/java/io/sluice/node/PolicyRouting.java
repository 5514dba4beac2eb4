package io.sluice.node;

import io.sluice.model.Family;
import io.sluice.socket.Sysctl;
import java.io.IOException;
import java.util.List;
import tools.jackson.databind.JsonNode;

/** Manages the routing rule and table that deliver marked packets to local sockets, for each supported family. */
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

    /** Returns the IP families that this machine supports. */
    static List<Family> families() {
        try {
            return Sysctl.read("net/ipv6/conf/lo/disable_ipv6").equals("0")
                    ? List.of(Family.IPV4, Family.IPV6)
                    : List.of(Family.IPV4);
        } catch (IOException e) {
            // The kernel does not support IPv6.
            return List.of(Family.IPV4);
        }
    }

    boolean isPresent() throws IOException {
        for (Family family : families()) {
            if (!hasRule(family) || !hasRoute(family)) {
                return false;
            }
        }
        return true;
    }

    /**
     * Returns whether a rule with Sluice's priority was added by Sluice, possibly by an earlier process with another
     * mark or table.
     */
    static boolean isOwn(RoutingRule rule, RuleOptions options) {
        return rule.matchesOnly(1L << options.markBit())
                || (rule.matchesMark() && rule.table().equals(String.valueOf(options.routingTable())));
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
        return routes(kernel, family, options).stream().anyMatch(PolicyRouting::isOwn);
    }

    /** Returns the routes in Sluice's routing table. */
    static List<JsonNode> routes(NodeKernel kernel, Family family, RuleOptions options) {
        try {
            String table = String.valueOf(options.routingTable());
            return kernel.routes(family, "table", table);
        } catch (IOException e) {
            // The kernel reports a table without routes as missing.
            return List.of();
        }
    }

    static boolean isOwn(JsonNode route) {
        return route.path("type").asString("").equals("local")
                && route.path("dst").asString("").equals("default")
                && route.path("dev").asString("").equals("lo");
    }

    /** Adds whichever of the route and the rule is missing. */
    void add() throws IOException {
        for (Family family : families()) {
            kernel.changeRouting(family, "route", "replace", "local", "default", "dev", "lo", "table", table);
            if (!hasRule(family)) {
                removeOld(family);
                rule(family, "add");
            }
        }
    }

    /** Removes rules left by earlier processes that used another mark or table. */
    private void removeOld(Family family) throws IOException {
        for (RoutingRule rule : rules(family)) {
            if (isOwn(rule, options)) {
                kernel.changeRouting(family, "rule", "del", "priority", priority, "lookup", rule.table());
            }
        }
    }

    /** Removes the rule and the route, and returns whether there was one of them. */
    boolean remove() throws IOException {
        boolean found = false;
        for (Family family : families()) {
            if (hasRule(family)) {
                found = true;
                rule(family, "del");
            }
            if (hasRoute(family)) {
                found = true;
                kernel.changeRouting(family, "route", "flush", "table", table);
            }
        }
        return found;
    }

    private void rule(Family family, String verb) throws IOException {
        kernel.changeRouting(family, "rule", verb, "fwmark", mark, "lookup", table, "priority", priority);
    }
}
