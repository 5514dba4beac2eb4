package io.sluice.node;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** What node mode needs of the machine. */
public final class Requirements {
    private static final Pattern VERSION = Pattern.compile("(\\d+)\\.(\\d+)(?:\\.(\\d+))?");
    private static final int CAP_NET_ADMIN = 12;

    private Requirements() {}

    /** The first thing that stands in the way and what to do about it, on one line; empty if nothing does. */
    public static Optional<String> unmet(RuleOptions options) {
        Optional<String> missing = missing();
        return missing.isPresent() ? missing : taken(options);
    }

    private static Optional<String> taken(RuleOptions options) {
        for (String family : List.of("-4", "-6")) {
            String priority = String.valueOf(options.rulePriority());
            Optional<String> rule = first("ip", family, "rule", "show", "priority", priority)
                    .filter(line -> !line.contains(options.mark()));
            if (rule.isPresent()) {
                return Optional.of("the routing rule priority " + priority + " is taken (" + rule.get()
                        + "); choose another with --rule-priority");
            }
            String table = String.valueOf(options.routingTable());
            Optional<String> route = first("ip", family, "route", "show", "table", table)
                    .filter(line -> !line.startsWith("local default dev lo"));
            if (route.isPresent()) {
                return Optional.of("the routing table " + table + " has somebody else's routes (" + route.get()
                        + "); choose another with --routing-table");
            }
        }
        return Optional.empty();
    }

    private static Optional<String> first(String... command) {
        try {
            return Tool.run("", command).lines().map(String::strip).findFirst();
        } catch (IOException e) {
            // A table that nobody uses does not exist.
            return Optional.empty();
        }
    }

    private static Optional<String> missing() {
        Optional<String> kernel = olderThan(System.getProperty("os.version", ""), 5, 14, 0)
                .map(version -> "node mode needs Linux 5.14 or newer, and this is " + version);
        if (kernel.isPresent()) {
            return kernel;
        }
        if (!hasNetAdmin()) {
            return Optional.of("node mode needs the capability NET_ADMIN: run as root, or give the container"
                    + " securityContext.capabilities.add: [NET_ADMIN]");
        }
        try {
            Tool.run("", "ip", "-V");
        } catch (IOException e) {
            return Optional.of("node mode needs the program 'ip': install iproute2 (" + e.getMessage() + ")");
        }
        try {
            return olderThan(Tool.run("", "nft", "--version"), 1, 0, 1)
                    .map(version -> "node mode needs nft 1.0.1 or newer, and this is " + version);
        } catch (IOException e) {
            return Optional.of("node mode needs the program 'nft': install nftables (" + e.getMessage() + ")");
        }
    }

    private static Optional<String> olderThan(String text, int... least) {
        Matcher matcher = VERSION.matcher(text);
        if (!matcher.find()) {
            return Optional.empty();
        }
        for (int i = 0; i < least.length; i++) {
            String part = matcher.group(i + 1);
            int have = part == null ? 0 : Integer.parseInt(part);
            if (have != least[i]) {
                return have < least[i] ? Optional.of(matcher.group()) : Optional.empty();
            }
        }
        return Optional.empty();
    }

    private static boolean hasNetAdmin() {
        try {
            for (String line : Files.readAllLines(Path.of("/proc/self/status"))) {
                if (line.startsWith("CapEff:")) {
                    long capabilities = Long.parseUnsignedLong(line.substring(7).strip(), 16);
                    return (capabilities >>> CAP_NET_ADMIN & 1) == 1;
                }
            }
            return true;
        } catch (IOException e) {
            // Where it cannot be told, nft will say.
            return true;
        }
    }
}
