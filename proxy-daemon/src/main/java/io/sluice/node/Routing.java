package io.sluice.node;

import java.io.IOException;
import java.util.List;

/** The routing rule and table that deliver marked packets here, of each family that the machine has. */
final class Routing {
    private final RuleOptions options;
    private final Shell shell;
    private final String mark;
    private final String table;
    private final String priority;

    Routing(RuleOptions options, Shell shell) {
        this.options = options;
        this.shell = shell;
        mark = options.mark() + "/" + options.mark();
        table = String.valueOf(options.routingTable());
        priority = String.valueOf(options.rulePriority());
    }

    /** The flags of {@code ip} for those. */
    static List<String> families() {
        try {
            return Sysctl.read("net/ipv6/conf/lo/disable_ipv6").equals("0") ? List.of("-4", "-6") : List.of("-4");
        } catch (IOException e) {
            // A kernel without IPv6.
            return List.of("-4");
        }
    }

    boolean isThere() throws IOException {
        for (String family : families()) {
            if (!hasRule(family) || !hasRoute(family)) {
                return false;
            }
        }
        return true;
    }

    /** Whether a rule of our priority is one of ours, if perhaps from a time when the mark or the table was another. */
    static boolean isOurs(String rule, RuleOptions options) {
        return rule.contains(" fwmark " + options.mark() + "/" + options.mark() + " ")
                || (rule.contains(" fwmark ") && rule.endsWith(" lookup " + options.routingTable()));
    }

    private boolean hasRule(String family) throws IOException {
        return rules(family).contains(" fwmark " + mark + " lookup " + table);
    }

    private String rules(String family) throws IOException {
        return shell.run("", "ip", family, "rule", "show", "priority", priority);
    }

    private boolean hasRoute(String family) {
        try {
            return shell.run("", "ip", family, "route", "show", "table", table).contains("local default dev lo");
        } catch (IOException e) {
            // A table without routes does not exist.
            return false;
        }
    }

    /** What is there already, of us or of a predecessor, is left. */
    void add() throws IOException {
        for (String family : families()) {
            shell.run("", "ip", family, "route", "replace", "local", "default", "dev", "lo", "table", table);
            if (!hasRule(family)) {
                removeOld(family);
                rule(family, "add");
            }
        }
    }

    /** Rules of ours with another mark or table. */
    private void removeOld(String family) throws IOException {
        for (String line : rules(family).lines().map(String::strip).toList()) {
            if (isOurs(line, options)) {
                String itsTable = line.substring(line.lastIndexOf(' ') + 1);
                shell.run("", "ip", family, "rule", "del", "priority", priority, "lookup", itsTable);
            }
        }
    }

    void remove() throws IOException {
        for (String family : families()) {
            if (hasRule(family)) {
                rule(family, "del");
            }
            if (hasRoute(family)) {
                shell.run("", "ip", family, "route", "flush", "table", table);
            }
        }
    }

    private void rule(String family, String verb) throws IOException {
        shell.run("", "ip", family, "rule", verb, "fwmark", mark, "lookup", table, "priority", priority);
    }
}
