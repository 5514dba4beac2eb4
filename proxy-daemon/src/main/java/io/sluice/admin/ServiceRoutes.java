package io.sluice.admin;

import io.sluice.forward.Forwarder;
import io.sluice.forward.FrontendStatus;
import io.sluice.http.Response;
import io.sluice.model.Cidr;
import io.sluice.model.Frontend;
import io.sluice.model.FrontendAddress;
import io.sluice.model.Origin;
import io.sluice.model.ServicePort;
import io.sluice.model.ServicePortName;
import io.sluice.model.ServiceSnapshot;
import io.sluice.ops.StateChangeLog;
import io.sluice.stats.Counter;
import io.sluice.stats.ServiceStats;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.function.Predicate;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/** The list of Services, and the details of one. */
final class ServiceRoutes {
    private static final String NAMESPACE = "namespace";

    private final Forwarder forwarder;
    private final Supplier<ServiceSnapshot> snapshot;

    ServiceRoutes(Forwarder forwarder, Supplier<ServiceSnapshot> snapshot) {
        this.forwarder = forwarder;
        this.snapshot = snapshot;
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
        List<ServiceSummary> matching = new ArrayList<>();
        for (ServiceSummary each :
                summaries(port -> namespace == null || port.name().namespace().equals(namespace))) {
            if ((part == null || each.contains(part)) && (state == null || state.equals(each.state()))) {
                matching.add(each);
            }
        }
        return Items.page(request, matching, each -> each.service, ServiceSummary::json);
    }

    /** Summaries of the Services with a port that matches, sorted by name. */
    private Collection<ServiceSummary> summaries(Predicate<ServicePort> matches) {
        Map<ServicePortName, List<FrontendStatus>> frontends = new HashMap<>();
        for (FrontendStatus status : forwarder.frontends()) {
            frontends
                    .computeIfAbsent(status.service(), name -> new ArrayList<>())
                    .add(status);
        }
        Map<ServicePortName, ServiceStats> stats = statsByName();
        Map<String, ServiceSummary> byService = new TreeMap<>();
        snapshot.get().forEach(port -> {
            if (matches.test(port)) {
                byService
                        .computeIfAbsent(port.name().serviceName(), name -> new ServiceSummary(port))
                        .add(
                                port,
                                forwarder.endpoints(port.name()),
                                frontends.getOrDefault(port.name(), List.of()),
                                stats.get(port.name()));
            }
        });
        return byService.values();
    }

    private Map<ServicePortName, ServiceStats> statsByName() {
        Map<ServicePortName, ServiceStats> stats = new HashMap<>();
        forwarder.stats().services().forEach(each -> stats.put(each.name(), each));
        return stats;
    }

    private Response one(ApiRequest request) {
        String service = request.path(NAMESPACE) + "/" + request.path("name");
        List<ServicePort> ports = snapshot.get().ofService(service);
        if (ports.isEmpty()) {
            throw new ApiException(404, "no Service " + service + " is served");
        }
        Map<FrontendAddress, FrontendStatus> statuses = new HashMap<>();
        for (FrontendStatus status : forwarder.frontends()) {
            // Another service port may have lost a conflict about the same address.
            if (status.service().serviceName().equals(service)) {
                statuses.put(status.address(), status);
            }
        }
        Map<ServicePortName, ServiceStats> stats = statsByName();
        Map<String, Object> json = new LinkedHashMap<>();
        summaries(port -> port.name().serviceName().equals(service)).forEach(summary -> json.putAll(summary.json()));
        json.put(
                "ports",
                ports.stream()
                        .map(port -> json(port, statuses, stats.get(port.name())))
                        .toList());
        return AdminRoutes.json(200, json);
    }

    private Map<String, Object> json(
            ServicePort port, Map<FrontendAddress, FrontendStatus> statuses, @Nullable ServiceStats stats) {
        Map<String, Object> policy = new LinkedHashMap<>();
        policy.put("balance", "round-robin");
        policy.put("affinityTimeoutSeconds", port.affinity().timeoutSeconds());
        Map<String, Object> json = new LinkedHashMap<>();
        json.put("name", port.name().port());
        json.put("protocol", port.name().protocol().text());
        json.put("policy", policy);
        json.put(
                "frontends",
                port.frontends().stream()
                        .map(frontend -> json(frontend, statuses.get(frontend.address())))
                        .toList());
        json.put(
                "endpoints",
                forwarder.endpoints(port.name()).stream()
                        .map(EndpointRoutes::json)
                        .toList());
        json.put("counters", stats == null ? Map.of() : counters(stats));
        return json;
    }

    private static Map<String, Object> json(Frontend frontend, @Nullable FrontendStatus status) {
        Map<String, @Nullable Object> json = new LinkedHashMap<>();
        json.put("address", frontend.address().toString());
        json.put("kind", frontend.kind().name());
        json.put("state", status == null ? "PENDING" : status.state().name());
        json.put("reason", status == null ? "" : StateChangeLog.reason(status));
        json.put("since", status == null ? null : Items.time(status.since()));
        json.put("path", "proxy");
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
