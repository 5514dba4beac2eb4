package io.sluice.http;

import io.netty.channel.Channel;
import java.util.EnumMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import java.util.function.LongSupplier;
import org.jspecify.annotations.Nullable;

/**
 * All connections of the server and their limits: the number of connections, the time that each may stay in a phase,
 * and the unsent response bytes. At the connection limit, accepting a connection closes an old one: the oldest without
 * a complete request if such connections are at least a quarter of all. Otherwise, it is the oldest with a complete
 * request, so that clients that do not read cannot occupy all connections. Confined to the server's event loop.
 */
final class HttpConnections {
    /** Phase of a connection: the event that it waits for, with a time limit. */
    enum Phase {
        /** Waiting for the rest of a request; begins when the connection opens or the request's first byte arrives. */
        REQUEST(10),
        /** Waiting for the first byte of the next request. */
        IDLE(60),
        /** Waiting for the response to be rendered and read by the client. */
        RESPONSE(30),
        /** Waiting for the client to close first after the last response, so that no unread data is lost. */
        CLOSE(5);

        private final long limitNanos;

        Phase(int seconds) {
            limitNanos = TimeUnit.SECONDS.toNanos(seconds);
        }
    }

    /** Phases after a complete request, in the order in which connections in them are closed to make room. */
    private static final List<Phase> WITH_REQUEST = List.of(Phase.CLOSE, Phase.RESPONSE);

    private final int limit;
    private final long unsentBytesLimit;
    private final LongSupplier nanoClock;
    /** Connections in each phase, oldest first, which is also the order of their deadlines. */
    private final Map<Phase, Set<HttpConnection>> byPhase = new EnumMap<>(Phase.class);

    private int open;
    private long unsentBytes;

    /**
     * Creates an empty set.
     *
     * @param limit maximum number of open connections
     * @param unsentBytesLimit maximum total size of response bodies that are not completely sent
     */
    HttpConnections(int limit, long unsentBytesLimit, LongSupplier nanoClock) {
        this.limit = limit;
        this.unsentBytesLimit = unsentBytesLimit;
        this.nanoClock = nanoClock;
        for (Phase phase : Phase.values()) {
            byPhase.put(phase, new LinkedHashSet<>());
        }
    }

    private Set<HttpConnection> in(Phase phase) {
        return Objects.requireNonNull(byPhase.get(phase));
    }

    /** Adds a new connection in phase {@code REQUEST}; closes another connection if the limit is reached. */
    void add(HttpConnection connection) {
        if (open >= limit) {
            closeOldest();
        }
        open++;
        connection.phase = Phase.REQUEST;
        connection.sinceNanos = nanoClock.getAsLong();
        in(Phase.REQUEST).add(connection);
    }

    /** Removes a closed connection. */
    void remove(HttpConnection connection) {
        if (in(connection.phase).remove(connection)) {
            open--;
            sent(connection);
        }
    }

    /** Moves a connection to another phase and restarts its time limit. */
    void enter(HttpConnection connection, Phase phase) {
        if (in(connection.phase).remove(connection)) {
            connection.phase = phase;
            connection.sinceNanos = nanoClock.getAsLong();
            in(phase).add(connection);
        }
    }

    /** Counts a new response as unsent; above the limit, closes the connections with the oldest responses. */
    void sending(HttpConnection connection, int bytes) {
        connection.unsentBytes = bytes;
        unsentBytes += bytes;
        while (unsentBytes > unsentBytesLimit) {
            HttpConnection slowest = oldest(Phase.RESPONSE);
            if (slowest == null || slowest == connection) {
                return;
            }
            slowest.close();
        }
    }

    /** Stops counting the unsent bytes of a response that was sent or abandoned. */
    void sent(HttpConnection connection) {
        unsentBytes -= connection.unsentBytes;
        connection.unsentBytes = 0;
    }

    private @Nullable HttpConnection oldest(Phase phase) {
        Set<HttpConnection> all = in(phase);
        return all.isEmpty() ? null : all.iterator().next();
    }

    /**
     * Closes the oldest connection without a complete request. If there is none, or more than three quarters of all
     * connections have a complete request, closes the oldest connection with a complete request instead.
     */
    void closeOldest() {
        int withRequest = 0;
        for (Phase phase : WITH_REQUEST) {
            withRequest += in(phase).size();
        }
        HttpConnection oldest = withRequest > open - open / 4 ? null : oldestWithoutRequest();
        for (Phase phase : WITH_REQUEST) {
            oldest = oldest == null ? oldest(phase) : oldest;
        }
        if (oldest != null) {
            oldest.close();
        }
    }

    private @Nullable HttpConnection oldestWithoutRequest() {
        HttpConnection request = oldest(Phase.REQUEST);
        HttpConnection idle = oldest(Phase.IDLE);
        if (request == null || idle == null) {
            return request == null ? idle : request;
        }
        return request.sinceNanos - idle.sinceNanos < 0 ? request : idle;
    }

    /** Closes connections that have exceeded the time limit of their phase. */
    void closeOverdue() {
        long now = nanoClock.getAsLong();
        for (Phase phase : Phase.values()) {
            HttpConnection oldest = oldest(phase);
            while (oldest != null && now - oldest.sinceNanos >= phase.limitNanos) {
                oldest.close();
                oldest = oldest(phase);
            }
        }
    }

    /** Closes the idle connections of a closed port; its other connections are closed after their response. */
    void closeIdle(Channel listening) {
        for (HttpConnection connection : List.copyOf(in(Phase.IDLE))) {
            if (connection.listening == listening) {
                connection.close();
            }
        }
    }

    void closeAll() {
        for (Phase phase : Phase.values()) {
            List.copyOf(in(phase)).forEach(HttpConnection::close);
        }
    }
}
