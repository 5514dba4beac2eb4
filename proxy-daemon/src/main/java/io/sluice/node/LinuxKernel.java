package io.sluice.node;

import io.sluice.model.Family;
import io.sluice.node.SetElements.Element;
import io.sluice.socket.Sysctl;
import java.io.IOException;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import tools.jackson.databind.JsonNode;

/** Accesses the kernel of this machine through the programs {@code nft}, {@code ip} and {@code ss}. */
final class LinuxKernel implements NodeKernel {
    private final Shell shell = new Shell();

    /** Returns a one-line message about the first program that is missing or too old; empty if none is. */
    Optional<String> missingProgram() {
        for (String program : List.of("ip", "ss")) {
            try {
                shell.run("", program, "-V");
            } catch (IOException e) {
                return Optional.of(
                        "node mode needs the program '" + program + "': install iproute2 (" + e.getMessage() + ")");
            }
        }
        try {
            Optional<String> nft = NodeRequirements.olderThan(shell.run("", "nft", "--version"), 1, 0, 1)
                    .map(version -> "node mode needs nft 1.0.1 or newer; found " + version);
            if (nft.isPresent()) {
                return nft;
            }
        } catch (IOException e) {
            return Optional.of("node mode needs the program 'nft': install nftables (" + e.getMessage() + ")");
        }
        try {
            list("tables");
            return Optional.empty();
        } catch (IOException e) {
            return Optional.of("node mode needs nft with JSON support (" + e.getMessage() + ")");
        }
    }

    /** Returns the flag with which {@code ip} selects a family. */
    static String flag(Family family) {
        return family == Family.IPV6 ? "-6" : "-4";
    }

    @Override
    public void load(String script) throws IOException {
        shell.run(script, "nft", "-f", "-");
    }

    @Override
    public void check(String script) throws IOException {
        shell.run(script, "nft", "-c", "-f", "-");
    }

    @Override
    public JsonNode list(String... what) throws IOException {
        return shell.json(command(List.of("nft", "-j", "list"), what));
    }

    @Override
    public List<Element> elements(String kind, String name) throws IOException {
        return SetElements.parseElements(name, shell.run("", "nft", "-j", "list", kind, "inet", "sluice", name));
    }

    @Override
    public List<RoutingRule> rules(Family family) throws IOException {
        // Uses -N (numeric), because /etc/iproute2/rt_tables may define a name for the table.
        return RoutingRule.of(shell.json("ip", "-j", "-N", flag(family), "rule", "show"));
    }

    @Override
    public List<JsonNode> routes(Family family, String... which) throws IOException {
        // Omits -N, because ip would then print the type of a route as a number.
        return shell.json(command(List.of("ip", "-j", flag(family), "route", "show"), which))
                .valueStream()
                .toList();
    }

    @Override
    public String route(Family family, String address, String mark) throws IOException {
        return shell.run("", "ip", flag(family), "route", "get", address, "mark", mark)
                .lines()
                .findFirst()
                .orElse("no route")
                .strip();
    }

    @Override
    public void changeRouting(Family family, String... change) throws IOException {
        shell.run("", command(List.of("ip", flag(family)), change));
    }

    private static String[] command(List<String> first, String... rest) {
        List<String> command = new ArrayList<>(first);
        command.addAll(List.of(rest));
        return command.toArray(String[]::new);
    }

    /** Uses {@code ip}, because /sys always shows the network namespace in which it was mounted. */
    @Override
    public Set<String> bridges() throws IOException {
        Set<String> names = new HashSet<>();
        // ip prints an empty object for each link of another type.
        for (JsonNode link : shell.json("ip", "-j", "-d", "link", "show", "type", "bridge")) {
            if (link.path("linkinfo").path("info_kind").asString("").equals("bridge")) {
                names.add(link.path("ifname").asString(""));
            }
        }
        return names;
    }

    @Override
    public boolean tracksConnections() {
        try {
            return !Sysctl.read("net/netfilter/nf_conntrack_count").equals("0");
        } catch (IOException e) {
            // The kernel does not support connection tracking.
            return false;
        }
    }

    @Override
    public List<TcpConnection> connections() throws IOException {
        return TcpConnection.of(shell.run("", "ss", "-Htn"));
    }

    @Override
    public void close() throws IOException {
        shell.close();
    }
}
