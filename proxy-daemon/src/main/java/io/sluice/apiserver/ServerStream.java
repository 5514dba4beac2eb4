package io.sluice.apiserver;

import io.sluice.document.Problem;
import io.sluice.document.StrictYaml;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.concurrent.CountDownLatch;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import tools.jackson.core.JacksonException;

/**
 * The answer that a collection is reading, one at a time: asks for it, turns a refusal into an exception, and ends it
 * when nothing more comes. Used on the collection's thread, but for {@link #checkIdle} and {@link #close}.
 */
final class ServerStream {
    private static final Logger log = LoggerFactory.getLogger(ServerStream.class);

    private final ApiClient client;
    private final SharedBackoff retry;
    private final WatchTimeouts pace;
    final CountDownLatch closed = new CountDownLatch(1);
    private volatile @Nullable ApiResponse open;

    /** The answer that we ended because nothing more came. */
    private volatile @Nullable ApiResponse silent;

    private volatile String server = "";

    ServerStream(ApiClient client, SharedBackoff retry, WatchTimeouts pace) {
        this.client = client;
        this.retry = retry;
        this.pace = pace;
    }

    /** The last server that answered; empty if none has. Any thread. */
    String server() {
        return server;
    }

    boolean isClosed() {
        return closed.getCount() == 0;
    }

    /** Whether this answer was ended because nothing more came. */
    @SuppressWarnings("ReferenceEquality") // that very answer
    boolean wasSilent(ApiResponse answer) {
        return answer == silent;
    }

    /**
     * Asks for a part of a collection; call {@link #done} when it has been read.
     *
     * @param verb {@code list} or {@code watch}, for people
     * @param large whether it begins with all that there is, which a busy server may need time for
     * @throws ApiStatusException if the server answers with anything but 200
     */
    ApiResponse get(Resource resource, String query, String verb, boolean large) throws IOException {
        ApiResponse answer = large ? client.getLarge(resource.path() + query) : client.get(resource.path() + query);
        server = answer.server();
        open = answer;
        if (isClosed()) {
            answer.close();
        }
        if (!isUnwell(answer.status())) {
            retry.answered();
        }
        if (answer.status() == 200) {
            return answer;
        }
        try (answer) {
            throw new ApiStatusException(
                    answer.status(),
                    server + ": " + verb + " " + resource.name() + ": " + answer.status() + " " + message(answer),
                    answer.retryAfter());
        } finally {
            open = null;
        }
    }

    void done() {
        open = null;
    }

    /** Whether a status says only that the server cannot answer now. */
    static boolean isUnwell(int status) {
        return status == 429 || status >= 500;
    }

    /** What the server says of its own refusal: the message of a Status, or the beginning of whatever it sent. */
    private static String message(ApiResponse answer) throws IOException {
        byte[] bytes = answer.bytes(ApiLimits.MAX_ERROR_BYTES, ApiLimits.ERROR_TIMEOUT);
        String text = new String(bytes, StandardCharsets.UTF_8).strip();
        try {
            text = ApiLimits.JSON.readTree(text).path("message").stringValue(text);
        } catch (JacksonException e) {
            text = text.lines().findFirst().orElse("(no message)");
        }
        return Problem.oneLine(text);
    }

    /** Why an answer could not be read to its end. */
    static String explain(Exception e) {
        if (e instanceof JacksonException json) {
            return json.getCause() instanceof IOException io
                    ? StrictYaml.explain(io)
                    : "unreadable answer: " + StrictYaml.explain(json);
        }
        return String.valueOf(e.getMessage());
    }

    /** Ends an answer that has been silent for too long: it is asked for again, and if the server is dead that tells. */
    void checkIdle() {
        ApiResponse answer = open;
        if (answer != null
                && System.nanoTime() - answer.heardNanos() > pace.idle().toNanos()) {
            log.debug("{}: nothing heard for {} s", answer.server(), pace.idle().toSeconds());
            silent = answer;
            end(answer);
        }
    }

    private static void end(ApiResponse answer) {
        try {
            answer.close();
        } catch (IOException e) {
            log.debug("{}: not closed cleanly", answer.server(), e);
        }
    }

    void close() {
        closed.countDown();
        ApiResponse answer = open;
        if (answer != null) {
            end(answer);
        }
    }
}
