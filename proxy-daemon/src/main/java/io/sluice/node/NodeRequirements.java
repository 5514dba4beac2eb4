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

/** Checks the requirements of node mode on this machine. */
final class NodeRequirements {
    private static final Pattern VERSION = Pattern.compile("(\\d+)\\.(\\d+)(?:\\.(\\d+))?");
    private static final int CAP_NET_ADMIN = 12;

    private static final Path CONF = Path.of("/proc/sys/net/ipv4/conf");

    private NodeRequirements() {}

    /** Returns a one-line message with the first unmet requirement and what to change; empty if all are met. */
    static Optional<String> findUnmet(RuleOptions options, LinuxKernel kernel) {
        return findUnsupported(kernel).or(() -> checkSrcValidMark("all")).or(() -> {
            try {
                return findConflict(options, kernel);
            } catch (IOException e) {
                return Optional.of("cannot list the routing rules: " + e.getMessage());
            }
        });
    }

    /**
     * After startup, returns a message about a setting that makes the kernel drop packets; empty if no setting does.
     */
    static Optional<String> findProblem() {
        String[] devices = CONF.toFile().list();
        return Stream.of(devices == null ? new String[0] : devices)
                // 'default' is only the initial value for new devices.
                .filter(device -> !device.equals("default"))
                .sorted()
                .flatMap(device -> checkSrcValidMark(device).stream())
                .findFirst();
    }

    /**
     * Checks that src_valid_mark is off. If it is on, the kernel uses the packet's mark to look up the route to the
     * source address. The lookup then finds a local route, and the kernel drops the packet.
     */
    private static Optional<String> checkSrcValidMark(String device) {
        try {
            return Sysctl.read("net/ipv4/conf/" + device + "/src_valid_mark").equals("0")
                    ? Optional.empty()
                    : Optional.of(
                            "net.ipv4.conf." + device + ".src_valid_mark is on, so the kernel drops all redirected"
                                    + " packets" + (device.equals("all") ? "" : " from " + device) + "; set it to 0");
        } catch (IOException e) {
            // The device has been removed.
            return Optional.empty();
        }
    }

    private static Optional<String> findConflict(RuleOptions options, NodeKernel kernel) throws IOException {
        for (Family family : PolicyRouting.families()) {
            List<RoutingRule> rules = kernel.rules(family);
            Optional<RoutingRule> rule = rules.stream()
                    .filter(each -> each.priority() == options.rulePriority() && !PolicyRouting.isOwn(each, options))
                    .findFirst();
            if (rule.isPresent()) {
                return Optional.of("routing rule priority " + options.rulePriority() + " is used by another program ("
                        + rule.get().text() + "); choose a different --rule-priority");
            }
            Optional<JsonNode> route = PolicyRouting.routes(kernel, family, options).stream()
                    .filter(each -> !PolicyRouting.isOwn(each))
                    .findFirst();
            if (route.isPresent()) {
                return Optional.of("routing table " + options.routingTable() + " is used by another program ("
                        + route.get().path("dst").asString("") + " dev "
                        + route.get().path("dev").asString("none")
                        + "); choose a different --routing-table");
            }
            // A routing rule of another program that depends on the mark bit.
            Optional<RoutingRule> marked = rules.stream()
                    .filter(each ->
                            each.priority() != options.rulePriority() && each.dependsOn(1L << options.markBit()))
                    .findFirst();
            if (marked.isPresent()) {
                return Optional.of("bit " + options.markBit() + " of packet marks is used by another program ("
                        + marked.get().text() + "); choose a different --mark-bit");
            }
        }
        return Optional.empty();
    }

    private static Optional<String> findUnsupported(LinuxKernel kernel) {
        Optional<String> version = olderThan(System.getProperty("os.version", ""), 5, 14, 0)
                .map(older -> "node mode needs Linux 5.14 or newer; found " + older);
        if (version.isPresent()) {
            return version;
        }
        if (!hasNetAdmin()) {
            return Optional.of("node mode needs the capability NET_ADMIN: run as root, or set"
                    + " securityContext.capabilities.add: [NET_ADMIN] for the container");
        }
        return kernel.missingProgram();
    }

    /** Returns the version in a string if it is older than the given version; otherwise empty. */
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
            // If /proc is missing, the first nft command reports a missing capability.
            return true;
        }
    }
}
