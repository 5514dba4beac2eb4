package io.sluice.admin;

import io.sluice.balance.EndpointHealth;
import io.sluice.document.Problem;
import io.sluice.feed.WatchStatus;
import io.sluice.forward.Forwarder;
import io.sluice.forward.FrontendStatus;
import io.sluice.handover.ReceivedHandover;
import io.sluice.http.Response;
import io.sluice.model.ServicePort;
import io.sluice.model.ServiceSnapshot;
import io.sluice.ops.BuildInfo;
import io.sluice.ops.DaemonState;
import io.sluice.ops.LogLevel;
import io.sluice.socketlb.SocketLbStatus;
import io.sluice.stats.Counter;
import io.sluice.stats.Stats;
import java.time.Instant;
import java.util.EnumMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;
import tools.jackson.core.JacksonException;
import tools.jackson.databind.json.JsonMapper;

/** State of the whole process, and the log level. */
final class StatusRoutes {
    private final AdminSources sources;
    private final Forwarder forwarder;
    private final Supplier<ServiceSnapshot> snapshot;

    StatusRoutes(AdminSources sources) {
        this.sources = sources;
        this.forwarder = sources.forwarder();
        this.snapshot = sources.snapshot();
    }

    List<AdminRoute> routes() {
        return List.of(
                AdminRoute.get("/api/v1/status", Set.of(), request -> status()),
                AdminRoute.get(
                        "/api/v1/log-level",
                        Set.of(),
                        request -> AdminRoutes.json(200, Map.of("level", LogLevel.get()))),
                new AdminRoute("PUT", "/api/v1/log-level", Set.of("level"), StatusRoutes::setLogLevel));
    }

    private Response status() {
        DaemonState state = sources.state().get();
        Response readiness = sources.readiness().get();
        Map<String, @Nullable Object> json = new LinkedHashMap<>();
        json.put("version", BuildInfo.version());
        json.put("pid", ProcessHandle.current().pid());
        json.put("mode", sources.mode());
        json.put("node", sources.node());
        json.put("ready", readiness.status() == 200);
        json.put("reason", readiness.text().strip());
        json.put("draining", state.sync().stopping());
        json.put("phase", sources.phase().get());
        json.put("startTime", String.valueOf(Items.time(sources.started())));
        json.put("logLevel", LogLevel.get());
        json.put("handover", handover(sources.handover().get()));
        json.put("feed", feed(state));
        json.put("counts", counts(state));
        json.put("totals", totals(forwarder.stats()));
        json.put("socketLb", socketLb(sources.sockets().status()));
        json.put("failedThreads", sources.failedThreads().get());
        return AdminRoutes.json(200, json);
    }

    private static @Nullable Map<String, @Nullable Object> handover(@Nullable ReceivedHandover received) {
        if (received == null) {
            return null;
        }
        Map<String, @Nullable Object> json = new LinkedHashMap<>();
        json.put("fromPid", received.fromPid() == 0 ? null : received.fromPid());
        json.put("frontends", received.frontends());
        json.put("flows", received.flows());
        json.put("connections", received.connections());
        json.put("connectionsLeft", received.connectionsLeft());
        json.put("complete", received.isComplete());
        json.put("durationMillis", received.duration().toMillis());
        json.put("receivedAt", Items.time(received.receivedAt()));
        return json;
    }

    private static Map<String, Object> socketLb(SocketLbStatus status) {
        Map<String, Object> json = new LinkedHashMap<>();
        json.put("mode", status.mode().name().toLowerCase(Locale.ROOT));
        json.put("state", status.state().name().toLowerCase(Locale.ROOT));
        json.put("reason", status.reason());
        json.put("frontends", status.frontends());
        json.put("connections", status.connections());
        return json;
    }

    private Map<String, Object> feed(DaemonState state) {
        Instant now = Instant.now();
        List<WatchStatus> watches = state.sync().watches();
        Map<String, Object> problems = new LinkedHashMap<>();
        for (Problem.Severity severity : Problem.Severity.values()) {
            problems.put(
                    severity.name().toLowerCase(Locale.ROOT),
                    state.problems().stream()
                            .filter(problem -> problem.severity() == severity)
                            .count());
        }
        Map<String, @Nullable Object> json = new LinkedHashMap<>();
        json.put("source", sources.source());
        json.put("lastChange", Items.time(state.sync().lastApplied().orElse(null)));
        json.put(
                "stale",
                !state.sync().healthy(now)
                        || watches.stream().anyMatch(watch -> !watch.trouble().isEmpty()));
        json.put("problems", problems);
        json.put("watches", state.sync().watchesAsJson(now));
        return json;
    }

    private Map<String, Object> counts(DaemonState state) {
        Map<EndpointHealth.State, Integer> states = new EnumMap<>(EndpointHealth.State.class);
        for (EndpointHealth.State each : EndpointHealth.State.values()) {
            states.put(each, 0);
        }
        Set<String> services = new HashSet<>();
        ServiceSnapshot current = snapshot.get();
        current.forEach((ServicePort port) -> {
            services.add(port.name().serviceName());
            forwarder
                    .endpoints(port.name())
                    .forEach(endpoint -> states.merge(endpoint.health().state(), 1, Integer::sum));
        });
        Map<String, Object> endpoints = new LinkedHashMap<>();
        states.forEach((each, count) -> endpoints.put(each.text(), count));
        Map<String, Object> frontends = new LinkedHashMap<>();
        for (FrontendStatus.State each : FrontendStatus.State.values()) {
            if (each != FrontendStatus.State.GONE) {
                frontends.put(
                        each.name().toLowerCase(Locale.ROOT), state.frontends().count(each));
            }
        }
        Map<String, Object> json = new LinkedHashMap<>();
        json.put("services", services.size());
        json.put("servicePorts", current.size());
        json.put("frontends", frontends);
        json.put("endpoints", endpoints);
        json.put("connections", forwarder.sessions());
        json.put("flows", forwarder.openFlows());
        json.put("bufferedBytes", state.bufferedBytes());
        return json;
    }

    private static Map<String, Object> totals(Stats stats) {
        Map<String, Object> json = new LinkedHashMap<>();
        json.put("connectionsOpened", stats.sum(Counter.SESSIONS_OPENED));
        json.put("connectionsFailed", stats.rejectedSessions());
        json.put("flowsOpened", stats.sum(Counter.FLOWS_OPENED));
        json.put("bytesToEndpoint", stats.sum(Counter.BYTES_TO_ENDPOINT));
        json.put("bytesToClient", stats.sum(Counter.BYTES_TO_CLIENT));
        json.put("datagramsToEndpoint", stats.sum(Counter.DATAGRAMS_TO_ENDPOINT));
        json.put("datagramsToClient", stats.sum(Counter.DATAGRAMS_TO_CLIENT));
        return json;
    }

    private static Response setLogLevel(ApiRequest request) {
        String level = request.text("level");
        if (level == null) {
            level = level(request.body().strip());
        }
        try {
            return AdminRoutes.json(200, Map.of("level", level, "previous", LogLevel.set(level)));
        } catch (IllegalArgumentException e) {
            throw ApiRequest.invalid("level", level, "one of " + String.join(", ", LogLevel.ALL));
        }
    }

    /** The level in a body that is either the level itself or a JSON object. */
    private static String level(String body) {
        if (!body.startsWith("{")) {
            return body;
        }
        try {
            return JsonMapper.shared().readTree(body).path("level").asString("");
        } catch (JacksonException e) {
            throw new ApiException(400, "the body is neither a level nor a JSON object: " + e.getOriginalMessage());
        }
    }
}
