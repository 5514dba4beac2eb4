package io.sluice.ops;

import io.sluice.document.Problem;
import io.sluice.document.Problem.Severity;
import io.sluice.model.Cidr;
import io.sluice.model.Frontend;
import io.sluice.model.FrontendAddress;
import io.sluice.model.Origin;
import io.sluice.model.Route;
import io.sluice.model.ServicePort;
import io.sluice.model.ServiceSnapshot;
import io.sluice.rules.PolicyValues;
import io.sluice.rules.Trace;
import io.sluice.socketlb.SocketPath;
import io.sluice.text.Table;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import java.util.TreeMap;
import java.util.function.BiFunction;
import java.util.stream.Collectors;

/**
 * The Services of a snapshot and the problems of its feed as text and JSON. The daemon serves the JSON, from which
 * {@code sluice check --live} creates the same text as {@code sluice check} does from a feed.
 *
 * @param nodePortAddresses addresses on which NodePorts are served, each with the reason
 * @param paths path of connections from clients on this node; empty if socket-level load balancing is off
 */
public record CheckReport(
        ServiceSnapshot snapshot,
        List<Problem> problems,
        Map<String, String> nodePortAddresses,
        Map<FrontendAddress, SocketPath> paths) {

    /** Returns the paths of all frontends; empty if socket-level load balancing is off. */
    public static Map<FrontendAddress, SocketPath> paths(
            ServiceSnapshot snapshot, BiFunction<ServicePort, Frontend, SocketPath> pathOf) {
        Map<FrontendAddress, SocketPath> paths = new HashMap<>();
        snapshot.forEach(port -> port.frontends().forEach(frontend -> {
            SocketPath path = pathOf.apply(port, frontend);
            if (!path.equals(SocketPath.OFF)) {
                paths.put(frontend.address(), path);
            }
        }));
        return paths;
    }

    /** Number of problems of a severity. */
    public long count(Severity severity) {
        return problems.stream()
                .filter(problem -> problem.severity() == severity)
                .count();
    }

    /** Returns the report as lines of text. */
    public List<String> lines() {
        List<String> lines = new ArrayList<>();
        if (snapshot.size() > 0) {
            lines.addAll(ServiceTable.lines(snapshot));
            lines.add("");
            if (hasNodePorts()) {
                lines.add("NodePorts are served on:");
                nodePortAddresses.forEach((address, source) -> lines.add("  " + address + ", " + source));
                lines.add("");
            }
            addPolicies(lines);
            addPaths(lines);
        }
        for (Severity severity : Severity.values()) {
            problems.stream()
                    .filter(problem -> problem.severity() == severity)
                    .forEach(problem -> lines.add(String.format(Locale.ROOT, "%-8s %s", name(severity), problem)));
        }
        if (!problems.isEmpty()) {
            lines.add("");
        }
        lines.add(summary());
        return lines;
    }

    private void addPolicies(List<String> lines) {
        Map<String, String> policies = new LinkedHashMap<>();
        for (ServicePort port : snapshot.sorted()) {
            String text = PolicyValues.summary(port.policy());
            if (!text.isEmpty()) {
                policies.put(port.name() + "/" + port.name().protocol().text(), text);
            }
        }
        if (!policies.isEmpty()) {
            lines.add("Traffic policies other than the default:");
            policies.forEach((port, text) -> lines.add("  " + port + "  " + text));
            lines.add("");
        }
    }

    private void addPaths(List<String> lines) {
        if (paths.isEmpty()) {
            return;
        }
        Map<String, Long> others = paths.values().stream()
                .filter(path -> !path.socket())
                .collect(Collectors.groupingBy(SocketPath::reason, TreeMap::new, Collectors.counting()));
        long atTheSocket = paths.values().stream().filter(SocketPath::socket).count();
        lines.add("Socket-level load balancing: " + atTheSocket + " of " + Table.count(paths.size(), "address")
                + (others.isEmpty() ? "" : "; not: ")
                + others.entrySet().stream()
                        .map(each -> each.getValue() + " " + each.getKey())
                        .collect(Collectors.joining(", ")));
        lines.add("");
    }

    private boolean hasNodePorts() {
        return snapshot.sorted().stream()
                .flatMap(port -> port.frontends().stream())
                .anyMatch(frontend -> frontend.kind() == Frontend.Kind.NODE_PORT);
    }

    private String summary() {
        long services = snapshot.sorted().stream()
                .map(port -> port.name().serviceName())
                .distinct()
                .count();
        long addresses = snapshot.sorted().stream()
                .mapToLong(port -> port.frontends().size())
                .sum();
        return Table.count(services, "service") + ", " + Table.count(addresses, "address") + "; "
                + Table.count(count(Severity.ERROR), "error") + ", "
                + Table.count(count(Severity.WARNING), "warning") + ", "
                + Table.count(count(Severity.NOTE), "note");
    }

    private static String name(Severity severity) {
        return severity.name().toLowerCase(Locale.ROOT);
    }

    /** Returns the report as a JSON object. {@link CheckReportParser} reads it. */
    public Map<String, Object> json() {
        List<Map<String, Object>> services = new ArrayList<>();
        for (ServicePort port : snapshot.sorted()) {
            Map<String, Object> one = new LinkedHashMap<>();
            one.put("namespace", port.name().namespace());
            one.put("service", port.name().service());
            one.put("port", port.name().port());
            one.put("protocol", port.name().protocol().text());
            one.put("addresses", port.frontends().stream().map(this::json).toList());
            one.put("affinityTimeoutSeconds", port.affinity().timeoutSeconds());
            one.put("policy", PolicyValues.texts(port.policy()));
            services.add(one);
        }
        Map<String, Object> all = new LinkedHashMap<>();
        all.put("services", services);
        all.put("nodePortAddresses", nodePortAddresses);
        all.put("problems", problems.stream().map(CheckReport::json).toList());
        return all;
    }

    private static Map<String, Object> json(Problem problem) {
        Map<String, Object> one = new LinkedHashMap<>();
        one.put("severity", name(problem.severity()));
        one.put("source", problem.source());
        one.put("object", problem.object());
        one.put("field", problem.field());
        one.put("message", problem.message());
        return one;
    }

    private Map<String, Object> json(Frontend frontend) {
        Map<String, Object> one = new LinkedHashMap<>();
        one.put("address", frontend.address().toString());
        one.put("kind", frontend.kind());
        one.put(
                "allowedSources",
                frontend.allowedSources().stream().map(Cidr::toString).toList());
        one.put("endpoints", strings(frontend.external()));
        Map<String, Object> routes = new LinkedHashMap<>();
        for (Origin origin : Origin.values()) {
            routes.put(origin.name().toLowerCase(Locale.ROOT), json(frontend.route(origin)));
        }
        // The name of this key in version 0.1.0.
        routes.put("outside", Objects.requireNonNull(routes.get("external")));
        one.put("routes", routes);
        SocketPath path = paths.get(frontend.address());
        if (path != null) {
            one.put("path", path.name());
            one.put("pathReason", path.reason());
        }
        return one;
    }

    private static Map<String, Object> json(Route route) {
        Map<String, Object> one = new LinkedHashMap<>();
        one.put("verdict", Trace.Verdict.of(route));
        one.put("endpoints", strings(route));
        if (route.verdict() == Route.Verdict.FORWARD) {
            one.put("sourceAddress", route.source());
        }
        return one;
    }

    private static List<String> strings(Route route) {
        return route.endpoints().stream().map(Object::toString).toList();
    }
}
