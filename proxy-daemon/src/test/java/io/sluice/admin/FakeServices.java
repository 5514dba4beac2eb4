package io.sluice.admin;

import java.time.Duration;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.ConcurrentSkipListMap;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import tools.jackson.databind.json.JsonMapper;

/**
 * The Services, endpoints and events that {@link FakeAdminApi} reports, as the JSON of the admin API. Each Service has
 * one port. Counters grow with {@code n}, the number of requests.
 */
final class FakeServices {
    private static final JsonMapper JSON = new JsonMapper();
    private final String start = Instant.now()
            .minus(Duration.ofHours(3))
            .truncatedTo(ChronoUnit.MILLIS)
            .toString();

    /** One endpoint of a Service. */
    record FakeEndpoint(String service, String address, String state, String lastError) {
        boolean isFailing() {
            return List.of("refusing", "silent", "ejected").contains(state);
        }
    }

    private record FakeEvent(int id, Instant time, String kind, String service, String endpoint, String reason) {}

    private final Map<String, List<FakeEndpoint>> services = new ConcurrentSkipListMap<>();
    private final List<FakeEvent> events = new CopyOnWriteArrayList<>();

    /** Adds or replaces a Service. */
    void put(String service, FakeEndpoint... endpoints) {
        services.put(service, List.of(endpoints));
    }

    /** Replaces the state of one endpoint of a Service and adds an event. */
    void setState(String service, String address, String state, String error) {
        services.computeIfPresent(
                service,
                (name, endpoints) -> endpoints.stream()
                        .map(each ->
                                each.address().equals(address) ? new FakeEndpoint(name, address, state, error) : each)
                        .toList());
        addEvent(error.isEmpty() ? "recovery" : "failure", service + ":http", address, error);
    }

    void addEvent(String kind, String service, String endpoint, String reason) {
        events.add(new FakeEvent(events.size() + 1, Instant.now(), kind, service, endpoint, reason));
    }

    private Stream<FakeEndpoint> endpoints() {
        return services.values().stream().flatMap(List::stream);
    }

    private static String quote(String text) {
        return JSON.writeValueAsString(text);
    }

    String status(long n) {
        Map<String, Integer> states = new TreeMap<>();
        endpoints().forEach(each -> states.merge(each.state(), 1, Integer::sum));
        String watches = Stream.of("services", "endpointslices", "nodes")
                .map(each -> """
                        {"resource": "%s", "synced": true, "lastEventAgeSeconds": 4.2, "reconnects": 1, "relists": 0,
                         "server": "https://198.18.0.1:443", "trouble": ""}""".formatted(each))
                .collect(Collectors.joining(","));
        int count = services.size();
        return """
                {"version": "0.1.0", "pid": 4711, "mode": "node", "node": "node-a", "ready": true,
                 "reason": "ready: %1$d frontends", "draining": false, "phase": "SERVING", "startTime": "%2$s",
                 "logLevel": "info", "failedThreads": [],
                 "feed": {"source": "API server https://198.18.0.1:443", "lastChange": "%2$s", "stale": false,
                          "problems": {"error": 0, "warning": 1, "note": 0}, "watches": [%3$s]},
                 "counts": {"services": %1$d, "servicePorts": %1$d, "connections": %1$d, "flows": 0,
                            "bufferedBytes": 0, "endpoints": %4$s,
                            "frontends": {"pending": 0, "active": %1$d, "failed": 0, "draining": 0}},
                 "totals": {"connectionsOpened": %5$d, "connectionsFailed": 2, "flowsOpened": %6$d,
                            "bytesToEndpoint": %7$d, "bytesToClient": %8$d, "datagramsToEndpoint": 180,
                            "datagramsToClient": 178}}""".formatted(
                        count,
                        start,
                        watches,
                        JSON.writeValueAsString(states),
                        1200 + n * 7 + n % 5 * 3,
                        90 + n,
                        120_034 + n * 4000,
                        9_120_034 + n * 700_000 + n % 7 * 90_000);
    }

    private static String state(List<FakeEndpoint> endpoints) {
        long failing = endpoints.stream().filter(FakeEndpoint::isFailing).count();
        if (endpoints.isEmpty()) {
            return "no-endpoints";
        }
        if (failing > 0) {
            return failing == endpoints.size() ? "failing" : "degraded";
        }
        return endpoints.stream().allMatch(each -> each.state().equals("unknown")) ? "unused" : "ok";
    }

    private static List<String> frontends(String service) {
        int host = Math.floorMod(service.hashCode(), 250);
        return List.of("198.18.1." + host + ":80/tcp", "[2001:db8::" + host + "]:80/tcp");
    }

    private String serviceItem(String service, List<FakeEndpoint> endpoints, long n) {
        Map<String, Integer> states = new TreeMap<>(Map.of("total", endpoints.size()));
        endpoints.forEach(each -> states.merge(each.state(), 1, Integer::sum));
        return """
                {"service": %s, "namespace": %s, "name": %s, "state": "%s", "frontends": %s, "failedFrontends": 0,
                 "endpoints": %s, "active": %d, "total": %d, "failed": %d, "bytesToEndpoint": %d, "bytesToClient": %d}
                """.formatted(
                        quote(service),
                        quote(service.replaceFirst("/.*", "")),
                        quote(service.replaceFirst("[^/]*/", "")),
                        state(endpoints),
                        JSON.writeValueAsString(frontends(service)),
                        JSON.writeValueAsString(states),
                        Math.floorMod(service.hashCode(), 40),
                        n * 3,
                        endpoints.stream().filter(FakeEndpoint::isFailing).count() * 3,
                        n * 900,
                        n * Math.floorMod(service.hashCode(), 90_000));
    }

    /** Returns the items of the Services that match the parameters. */
    List<String> serviceItems(Map<String, String> parameters, long n) {
        String q = parameters.getOrDefault("q", "");
        String state = parameters.getOrDefault("state", "");
        String namespace = parameters.getOrDefault("namespace", "");
        List<String> items = new ArrayList<>();
        services.forEach((service, endpoints) -> {
            boolean found = service.contains(q) || frontends(service).toString().contains(q);
            if (found && service.startsWith(namespace) && (state.isEmpty() || state.equals(state(endpoints)))) {
                items.add(serviceItem(service, endpoints, n));
            }
        });
        return items;
    }

    private String endpointItem(FakeEndpoint endpoint, long n) {
        boolean failing = endpoint.isFailing();
        return """
                {"service": %s, "protocol": "tcp", "address": %s, "state": "%s", "since": "%s", "lastError": %s,
                 "lastErrorTime": %s, "failures": %d, "failed": %d, "active": %d, "total": %d, "bytesToEndpoint": %d,
                 "bytesToClient": %d, "connectMillis": %s, "until": null}""".formatted(
                        quote(endpoint.service() + ":http"),
                        quote(endpoint.address()),
                        endpoint.state(),
                        start,
                        quote(endpoint.lastError()),
                        failing ? quote(start) : "null",
                        failing ? 17 : 0,
                        failing ? 19 : 0,
                        failing ? 0 : 3,
                        n,
                        n * 400,
                        n * 30_000,
                        endpoint.state().equals("unknown") ? "null" : "{\"p50\": 0.2, \"p90\": 0.5, \"p99\": 2.0}");
    }

    /** Returns the items of the endpoints that match the parameters. */
    List<String> endpointItems(Map<String, String> parameters, long n) {
        String state = parameters.getOrDefault("state", "");
        return endpoints()
                .filter(each -> state.isEmpty() || state.equals(each.state()))
                .map(each -> endpointItem(each, n))
                .toList();
    }

    /** Returns one Service, or an empty string if it does not exist. */
    String details(String service, long n) {
        List<FakeEndpoint> endpoints = services.get(service);
        if (endpoints == null) {
            return "";
        }
        String frontends = frontends(service).stream()
                .map(each -> """
                        {"address": "%s", "kind": "CLUSTER_IP", "state": "ACTIVE", "reason": "", "since": "%s",
                         "path": "proxy", "pathReason": "policy max-connections", "sourceRanges": [],
                         "routes": {"pod": "FORWARD", "node": "FORWARD", "external": "DROP"}}""".formatted(each, start))
                .collect(Collectors.joining(","));
        return """
                {"service": %s, "state": "%s", "ports": [{
                  "name": "http", "protocol": "tcp", "frontends": [%s], "endpoints": [%s],
                  "policy": {"balance": "round-robin", "affinityTimeoutSeconds": 10800, "max-connections": "100"},
                  "counters": {"sessions_opened": 1204, "bytes_to_client": 9120034}}]}""".formatted(
                        quote(service),
                        state(endpoints),
                        frontends,
                        endpoints.stream().map(each -> endpointItem(each, n)).collect(Collectors.joining(",")));
    }

    /** Returns one connection to each endpoint that is up and matches the parameters. */
    List<String> connectionItems(Map<String, String> parameters, long n) {
        List<String> items = new ArrayList<>();
        endpoints()
                .filter(each -> each.state().equals("up"))
                .filter(each -> each.service().startsWith(parameters.getOrDefault("service", "")))
                .filter(each -> each.address().startsWith(parameters.getOrDefault("endpoint", "")))
                .forEach(each -> items.add("""
                        {"service": %s, "frontend": "%s", "client": "198.18.9.%d:%d", "endpoint": %s, "path": "proxy",
                         "state": "%s", "ageSeconds": %d, "bytesToEndpoint": %d, "bytesToClient": %d}""".formatted(
                                quote(each.service() + ":http"),
                                frontends(each.service()).get(0),
                                items.size() % 250,
                                50_000 + items.size() / 250,
                                quote(each.address()),
                                items.size() % 9 == 4 ? "half-closed" : "open",
                                12 + items.size(),
                                1200 + n * 10,
                                90_000 + n * 4000)));
        return items;
    }

    /** Returns the latest events that match the parameters, and the id of the last event. */
    String eventList(Map<String, String> parameters) {
        int after = Integer.parseInt(parameters.getOrDefault("after", "0"));
        int limit = Integer.parseInt(parameters.getOrDefault("limit", "500"));
        String kind = parameters.getOrDefault("kind", "");
        List<FakeEvent> found = events.stream()
                .filter(each -> each.id() > after)
                .filter(each -> kind.isEmpty() || kind.equals(each.kind()))
                .filter(each -> each.service().startsWith(parameters.getOrDefault("service", "")))
                .toList();
        String items = found.subList(Math.max(0, found.size() - limit), found.size()).stream()
                .map(each -> """
                        {"id": %d, "time": "%s", "kind": "%s", "service": %s, "endpoint": %s, "reason": %s}""".formatted(
                                each.id(),
                                each.time(),
                                each.kind(),
                                quote(each.service()),
                                quote(each.endpoint()),
                                quote(each.reason())))
                .collect(Collectors.joining(","));
        return "{\"items\": [" + items + "], \"next\": \"" + events.size() + "\"}";
    }
}
