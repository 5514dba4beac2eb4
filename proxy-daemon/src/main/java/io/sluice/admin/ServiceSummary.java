package io.sluice.admin;

import io.sluice.balance.EndpointHealth.State;
import io.sluice.balance.EndpointStatus;
import io.sluice.forward.FrontendStatus;
import io.sluice.model.Frontend;
import io.sluice.model.ServicePort;
import io.sluice.socketlb.SocketPath;
import io.sluice.stats.Counter;
import io.sluice.stats.ServiceStats;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.function.BiFunction;
import org.jspecify.annotations.Nullable;

/** State and traffic of one Service, summed over its ports. Filled port by port, then read. */
final class ServiceSummary {
    private static final int MAX_FRONTENDS = 20;

    /** The values of {@code state}. */
    static final List<String> STATES = List.of("ok", "degraded", "failing", "no-endpoints", "unused");

    final String service;
    private final String namespace;
    private final String name;
    private final BiFunction<ServicePort, Frontend, SocketPath> pathOf;
    private final List<String> frontends = new ArrayList<>();
    private final Set<String> paths = new TreeSet<>();
    private final Map<State, Integer> endpoints = new EnumMap<>(State.class);
    private int endpointCount;
    private int failedFrontends;
    /** Whether a port has no endpoint that gets new connections, or none of them answers. */
    private boolean portWithoutEndpoints;

    private boolean portFailing;
    private long active;
    private long total;
    private long failed;
    private long bytesToEndpoint;
    private long bytesToClient;

    ServiceSummary(ServicePort first, BiFunction<ServicePort, Frontend, SocketPath> pathOf) {
        this.pathOf = pathOf;
        service = first.name().serviceName();
        namespace = first.name().namespace();
        name = first.name().service();
    }

    /** Adds a port of the Service. */
    void add(
            ServicePort port,
            List<EndpointStatus> statuses,
            List<FrontendStatus> frontendStatuses,
            @Nullable ServiceStats stats) {
        for (Frontend frontend : port.frontends()) {
            frontends.add(frontend.address().toString());
            paths.add(pathOf.apply(port, frontend).text());
        }
        for (FrontendStatus frontend : frontendStatuses) {
            failedFrontends += frontend.state() == FrontendStatus.State.FAILED ? 1 : 0;
        }
        int usable = 0;
        int failing = 0;
        for (EndpointStatus status : statuses) {
            State state = status.health().state();
            endpoints.merge(state, 1, Integer::sum);
            endpointCount++;
            usable += state == State.DRAINING || state == State.DISABLED ? 0 : 1;
            failing += state.isFailing() ? 1 : 0;
        }
        portWithoutEndpoints |= usable == 0;
        portFailing |= usable > 0 && failing == usable;
        if (stats != null) {
            active += stats.get(Counter.SESSIONS_ACTIVE) + stats.get(Counter.FLOWS_ACTIVE);
            total += stats.get(Counter.SESSIONS_OPENED) + stats.get(Counter.FLOWS_OPENED);
            failed += stats.rejectedSessions();
            bytesToEndpoint += stats.get(Counter.BYTES_TO_ENDPOINT);
            bytesToClient += stats.get(Counter.BYTES_TO_CLIENT);
        }
    }

    String state() {
        if (portFailing) {
            return "failing";
        }
        if (portWithoutEndpoints) {
            return "no-endpoints";
        }
        boolean anyFailing = endpoints.keySet().stream().anyMatch(State::isFailing);
        if (anyFailing || failedFrontends > 0) {
            return "degraded";
        }
        return total == 0 ? "unused" : "ok";
    }

    /** Whether the text is part of the name or of an address. */
    boolean contains(String text) {
        return service.contains(text) || frontends.stream().anyMatch(address -> address.contains(text));
    }

    Map<String, Object> json() {
        Map<String, Object> counts = new LinkedHashMap<>();
        counts.put("total", endpointCount);
        endpoints.forEach((state, count) -> counts.put(state.text(), count));
        Map<String, Object> json = new LinkedHashMap<>();
        json.put("service", service);
        json.put("namespace", namespace);
        json.put("name", name);
        json.put("state", state());
        json.put("frontends", frontends.subList(0, Math.min(MAX_FRONTENDS, frontends.size())));
        json.put("failedFrontends", failedFrontends);
        json.put("paths", paths);
        json.put("endpoints", counts);
        json.put("active", active);
        json.put("total", total);
        json.put("failed", failed);
        json.put("bytesToEndpoint", bytesToEndpoint);
        json.put("bytesToClient", bytesToClient);
        return json;
    }
}
