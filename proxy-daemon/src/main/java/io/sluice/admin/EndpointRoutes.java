package io.sluice.admin;

import io.sluice.balance.EndpointHealth;
import io.sluice.balance.EndpointHealth.State;
import io.sluice.balance.EndpointStatus;
import io.sluice.forward.ConnectionFilter;
import io.sluice.forward.EndpointControl.Outcome;
import io.sluice.forward.Forwarder;
import io.sluice.http.Response;
import io.sluice.model.Endpoint;
import io.sluice.model.ServicePort;
import io.sluice.model.ServiceSnapshot;
import io.sluice.ops.EventLog;
import io.sluice.stats.EndpointStats;
import java.time.Duration;
import java.time.Instant;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.Predicate;
import java.util.function.Supplier;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/** Health of endpoints, and the requests that drain, disable and enable one. */
final class EndpointRoutes {
    private static final List<String> STATES =
            Stream.of(State.values()).map(State::text).toList();
    private static final String ADDRESS = "address";
    private static final Duration LONGEST = Duration.ofDays(30);

    private final Forwarder forwarder;
    private final Supplier<ServiceSnapshot> snapshot;
    private final EventLog events;

    EndpointRoutes(Forwarder forwarder, Supplier<ServiceSnapshot> snapshot, EventLog events) {
        this.forwarder = forwarder;
        this.snapshot = snapshot;
        this.events = events;
    }

    List<AdminRoute> routes() {
        String path = "/api/v1/endpoints/{namespace}/{name}/{address}/";
        Set<String> parameters = Set.of("for", "force");
        return List.of(
                AdminRoute.get(
                        "/api/v1/endpoints",
                        Set.of("state", Filters.SERVICE, ADDRESS, Items.LIMIT, Items.AFTER),
                        this::list),
                new AdminRoute("POST", path + "drain", parameters, request -> takeOut(request, State.DRAINING)),
                new AdminRoute("POST", path + "disable", parameters, request -> takeOut(request, State.DISABLED)),
                new AdminRoute("POST", path + "enable", Set.of(), this::putBack));
    }

    private Response list(ApiRequest request) {
        ConnectionFilter filter = Filters.of(request);
        String address = request.text(ADDRESS);
        ConnectionFilter byAddress = address == null ? ConnectionFilter.ALL : Filters.endpointFilter(ADDRESS, address);
        String state = request.choice("state", STATES);
        Predicate<EndpointStatus> matches = status -> byAddress.matches(status.endpoint())
                && (state == null || state.equals(status.health().state().text()));
        Stream<Keyed> all = snapshot.get().sorted().stream()
                .filter(port -> filter.matches(port.name()))
                .flatMap(port -> endpoints(port, request.text(Items.AFTER), matches));
        return Items.page(request, all, Keyed::key, keyed -> json(keyed.status()));
    }

    private record Keyed(String key, EndpointStatus status) {}

    /** The matching endpoints of a service port in the order of their keys; none if the page starts after all of them. */
    private Stream<Keyed> endpoints(ServicePort port, @Nullable String after, Predicate<EndpointStatus> matches) {
        String prefix = port.name().sortKey() + ",";
        if (after != null && prefix.compareTo(after) < 0 && !after.startsWith(prefix)) {
            return Stream.of();
        }
        return forwarder.endpoints(port.name()).stream()
                .filter(matches)
                .map(status -> new Keyed(prefix + status.endpoint(), status))
                .sorted(Comparator.comparing(Keyed::key));
    }

    static Map<String, Object> json(EndpointStatus status) {
        EndpointHealth health = status.health();
        EndpointStats stats = status.stats();
        Map<String, @Nullable Object> json = new LinkedHashMap<>();
        json.put("service", status.service().toString());
        json.put("protocol", status.service().protocol().text());
        json.put("address", status.endpoint().toString());
        json.put("state", health.state().text());
        json.put("since", Items.time(health.since()));
        json.put("lastError", health.lastError());
        json.put("lastErrorTime", Items.time(health.lastErrorTime()));
        json.put("failures", health.consecutiveFailures());
        json.put("failed", stats.failed());
        json.put("active", stats.active());
        json.put("total", stats.opened());
        json.put("bytesToEndpoint", stats.bytesToEndpoint());
        json.put("bytesToClient", stats.bytesToClient());
        json.put("connectMillis", connectMillis(stats));
        json.put("until", Items.time(status.until()));
        return json;
    }

    private static @Nullable Map<String, Object> connectMillis(EndpointStats stats) {
        if (stats.connectMillis(50) < 0) {
            return null;
        }
        Map<String, Object> json = new LinkedHashMap<>();
        for (int percentile : new int[] {50, 90, 99}) {
            json.put("p" + percentile, Math.round(stats.connectMillis(percentile) * 1e3) / 1e3);
        }
        return json;
    }

    private Response takeOut(ApiRequest request, State state) {
        String service = service(request);
        Endpoint endpoint = Filters.endpoint(request.path(ADDRESS));
        Duration duration = request.duration("for", Duration.ofSeconds(1), LONGEST);
        Outcome outcome = forwarder.takeOut(service, endpoint, state, duration, request.flag("force"));
        Instant until = duration == null ? null : Instant.now().plus(duration);
        return done(service, endpoint, outcome, state == State.DRAINING ? "drained" : "disabled", until);
    }

    private Response putBack(ApiRequest request) {
        String service = service(request);
        Endpoint endpoint = Filters.endpoint(request.path(ADDRESS));
        return done(service, endpoint, forwarder.putBack(service, endpoint), "enabled", null);
    }

    private static String service(ApiRequest request) {
        return request.path("namespace") + "/" + request.path("name");
    }

    private Response done(String service, Endpoint endpoint, Outcome outcome, String action, @Nullable Instant until) {
        switch (outcome) {
            case DONE -> {}
            case NO_SUCH_ENDPOINT -> throw new ApiException(404, "Service " + service + " has no endpoint " + endpoint);
            case LAST_USABLE ->
                throw new ApiException(
                        409,
                        endpoint + " is the last usable endpoint of a port of Service " + service
                                + "; to take it out nevertheless, use --force (in a request force=true)");
            case NOT_NOW ->
                throw new ApiException(409, "a handover is in progress, or this process no longer serves; try again");
        }
        String text = action + " by an operator" + (until == null ? "" : " until " + Items.time(until));
        events.operatorChange(service, endpoint, text);
        List<EndpointStatus> statuses = snapshot.get().ofService(service).stream()
                .flatMap(port -> forwarder.endpoints(port.name()).stream())
                .filter(status -> status.endpoint().equals(endpoint))
                .toList();
        Map<String, @Nullable Object> json = new LinkedHashMap<>();
        json.put("service", service);
        json.put("address", endpoint.toString());
        json.put(
                "state",
                statuses.isEmpty()
                        ? State.UNKNOWN.text()
                        : statuses.get(0).health().state().text());
        json.put("until", Items.time(until));
        json.put(
                "active",
                statuses.stream().mapToLong(status -> status.stats().active()).sum());
        return AdminRoutes.json(200, json);
    }
}
