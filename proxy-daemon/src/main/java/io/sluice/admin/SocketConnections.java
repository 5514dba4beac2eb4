package io.sluice.admin;

import io.sluice.balance.BalancePosition.AffinityEntry;
import io.sluice.forward.ConnectionFilter;
import io.sluice.http.Response;
import io.sluice.model.IpAddress;
import io.sluice.model.ServicePortName;
import io.sluice.socketlb.SocketConnection;
import io.sluice.socketlb.SocketLoadBalancer;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.PriorityQueue;
import java.util.function.BiConsumer;
import org.jspecify.annotations.Nullable;

/** Lists the connections and session affinity entries of socket-level load balancing. */
final class SocketConnections {
    private static final String TOKEN = "socket-";
    private static final Comparator<SocketConnection> BY_NUMBER = Comparator.comparingLong(SocketConnection::number);

    private final SocketLoadBalancer sockets;

    SocketConnections(SocketLoadBalancer sockets) {
        this.sockets = sockets;
    }

    /** The number of the connection after which a page begins; negative if the token is not one of {@link #page}. */
    static long after(@Nullable String token) {
        try {
            return token != null && token.startsWith(TOKEN) ? Long.parseLong(token.substring(TOKEN.length())) : -1;
        } catch (NumberFormatException e) {
            return -1;
        }
    }

    /**
     * Returns the end of a page.
     *
     * @param items the beginning of the page, to which connections are added
     */
    Response page(ConnectionFilter filter, long after, int limit, List<Map<String, Object>> items) {
        int room = limit - items.size();
        // Sorting all of them would take long: there may be a quarter of a million.
        PriorityQueue<SocketConnection> first = new PriorityQueue<>(BY_NUMBER.reversed());
        try {
            sockets.connections(connection -> {
                if (connection.number() > after && matches(filter, connection)) {
                    first.add(connection);
                    if (first.size() > room + 1) {
                        first.remove();
                    }
                }
            });
        } catch (IOException e) {
            throw new ApiException(503, String.valueOf(e.getMessage()));
        }
        List<SocketConnection> sorted = new ArrayList<>(first);
        sorted.sort(BY_NUMBER);
        boolean more = sorted.size() > room;
        List<SocketConnection> shown = more ? sorted.subList(0, room) : sorted;
        shown.forEach(connection -> items.add(json(connection)));
        long last = shown.isEmpty() ? after : shown.get(shown.size() - 1).number();
        return Items.response(items, more ? TOKEN + last : null);
    }

    private static boolean matches(ConnectionFilter filter, SocketConnection connection) {
        ServicePortName service = connection.service();
        return service != null
                && filter.matches(service)
                && filter.matchesClient(connection.client(), connection.clientPort())
                && filter.matches(connection.endpoint())
                && filter.matches(connection.frontend());
    }

    private static Map<String, Object> json(SocketConnection connection) {
        Map<String, @Nullable Object> json = new LinkedHashMap<>();
        json.put("service", String.valueOf(connection.service()));
        json.put("frontend", connection.frontend().toString());
        json.put("client", connection.client().withPort(connection.clientPort()));
        json.put("endpoint", connection.endpoint().toString());
        json.put("path", "socket");
        json.put("state", "open");
        json.put("ageSeconds", Items.seconds(System.nanoTime() - connection.sinceNanos()));
        // No byte passes this process.
        json.put("bytesToEndpoint", null);
        json.put("bytesToClient", null);
        return json;
    }

    /** Passes session affinity entries to an action, if the client's address is known. */
    void affinity(BiConsumer<ServicePortName, AffinityEntry> action) {
        try {
            sockets.affinity(entry -> {
                IpAddress client = entry.client();
                ServicePortName service = entry.service();
                if (client != null && service != null) {
                    action.accept(service, new AffinityEntry(client, entry.endpoint(), entry.idleNanos()));
                }
            });
        } catch (IOException e) {
            throw new ApiException(503, String.valueOf(e.getMessage()));
        }
    }
}
