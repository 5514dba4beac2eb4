package io.sluice.rules;

import io.sluice.model.Frontend;
import io.sluice.model.HealthCheck;
import io.sluice.model.Protocol;
import io.sluice.model.Route;
import io.sluice.model.ServicePort;
import io.sluice.model.ServiceSnapshot;
import java.util.ArrayList;
import java.util.List;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.stream.Collectors;

/**
 * Formats a snapshot: for each service port its frontends, then its traffic policy if it is not the default; then one line
 * per health check.
 */
public final class Dump {
    private Dump() {}

    /** The lines of a snapshot, separated by newlines. */
    public static String of(ServiceSnapshot snapshot) {
        return String.join("\n", lines(snapshot));
    }

    static List<String> lines(ServiceSnapshot snapshot) {
        List<String> lines = new ArrayList<>();
        for (ServicePort port : snapshot.sorted()) {
            for (Frontend frontend : port.frontends()) {
                lines.add(port.name() + " " + frontend.address() + kind(frontend) + affinity(port) + " -> "
                        + routes(frontend));
            }
            List<String> flows = new TreeSet<>(port.servingEndpoints().stream()
                            .map(String::valueOf)
                            .toList())
                    .stream().toList();
            List<String> served = port.frontends().stream()
                    .flatMap(frontend -> frontend.external().endpoints().stream())
                    .map(String::valueOf)
                    .distinct()
                    .sorted()
                    .toList();
            if (!flows.isEmpty() && !flows.equals(served)) {
                lines.add(port.name() + (port.name().protocol() == Protocol.UDP ? " flows" : " connections")
                        + " stay on " + String.join(" ", flows));
            }
            if (!port.preferredEndpoints().isEmpty()) {
                lines.add(port.name() + " prefers "
                        + port.preferredEndpoints().stream()
                                .map(String::valueOf)
                                .sorted()
                                .collect(Collectors.joining(" ")));
            }
            PolicyValues.texts(port.policy())
                    .forEach((key, value) -> lines.add(port.name() + " policy " + key + ": " + value));
        }
        new TreeMap<>(snapshot.context().healthChecks())
                .forEach((service, check) -> lines.add("health check " + service + " port " + check.port() + ": "
                        + check.localEndpoints() + " local" + where(check)));
        return lines;
    }

    private static String where(HealthCheck check) {
        return check.addresses().isEmpty()
                ? ""
                : check.addresses().stream().map(String::valueOf).collect(Collectors.joining(" ", ", on ", ""));
    }

    private static String affinity(ServicePort port) {
        return port.affinity().byClientAddress()
                ? " ClientIP/" + port.affinity().timeoutSeconds()
                : "";
    }

    private static String kind(Frontend frontend) {
        String kind = frontend.kind() == Frontend.Kind.CLUSTER_IP
                ? ""
                : " " + frontend.kind().text();
        return frontend.allowedSources().isEmpty() ? kind : kind + " for " + frontend.allowedSources();
    }

    /** One route if it is the same for all origins; otherwise the routes for pods, this node and external clients. */
    private static String routes(Frontend frontend) {
        boolean same = frontend.pod().equals(frontend.node()) && frontend.node().equals(frontend.external());
        return same
                ? route(frontend.external())
                : "pod: " + route(frontend.pod()) + ", node: " + route(frontend.node()) + ", external: "
                        + route(frontend.external());
    }

    private static String route(Route route) {
        return route.verdict() == Route.Verdict.FORWARD
                ? route.endpoints().stream().map(String::valueOf).collect(Collectors.joining(" "))
                        + (route.source() == Route.Source.NODE ? " as node" : "")
                : route.verdict().toString();
    }
}
