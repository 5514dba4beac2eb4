package io.sluice.cli;

import io.sluice.cli.ListCommand.Column;
import io.sluice.socketlb.SocketPath;
import io.sluice.text.HumanUnits;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.function.BiFunction;
import java.util.stream.Collectors;

/**
 * The details of a Service as text: frontends, endpoints, policy and counters of each port, and the recent failures.
 *
 * @param service response of the admin API
 * @param failures recent events of kind failure, oldest first
 * @param table formats items as the lines of a table
 */
record ServiceReport(Item service, List<Item> failures, BiFunction<List<Column>, List<Item>, List<String>> table) {
    /** Number of recent failures that are shown. */
    static final int MAX_FAILURES = 5;

    private static final int COUNTERS_IN_A_LINE = 3;

    List<String> lines() {
        List<String> lines = new ArrayList<>();
        lines.add(service.text("service") + ": " + service.text("state"));
        for (Item port : service.list("ports")) {
            lines.add("");
            addPort(port, lines);
        }
        lines.add("");
        if (failures.isEmpty()) {
            lines.add("no recent failures");
        } else {
            lines.add("Recent failures:");
            lines.addAll(table.apply(
                    List.of(
                            Column.text("TIME (UTC)", item -> item.shortTime("time")),
                            Column.address("ENDPOINT", item -> item.orDash("endpoint")),
                            Column.text("REASON", item -> item.text("reason"))),
                    failures));
        }
        return lines;
    }

    private void addPort(Item port, List<String> lines) {
        String name = port.text("name");
        Item policy = port.object("policy");
        double affinitySeconds = policy.decimal("affinityTimeoutSeconds");
        lines.add("Port " + (name.isEmpty() ? "" : name + ", ") + port.text("protocol") + ": " + policy.text("balance")
                + (affinitySeconds > 0
                        ? ", session affinity ClientIP for " + HumanUnits.duration(affinitySeconds)
                        : ", no session affinity"));
        policy.texts().forEach((key, value) -> {
            if (!key.equals("balance")) {
                lines.add("  " + key + ": " + value);
            }
        });
        List<Item> frontends = port.list("frontends");
        add(lines, "frontends", frontendColumns(frontends), frontends);
        add(lines, "endpoints", EndpointsCommand.columns(Instant.now(), false), port.list("endpoints"));
        List<String> counters = port.object("counters").numbers().entrySet().stream()
                .map(entry -> entry.getKey() + " " + entry.getValue())
                .toList();
        for (int from = 0; from < counters.size(); from += COUNTERS_IN_A_LINE) {
            lines.add((from == 0 ? "counters: " : "          ")
                    + counters.subList(from, Math.min(from + COUNTERS_IN_A_LINE, counters.size())).stream()
                            .collect(Collectors.joining(", ")));
        }
    }

    private void add(List<String> lines, String noun, List<Column> columns, List<Item> items) {
        if (items.isEmpty()) {
            lines.add("no " + noun);
        } else {
            lines.addAll(table.apply(columns, items));
        }
    }

    private static List<Column> frontendColumns(List<Item> frontends) {
        Column path = Column.text("PATH", ServiceReport::path);
        boolean hasTwoPaths = frontends.stream().anyMatch(each -> !path(each).equals("proxy"));
        return List.of(
                Column.address("FRONTEND", item -> item.text("address")),
                Column.text("KIND", item -> item.text("kind")),
                Column.text("STATE", item -> item.text("state")),
                Column.text("POD", item -> item.object("routes").orDash("pod")),
                Column.text("NODE", item -> item.object("routes").orDash("node")),
                Column.text("EXTERNAL", item -> item.object("routes").orDash("external")),
                hasTwoPaths ? path : path.onlyWide(),
                Column.text("SOURCE RANGES", ServiceReport::sourceRanges).onlyWide(),
                Column.text("REASON", item -> item.orDash("reason")));
    }

    private static String path(Item frontend) {
        return new SocketPath(frontend.text("path").equals("socket"), frontend.text("pathReason")).text();
    }

    private static String sourceRanges(Item frontend) {
        List<String> ranges = frontend.strings("sourceRanges");
        return ranges.isEmpty() ? "all" : String.join(", ", ranges);
    }
}
