package io.sluice.admin;

import io.sluice.forward.Forwarder;
import io.sluice.forward.FrontendStatus;
import io.sluice.http.Response;
import io.sluice.model.Cidr;
import io.sluice.model.Frontend;
import io.sluice.model.FrontendAddress;
import io.sluice.model.Origin;
import io.sluice.model.ServicePort;
import io.sluice.model.ServiceSnapshot;
import io.sluice.ops.StateChangeLog;
import io.sluice.rules.PolicyKey;
import io.sluice.rules.PolicyValues;
import io.sluice.socketlb.SocketPath;
import io.sluice.stats.Counter;
import io.sluice.stats.ServiceStats;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.function.BiFunction;
import java.util.function.Supplier;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/** The list of Services, and the details of one. */
final class ServiceRoutes {
    private static final String NAMESPACE = "namespace";

    private final Forwarder forwarder;
    private final Supplier<ServiceSnapshot> snapshot;
    private final BiFunction<ServicePort, Frontend, SocketPath> paths;

    ServiceRoutes(
            Forwarder forwarder,
            Supplier<ServiceSnapshot> snapshot,
            BiFunction<ServicePort, Frontend, SocketPath> paths) {
        this.forwarder = forwarder;
        this.snapshot = snapshot;
        this.paths = paths;
    }

    List<AdminRoute> routes() {
        return List.of(
                AdminRoute.get(
                        "/api/v1/services", Set.of(NAMESPACE, "q", "state", Items.LIMIT, Items.AFTER), this::list),
                AdminRoute.get("/api/v1/services/{namespace}/{name}", Set.of(), this::one));
    }

    private Response list(ApiRequest request) {
        String namespace = request.text(NAMESPACE);
        String part = request.text("q");
        String state = request.choice("state", ServiceSummary.STATES);
        String after = request.text(Items.AFTER);
        // In the order of names, because the service ports are.
        Map<String, List<ServicePort>> services = new LinkedHashMap<>();
        for (ServicePort port : snapshot.get().sorted()) {
            if (namespace == null || port.name().namespace().equals(namespace)) {
                String service = port.name().serviceName();
                if (after == null || service.compareTo(after) > 0) {
                    services.computeIfAbsent(service, key -> new ArrayList<>()).add(port);
                }
            }
        }
        Stream<ServiceSummary> matching = services.values().stream()
                .map(this::summary)
                .filter(each -> part == null || each.contains(part))
                .filter(each -> state == null || state.equals(each.state()));
        return Items.page(request, matching, each -> each.service, ServiceSummary::json);
    }

    private ServiceSummary summary(List<ServicePort> ports) {
        ServiceSummary summary = new ServiceSummary(ports.get(0), paths);
        for (ServicePort port : ports) {
            summary.add(
                    port,
                    forwarder.endpoints(port.name()),
                    forwarder.frontends(port),
                    forwarder.stats().find(port.name()));
        }
        return summary;
    }

    private Response one(ApiRequest request) {
        String service = request.path(NAMESPACE) + "/" + request.path("name");
        List<ServicePort> ports = snapshot.get().ofService(service);
        if (ports.isEmpty()) {
            throw new ApiException(404, "no Service " + service + " is served");
        }
        Map<String, Object> json = new LinkedHashMap<>(summary(ports).json());
        json.put("ports", ports.stream().map(this::json).toList());
        return AdminRoutes.json(200, json);
    }

    private Map<String, Object> json(ServicePort port) {
        Map<FrontendAddress, FrontendStatus> statuses = new HashMap<>();
        forwarder.frontends(port).forEach(status -> statuses.put(status.address(), status));
        ServiceStats stats = forwarder.stats().find(port.name());
        Map<String, Object> policy = new LinkedHashMap<>();
        policy.put(PolicyKey.BALANCE.name(), PolicyKey.BALANCE.textIn(port.policy()));
        policy.put("affinityTimeoutSeconds", port.affinity().timeoutSeconds());
        policy.putAll(PolicyValues.texts(port.policy()));
        Map<String, Object> json = new LinkedHashMap<>();
        json.put("name", port.name().port());
        json.put("protocol", port.name().protocol().text());
        json.put("policy", policy);
        json.put(
                "frontends",
                port.frontends().stream()
                        .map(frontend -> json(frontend, statuses.get(frontend.address()), paths.apply(port, frontend)))
                        .toList());
        json.put(
                "endpoints",
                forwarder.endpoints(port.name()).stream()
                        .map(EndpointRoutes::json)
                        .toList());
        json.put("counters", stats == null ? Map.of() : counters(stats));
        return json;
    }

    private static Map<String, Object> json(Frontend frontend, @Nullable FrontendStatus status, SocketPath path) {
        Map<String, @Nullable Object> json = new LinkedHashMap<>();
        json.put("address", frontend.address().toString());
        json.put("kind", frontend.kind().name());
        json.put("state", status == null ? "PENDING" : status.state().name());
        json.put("reason", status == null ? "" : StateChangeLog.reason(status));
        json.put("since", status == null ? null : Items.time(status.since()));
        json.put("path", path.name());
        json.put("pathReason", path.reason());
        json.put(
                "sourceRanges",
                frontend.allowedSources().stream().map(Cidr::toString).toList());
        Map<String, Object> routes = new LinkedHashMap<>();
        for (Origin origin : Origin.values()) {
            routes.put(
                    origin.name().toLowerCase(Locale.ROOT),
                    frontend.route(origin).verdict().name());
        }
        json.put("routes", routes);
        return json;
    }

    private static Map<String, Object> counters(ServiceStats stats) {
        Map<String, Object> json = new LinkedHashMap<>();
        for (Counter counter : Counter.values()) {
            long value = stats.get(counter);
            if (value != 0) {
                json.put(counter.name().toLowerCase(Locale.ROOT), value);
            }
        }
        return json;
    }
}
