package io.sluice.apiserver;

import java.io.IOException;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.ConcurrentHashMap;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Tracks requests to API servers whose responses are incomplete. Records when each server last sent data, and can
 * cancel all requests to a server. Thread-safe.
 */
final class OpenRequests {
    private static final Logger log = LoggerFactory.getLogger(OpenRequests.class);

    /** A request whose response has not started; {@code cancel} aborts the request. */
    record Request(String server, long sinceNanos, Runnable cancel) {}

    private final Set<Request> requests = ConcurrentHashMap.newKeySet();
    private final Set<ApiResponse> responses = ConcurrentHashMap.newKeySet();

    /** Time at which each server last began to send a response. */
    private final Map<String, Long> lastResponseNanos = new ConcurrentHashMap<>();

    void add(Request request) {
        requests.add(request);
    }

    void remove(Request request) {
        requests.remove(request);
    }

    void add(ApiResponse response) {
        lastResponseNanos.put(response.server(), response.lastDataNanos());
        responses.add(response);
    }

    void remove(ApiResponse response) {
        responses.remove(response);
    }

    /**
     * Returns the servers with open requests that have sent no data for the given time.
     *
     * @param watches whether a response that has already started, such as a watch, counts as an open request
     */
    List<String> silentServers(long nowNanos, long nanos, boolean watches) {
        Map<String, Long> lastActivity = new TreeMap<>();
        for (Request request : requests) {
            lastActivity.merge(request.server(), request.sinceNanos(), OpenRequests::earlier);
        }
        for (ApiResponse response : responses) {
            if (watches) {
                lastActivity.merge(response.server(), response.lastDataNanos(), OpenRequests::earlier);
            }
        }
        for (ApiResponse response : responses) {
            lastActivity.computeIfPresent(
                    response.server(), (server, activity) -> later(activity, response.lastDataNanos()));
        }
        lastResponseNanos.keySet().retainAll(lastActivity.keySet());
        lastResponseNanos.forEach((server, responseNanos) ->
                lastActivity.computeIfPresent(server, (same, activity) -> later(activity, responseNanos)));
        lastActivity.values().removeIf(activity -> nowNanos - activity < nanos);
        return List.copyOf(lastActivity.keySet());
    }

    private static long earlier(long one, long other) {
        return one - other < 0 ? one : other;
    }

    private static long later(long one, long other) {
        return one - other < 0 ? other : one;
    }

    /** Cancels all requests to a server; their callers get an exception. */
    void end(String server) {
        requests.stream()
                .filter(request -> request.server().equals(server))
                .forEach(request -> request.cancel().run());
        responses.stream().filter(response -> response.server().equals(server)).forEach(OpenRequests::end);
    }

    void endAll() {
        requests.forEach(request -> request.cancel().run());
        responses.forEach(OpenRequests::end);
    }

    private static void end(ApiResponse response) {
        try {
            response.close();
        } catch (IOException e) {
            log.debug("error while closing a response of {}", response.server(), e);
        }
    }
}
