package io.sluice.apiserver;

import io.sluice.document.StrictYaml;
import java.io.IOException;
import java.util.concurrent.CountDownLatch;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import tools.jackson.core.JacksonException;

/**
 * Sends the requests for one collection and holds the response being read. Turns error statuses into exceptions and
 * ends a response that has been idle for too long. Confined to the collection's thread, except {@link #checkIdle} and
 * {@link #close}.
 */
final class ServerStream {
    private static final Logger log = LoggerFactory.getLogger(ServerStream.class);

    private final ApiClient client;
    private final SharedBackoff retry;
    private final WatchTimeouts timeouts;
    final CountDownLatch closed = new CountDownLatch(1);
    private volatile @Nullable ApiResponse open;

    /** The last response that {@link #checkIdle} ended; null if there is none. */
    private volatile @Nullable ApiResponse endedAsIdle;

    private volatile String server = "";

    ServerStream(ApiClient client, SharedBackoff retry, WatchTimeouts timeouts) {
        this.client = client;
        this.retry = retry;
        this.timeouts = timeouts;
    }

    /** The last server that responded; empty before the first response. Thread-safe. */
    String server() {
        return server;
    }

    boolean isClosed() {
        return closed.getCount() == 0;
    }

    /** Whether {@link #checkIdle} ended this response, because it had been idle for too long. */
    @SuppressWarnings("ReferenceEquality") // identity is meant
    boolean wasEndedAsIdle(ApiResponse response) {
        return response == endedAsIdle;
    }

    /**
     * Requests a list, a page of a list, or a watch. Call {@link #done} when the response has been read.
     *
     * @param verb {@code list} or {@code watch}, shown in messages
     * @param large whether the response starts with the whole collection, which a busy server may need time to prepare
     * @throws ApiStatusException if the status is not 200
     */
    ApiResponse get(Resource resource, String query, String verb, boolean large) throws IOException {
        ApiResponse response = large ? client.getLarge(resource.path() + query) : client.get(resource.path() + query);
        server = response.server();
        open = response;
        if (isClosed()) {
            response.close();
        }
        if (!isUnavailable(response.status())) {
            retry.responseReceived();
        }
        if (response.status() == 200) {
            return response;
        }
        try (response) {
            throw new ApiStatusException(
                    response.status(),
                    server + ": " + verb + " " + resource.name() + ": " + response.status() + " "
                            + response.errorMessage(),
                    response.retryAfter());
        } finally {
            open = null;
        }
    }

    void done() {
        open = null;
    }

    /** Whether a status means that the server is overloaded or failing (429, 5xx). */
    static boolean isUnavailable(int status) {
        return status == 429 || status >= 500;
    }

    /** Describes why a response could not be read to its end. */
    static String explain(Exception e) {
        if (e instanceof JacksonException json) {
            return json.getCause() instanceof IOException io
                    ? StrictYaml.explain(io)
                    : "invalid response: " + StrictYaml.explain(json);
        }
        return String.valueOf(e.getMessage());
    }

    /**
     * Ends a response that has been idle for too long. The next request then shows whether the server still responds.
     */
    void checkIdle() {
        ApiResponse response = open;
        if (response != null
                && System.nanoTime() - response.lastDataNanos()
                        > timeouts.idle().toNanos()) {
            log.debug(
                    "{}: no data for {} s; restarting the watch",
                    response.server(),
                    timeouts.idle().toSeconds());
            endedAsIdle = response;
            end(response);
        }
    }

    private static void end(ApiResponse response) {
        try {
            response.close();
        } catch (IOException e) {
            log.debug("error while closing a response of {}", response.server(), e);
        }
    }

    void close() {
        closed.countDown();
        ApiResponse response = open;
        if (response != null) {
            end(response);
        }
    }
}
