package io.sluice.node;

import io.sluice.model.Family;
import io.sluice.node.SetElements.Element;
import java.io.IOException;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import tools.jackson.databind.JsonNode;

/** The kernel of this machine, through the programs {@code nft}, {@code ip} and {@code ss}. */
final class LinuxKernel implements NodeKernel {
    private final Shell shell = new Shell();

    /** The first program that is missing or too old and what to do about it, on one line; empty if none is. */
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
                    .map(version -> "node mode needs nft 1.0.1 or newer, and this is " + version);
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
            return Optional.of("node mode needs nft with JSON output (" + e.getMessage() + ")");
        }
    }

    /** The flag of {@code ip} for a family. */
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
        return shell.json(words(List.of("nft", "-j", "list"), what));
    }

    @Override
    public List<Element> elements(String kind, String name) throws IOException {
        return SetElements.concatenations(name, shell.run("", "nft", "-j", "list", kind, "inet", "sluice", name));
    }

    @Override
    public List<RoutingRule> rules(Family family) throws IOException {
        // Numeric: /etc/iproute2/rt_tables may name any table, ours too.
        return RoutingRule.of(shell.json("ip", "-j", "-N", flag(family), "rule", "show"));
    }

    @Override
    public List<JsonNode> routes(Family family, String... which) throws IOException {
        // Not numeric: the type of a route would be a number, too.
        return shell.json(words(List.of("ip", "-j", flag(family), "route", "show"), which))
                .valueStream()
                .toList();
    }

    @Override
    public String route(Family family, String address, String mark) throws IOException {
        return shell.run("", "ip", flag(family), "route", "get", address, "mark", mark)
                .lines()
                .findFirst()
                .orElse("nowhere")
                .strip();
    }

    @Override
    public void changeRouting(Family family, String... change) throws IOException {
        shell.run("", words(List.of("ip", flag(family)), change));
    }

    private static String[] words(List<String> first, String... rest) {
        List<String> words = new ArrayList<>(first);
        words.addAll(List.of(rest));
        return words.toArray(String[]::new);
    }

    /** Over netlink: /sys shows the network namespace in which it was mounted. */
    @Override
    public Set<String> bridges() throws IOException {
        Set<String> names = new HashSet<>();
        // Links of other types are listed as empty objects.
        for (JsonNode link : shell.json("ip", "-j", "-d", "link", "show", "type", "bridge")) {
            if (link.path("linkinfo").path("info_kind").asString("").equals("bridge")) {
                names.add(link.path("ifname").asString(""));
            }
        }
        return names;
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
