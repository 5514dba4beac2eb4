package io.sluice.daemon;

import io.sluice.model.Endpoint;
import io.sluice.model.Frontend;
import io.sluice.model.ServicePort;
import io.sluice.model.ServiceSnapshot;
import io.sluice.model.SessionAffinity;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Collectors;

/** A snapshot as people read it: one service port a row. Used by {@code check} and {@code demo}. */
final class ServiceTable {
    private static final int ENDPOINTS_IN_A_LINE = 2;
    private static final int ENDPOINT_LINES = 3;

    private ServiceTable() {}

    static List<String> lines(ServiceSnapshot snapshot) {
        Table table = new Table("SERVICE", "ADDRESS", "AFFINITY", "ENDPOINTS");
        for (ServicePort port : snapshot.sorted()) {
            table.row(
                    port.name().toString(),
                    port.frontends().stream()
                            .map(frontend -> frontend.address().toString())
                            .collect(Collectors.joining("\n")),
                    affinity(port.affinity()),
                    endpoints(endpoints(port)));
        }
        return table.lines();
    }

    /** All endpoints of a port, whichever address or origin uses them, in the order they take turns. */
    static List<Endpoint> endpoints(ServicePort port) {
        return port.frontends().stream()
                .map(Frontend::outside)
                .flatMap(route -> route.endpoints().stream())
                .distinct()
                .toList();
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

    private static String endpoints(List<Endpoint> endpoints) {
        if (endpoints.isEmpty()) {
            return "none: refused";
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
}
