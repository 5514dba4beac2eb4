package io.sluice.ops;

import io.sluice.model.Endpoint;
import io.sluice.model.Frontend;
import io.sluice.model.Route;
import io.sluice.model.ServicePort;
import io.sluice.model.ServiceSnapshot;
import io.sluice.model.SessionAffinity;
import io.sluice.rules.SourceRanges;
import io.sluice.text.Table;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;

/** Formats a snapshot as a table. A service port whose addresses have different endpoints has several rows. */
public final class ServiceTable {
    private static final int ENDPOINTS_IN_A_LINE = 2;
    private static final int ENDPOINT_LINES = 3;

    private ServiceTable() {}

    /** Returns the lines of the table, starting with the header. */
    public static List<String> lines(ServiceSnapshot snapshot) {
        Table table = new Table("SERVICE", "ADDRESS", "AFFINITY", "ENDPOINTS");
        snapshot.sorted().forEach(port -> rows(port, table));
        return table.lines();
    }

    /** Adds the rows of a service port. Addresses that are routed identically for every origin share a row. */
    private static void rows(ServicePort port, Table table) {
        Map<String, List<String>> addresses = new LinkedHashMap<>();
        for (Frontend frontend : port.frontends()) {
            String kind = frontend.kind() == Frontend.Kind.CLUSTER_IP
                    ? ""
                    : " " + frontend.kind().text();
            addresses.computeIfAbsent(text(frontend), text -> new ArrayList<>()).add(frontend.address() + kind);
        }
        String name = port.name().toString();
        String affinity = affinity(port.affinity());
        for (Map.Entry<String, List<String>> entry : addresses.entrySet()) {
            table.row(name, String.join("\n", entry.getValue()), affinity, entry.getKey());
            name = "";
            affinity = "";
        }
    }

    private static String text(Frontend frontend) {
        List<String> lines = new ArrayList<>();
        if (!frontend.allowedSources().isEmpty()) {
            String sources = SourceRanges.text(frontend.allowedSources());
            lines.add(sources.equals(SourceRanges.NO_CLIENT) ? "no client is allowed" : "only from " + sources);
        }
        Map<String, List<String>> clients = new LinkedHashMap<>();
        clients.computeIfAbsent(text(frontend.pod()), text -> new ArrayList<>()).add("pods");
        clients.computeIfAbsent(text(frontend.node()), text -> new ArrayList<>())
                .add("this node");
        clients.computeIfAbsent(text(frontend.external()), text -> new ArrayList<>())
                .add("external clients");
        if (clients.size() == 1) {
            lines.addAll(clients.keySet());
        } else {
            clients.forEach((text, origins) -> {
                lines.add(String.join(" and ", origins) + ":");
                lines.add("  " + text.replace("\n", "\n  "));
            });
        }
        return String.join("\n", lines);
    }

    static String affinity(SessionAffinity affinity) {
        return affinity.byClientAddress() ? "ClientIP " + time(affinity.timeoutSeconds()) : "-";
    }

    private static String time(int seconds) {
        if (seconds % 3600 == 0) {
            return seconds / 3600 + "h";
        }
        return seconds % 60 == 0 ? seconds / 60 + "m" : seconds + "s";
    }

    private static String text(Route route) {
        List<Endpoint> endpoints = route.endpoints();
        switch (route.verdict()) {
            case DROP -> {
                return "no local endpoint: dropped";
            }
            case HOLD -> {
                return "none: connections wait for one";
            }
            case REJECT -> {
                return "none: rejected";
            }
            case PASS -> {
                return "not proxied: left to a process on this node";
            }
            case FORWARD -> {}
        }
        List<String> lines = new ArrayList<>();
        for (int from = 0; from < endpoints.size(); from += ENDPOINTS_IN_A_LINE) {
            if (lines.size() == ENDPOINT_LINES) {
                lines.add("and " + (endpoints.size() - from) + " more");
                break;
            }
            lines.add(endpoints.subList(from, Math.min(from + ENDPOINTS_IN_A_LINE, endpoints.size())).stream()
                    .map(Endpoint::toString)
                    .collect(Collectors.joining(", ")));
        }
        String count = endpoints.size() + ": ";
        return count + String.join("\n" + " ".repeat(count.length()), lines);
    }

    /** Returns the size of a snapshot, such as {@code 2 services with 3 ports, 4 addresses, 5 endpoints}. */
    public static String counts(ServiceSnapshot snapshot) {
        Set<String> services = new HashSet<>();
        Set<Endpoint> endpoints = new HashSet<>();
        int[] addresses = new int[1];
        snapshot.forEach(servicePort -> {
            services.add(servicePort.name().serviceName());
            for (Frontend frontend : servicePort.frontends()) {
                addresses[0]++;
                endpoints.addAll(frontend.external().endpoints());
            }
        });
        return Table.count(services.size(), "service") + " with " + Table.count(snapshot.size(), "port") + ", "
                + Table.count(addresses[0], "address") + ", " + Table.count(endpoints.size(), "endpoint");
    }
}
