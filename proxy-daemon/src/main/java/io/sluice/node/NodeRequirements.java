package io.sluice.node;

import io.sluice.model.Family;
import io.sluice.socket.Sysctl;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import tools.jackson.databind.JsonNode;

/** What node mode needs of the machine. */
final class NodeRequirements {
    private static final Pattern VERSION = Pattern.compile("(\\d+)\\.(\\d+)(?:\\.(\\d+))?");
    private static final int CAP_NET_ADMIN = 12;

    private static final Path CONF = Path.of("/proc/sys/net/ipv4/conf");

    private NodeRequirements() {}

    /** The first thing that stands in the way and what to do about it, on one line; empty if nothing does. */
    static Optional<String> unmet(RuleOptions options, LinuxKernel kernel) {
        return missing(kernel).or(() -> reversedByMark("all")).or(() -> {
            try {
                return taken(options, kernel);
            } catch (IOException e) {
                return Optional.of("the routing rules cannot be listed: " + e.getMessage());
            }
        });
    }

    /** What has appeared since that stands in the way. */
    static Optional<String> appeared() {
        String[] devices = CONF.toFile().list();
        return Stream.of(devices == null ? new String[0] : devices)
                // For devices to come.
                .filter(device -> !device.equals("default"))
                .sorted()
                .flatMap(device -> reversedByMark(device).stream())
                .findFirst();
    }

    /** The kernel then looks up the way back as if the mark were on it, finds that it leads here, and drops the packet. */
    private static Optional<String> reversedByMark(String device) {
        try {
            return Sysctl.read("net/ipv4/conf/" + device + "/src_valid_mark").equals("0")
                    ? Optional.empty()
                    : Optional.of("net.ipv4.conf." + device + ".src_valid_mark is on, with which the kernel drops every"
                            + " marked packet" + (device.equals("all") ? "" : " from " + device) + ": set it to 0");
        } catch (IOException e) {
            // The device has gone.
            return Optional.empty();
        }
    }

    private static Optional<String> taken(RuleOptions options, NodeKernel kernel) throws IOException {
        for (Family family : PolicyRouting.families()) {
            List<RoutingRule> rules = kernel.rules(family);
            Optional<RoutingRule> rule = rules.stream()
                    .filter(each -> each.priority() == options.rulePriority() && !PolicyRouting.isOurs(each, options))
                    .findFirst();
            if (rule.isPresent()) {
                return Optional.of("the routing rule priority " + options.rulePriority() + " is taken ("
                        + rule.get().text() + "); choose another with --rule-priority");
            }
            Optional<JsonNode> route = PolicyRouting.routes(kernel, family, options).stream()
                    .filter(each -> !PolicyRouting.isOurs(each))
                    .findFirst();
            if (route.isPresent()) {
                return Optional.of("the routing table " + options.routingTable() + " has somebody else's routes ("
                        + route.get().path("dst").asString("") + " dev "
                        + route.get().path("dev").asString("none")
                        + "); choose another with --routing-table");
            }
            // Another program's rule that matches our mark bit.
            Optional<RoutingRule> marked = rules.stream()
                    .filter(each -> each.priority() != options.rulePriority() && each.looksAt(1L << options.markBit()))
                    .findFirst();
            if (marked.isPresent()) {
                return Optional.of("bit " + options.markBit() + " of packet marks is somebody else's ("
                        + marked.get().text() + "); choose another with --mark-bit");
            }
        }
        return Optional.empty();
    }

    private static Optional<String> missing(LinuxKernel kernel) {
        Optional<String> version = olderThan(System.getProperty("os.version", ""), 5, 14, 0)
                .map(older -> "node mode needs Linux 5.14 or newer, and this is " + older);
        if (version.isPresent()) {
            return version;
        }
        if (!hasNetAdmin()) {
            return Optional.of("node mode needs the capability NET_ADMIN: run as root, or give the container"
                    + " securityContext.capabilities.add: [NET_ADMIN]");
        }
        return kernel.missingProgram();
    }

    static Optional<String> olderThan(String text, int... least) {
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
