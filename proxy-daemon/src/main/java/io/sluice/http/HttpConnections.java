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
 * All connections of the server, and the limits on them: how many there are, how long each may stay in a phase, and how
 * much of their responses is not sent yet. Where a limit is reached, the oldest connection is closed; a new one is never
 * kept waiting. Connections with a complete request are closed first once they are more than three quarters: otherwise
 * clients that do not read their responses would leave no room for new requests. Confined to the server's event loop.
 */
final class HttpConnections {
    /** What a connection waits for. */
    enum Phase {
        /** The rest of a request, from the accept or the request's first byte. */
        REQUEST(10),
        /** The first byte of another request. */
        IDLE(60),
        /** A response, and then the client to read it. */
        RESPONSE(30),
        /** The client to close, after our last response: closing first would reset what it has not read. */
        CLOSE(5);

        private final long limitNanos;

        Phase(int seconds) {
            limitNanos = TimeUnit.SECONDS.toNanos(seconds);
        }
    }

    /** Those with a complete request, in the order in which they make room. */
    private static final List<Phase> RESPONDED = List.of(Phase.CLOSE, Phase.RESPONSE);

    private final int limit;
    private final long unsentBytesLimit;
    private final LongSupplier nanoClock;
    /** The oldest first, which is also the order of their deadlines. */
    private final Map<Phase, Set<HttpConnection>> byPhase = new EnumMap<>(Phase.class);

    private int open;
    private long unsentBytes;

    /**
     * @param limit the most connections at a time
     * @param unsentBytesLimit the most bytes of response bodies that clients have not read
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

    /** Takes a new connection, which waits for its first request; closes another one if there are too many. */
    void add(HttpConnection connection) {
        if (open >= limit) {
            closeOldest();
        }
        open++;
        connection.phase = Phase.REQUEST;
        connection.sinceNanos = nanoClock.getAsLong();
        in(Phase.REQUEST).add(connection);
    }

    /** Removes a connection that was closed. */
    void remove(HttpConnection connection) {
        if (in(connection.phase).remove(connection)) {
            open--;
            sent(connection);
        }
    }

    /** The connection waits for something else from now on. */
    void enter(HttpConnection connection, Phase phase) {
        if (in(connection.phase).remove(connection)) {
            connection.phase = phase;
            connection.sinceNanos = nanoClock.getAsLong();
            in(phase).add(connection);
        }
    }

    /** A response with a body of so many bytes is being sent. Makes room at the cost of the slowest other readers. */
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

    /** The response is sent, or will never be. */
    void sent(HttpConnection connection) {
        unsentBytes -= connection.unsentBytes;
        connection.unsentBytes = 0;
    }

    private @Nullable HttpConnection oldest(Phase phase) {
        Set<HttpConnection> all = in(phase);
        return all.isEmpty() ? null : all.iterator().next();
    }

    /**
     * Closes the oldest connection without a complete request, unless there is none or more than three quarters of
     * all have one: then the oldest of those.
     */
    void closeOldest() {
        int responded = 0;
        for (Phase phase : RESPONDED) {
            responded += in(phase).size();
        }
        HttpConnection oldest = responded > open - open / 4 ? null : oldestWithoutRequest();
        for (Phase phase : RESPONDED) {
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

    /** Closes what has been in its phase for too long. */
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

    /** A port was closed: its connections end, those with a request after their response. */
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
