package io.sluice.admin;

import io.sluice.balance.BalancePosition.AffinityEntry;
import io.sluice.forward.ConnectionFilter;
import io.sluice.forward.ConnectionStatus;
import io.sluice.forward.FlowStatus;
import io.sluice.forward.Forwarder;
import io.sluice.forward.Listing;
import io.sluice.http.Response;
import io.sluice.model.Endpoint;
import io.sluice.model.ServicePort;
import io.sluice.model.ServicePortName;
import io.sluice.model.ServiceSnapshot;
import io.sluice.socketlb.SocketLoadBalancer;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.PriorityQueue;
import java.util.Set;
import java.util.function.Function;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/** Open connections, flows and session affinity entries. */
final class ConnectionRoutes {
    private static final Set<String> PARAMETERS =
            Set.of(Filters.SERVICE, Filters.CLIENT, Filters.ENDPOINT, Filters.FRONTEND, Items.LIMIT, Items.AFTER);
    private static final Set<String> AFFINITY_PARAMETERS =
            Set.of(Filters.SERVICE, Filters.CLIENT, Filters.ENDPOINT, Items.LIMIT, Items.AFTER);

    private final Forwarder forwarder;
    private final SocketLoadBalancer sockets;
    private final Supplier<ServiceSnapshot> snapshot;

    /** A session affinity entry with its key, by which the list is sorted. */
    private record Keyed(String key, String path, ServicePortName service, AffinityEntry entry) {}

    ConnectionRoutes(Forwarder forwarder, SocketLoadBalancer sockets, Supplier<ServiceSnapshot> snapshot) {
        this.forwarder = forwarder;
        this.sockets = sockets;
        this.snapshot = snapshot;
    }

    List<AdminRoute> routes() {
        return List.of(
                AdminRoute.get("/api/v1/connections", PARAMETERS, this::connections),
                AdminRoute.get("/api/v1/flows", PARAMETERS, this::flows),
                AdminRoute.get("/api/v1/affinity", AFFINITY_PARAMETERS, this::affinity));
    }

    /** Lists the connections of the forwarder, and then those whose endpoint was chosen at the socket. */
    private Response connections(ApiRequest request) {
        ConnectionFilter filter = Filters.of(request);
        int limit = Items.limit(request);
        long socketsAfter = SocketConnections.after(request.text(Items.AFTER));
        List<Map<String, Object>> items = new ArrayList<>();
        if (socketsAfter < 0) {
            Listing<ConnectionStatus> listing = forwarder.connections(filter, after(request), limit);
            if (listing.next() != null) {
                return page(listing, ConnectionRoutes::json);
            }
            listing.items().forEach(connection -> items.add(json(connection)));
        }
        return new SocketConnections(sockets).page(filter, Math.max(0, socketsAfter), limit, items);
    }

    private Response flows(ApiRequest request) {
        return page(forwarder.flows(Filters.of(request), after(request), Items.limit(request)), ConnectionRoutes::json);
    }

    private static <T> Response page(Listing<T> listing, Function<T, Map<String, Object>> json) {
        Listing.Position next = listing.next();
        return Items.response(listing.items().stream().map(json).toList(), next == null ? null : next.toString());
    }

    private static Listing.@Nullable Position after(ApiRequest request) {
        String token = request.text(Items.AFTER);
        if (token == null) {
            return null;
        }
        Listing.Position position = Listing.Position.parse(token);
        if (position == null) {
            throw ApiRequest.invalid(Items.AFTER, token, "the value of 'next' in an earlier response");
        }
        return position;
    }

    private static Map<String, Object> json(ConnectionStatus connection) {
        Endpoint endpoint = connection.endpoint();
        Map<String, @Nullable Object> json = new LinkedHashMap<>();
        json.put("service", connection.service().toString());
        json.put("frontend", connection.frontend().toString());
        json.put("client", connection.client().withPort(connection.clientPort()));
        json.put("endpoint", endpoint == null ? null : endpoint.toString());
        json.put("path", "proxy");
        json.put("state", connection.state().text());
        json.put("ageSeconds", Items.seconds(connection.ageNanos()));
        json.put("bytesToEndpoint", connection.bytesToEndpoint());
        json.put("bytesToClient", connection.bytesToClient());
        return json;
    }

    private static Map<String, Object> json(FlowStatus flow) {
        Map<String, Object> json = new LinkedHashMap<>();
        json.put("service", flow.service().toString());
        json.put("frontend", flow.frontend().toString());
        json.put("client", flow.client().withPort(flow.clientPort()));
        json.put("endpoint", flow.endpoint().toString());
        json.put("path", "proxy");
        json.put("ageSeconds", Items.seconds(flow.ageNanos()));
        json.put("datagramsToEndpoint", flow.datagramsToEndpoint());
        json.put("datagramsToClient", flow.datagramsToClient());
        json.put("bytesToEndpoint", flow.bytesToEndpoint());
        json.put("bytesToClient", flow.bytesToClient());
        return json;
    }

    /** Lists entries without sorting all of them: there may be half a million. */
    private Response affinity(ApiRequest request) {
        ConnectionFilter filter = Filters.of(request);
        String after = request.text(Items.AFTER);
        int limit = Items.limit(request);
        Comparator<Keyed> byKey = Comparator.comparing(Keyed::key);
        PriorityQueue<Keyed> smallest = new PriorityQueue<>(byKey.reversed());
        ServiceSnapshot current = snapshot.get();
        AffinityConsumer add = (path, service, entry) -> {
            if (filter.matches(service)
                    && filter.matchesClient(entry.client(), 0)
                    && filter.matches(entry.endpoint())
                    && remainingNanos(current, service, entry) > 0) {
                String key = service + "|" + service.protocol().text() + "|" + entry.client() + "|" + path;
                if (after == null || key.compareTo(after) > 0) {
                    smallest.add(new Keyed(key, path, service, entry));
                    if (smallest.size() > limit + 1) {
                        smallest.remove();
                    }
                }
            }
        };
        forwarder.affinity((service, entry) -> add.accept("proxy", service, entry));
        new SocketConnections(sockets).affinity((service, entry) -> add.accept("socket", service, entry));
        List<Keyed> page = new ArrayList<>(smallest);
        page.sort(byKey);
        boolean more = page.size() > limit;
        List<Keyed> shown = more ? page.subList(0, limit) : page;
        return Items.response(
                shown.stream().map(entry -> json(current, entry)).toList(),
                more ? shown.get(limit - 1).key() : null);
    }

    private interface AffinityConsumer {
        void accept(String path, ServicePortName service, AffinityEntry entry);
    }

    /** Time until an entry expires; entries that have expired are removed only when they are used again. */
    private static long remainingNanos(ServiceSnapshot current, ServicePortName service, AffinityEntry entry) {
        ServicePort port = current.get(service);
        return port == null ? 0 : port.affinity().timeoutSeconds() * 1_000_000_000L - entry.idleNanos();
    }

    private static Map<String, Object> json(ServiceSnapshot current, Keyed keyed) {
        Map<String, Object> json = new LinkedHashMap<>();
        json.put("service", keyed.service().toString());
        json.put("client", keyed.entry().client().toString());
        json.put("endpoint", keyed.entry().endpoint().toString());
        json.put("path", keyed.path());
        json.put("idleSeconds", Items.seconds(keyed.entry().idleNanos()));
        json.put("expiresInSeconds", Items.seconds(remainingNanos(current, keyed.service(), keyed.entry())));
        return json;
    }
}
