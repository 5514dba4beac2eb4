package io.sluice.cli;

import io.sluice.document.Problem;
import java.io.IOException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;
import tools.jackson.core.JacksonException;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;
import tools.jackson.databind.node.MissingNode;

/** A client of the admin API of a running daemon. Turns every failure into one line for the user. */
final class AdminClient implements AutoCloseable {
    /** Maximum duration of a request. */
    static final Duration TIMEOUT = Duration.ofSeconds(10);

    /** Maximum size of a response; a page of 5,000 items has about 2 MB. */
    static final int MAX_RESPONSE_BYTES = 64 << 20;

    /** Items requested at a time; the maximum of the API. */
    private static final int PAGE_SIZE = 5_000;

    /** Bounds the number of requests for one list, in case a server never ends it. */
    private static final int MAX_PAGES = 1_000;

    private static final int CLIENT_ERROR = 400;
    private static final int SERVER_ERROR = 500;

    /** The way to the server. Each exchange takes at most {@link #TIMEOUT}. */
    interface Transport extends AutoCloseable {
        /**
         * Sends a request without a body and returns the response.
         *
         * @throws IOException if there is no complete response; the message gives the reason and a remedy
         */
        Response send(String method, String pathAndQuery) throws IOException, InterruptedException;

        /** The socket or URL, for messages. */
        String server();

        @Override
        void close();
    }

    /** A complete response. */
    record Response(int status, String body) {}

    /**
     * Items of a list.
     *
     * @param more whether the server has more items than were requested
     * @param next token for the items after the last one; null if there is none
     */
    record Items(List<Item> items, boolean more, @Nullable String next) {}

    private final Transport transport;

    AdminClient(Transport transport) {
        this.transport = transport;
    }

    /** Returns the response to a GET request. */
    Item get(AdminRequest request) throws CommandFailedException, InterruptedException {
        return send("GET", request);
    }

    /** Sends a request and returns the response, which is a JSON object. */
    Item send(String method, AdminRequest request) throws CommandFailedException, InterruptedException {
        Response response;
        try {
            response = transport.send(method, request.pathAndQuery());
        } catch (IOException e) {
            throw CommandFailedException.unavailable(Problem.oneLine(transport.server() + ": " + e.getMessage()));
        }
        JsonNode json = parsed(response.body());
        if (response.status() < 300 && json.isObject()) {
            return new Item(json);
        }
        throw failure(response.status(), json.path("error").stringValue(""));
    }

    private static JsonNode parsed(String body) {
        try {
            return JsonMapper.shared().readTree(body);
        } catch (JacksonException e) {
            // Reported with the status code.
            return MissingNode.getInstance();
        }
    }

    private CommandFailedException failure(int status, String error) {
        if (!error.isEmpty() && status >= CLIENT_ERROR && status < SERVER_ERROR) {
            return CommandFailedException.of(Problem.oneLine(error));
        }
        if (status >= SERVER_ERROR) {
            return CommandFailedException.unavailable(transport.server() + ": "
                    + (error.isEmpty() ? "HTTP status " + status : Problem.oneLine(error))
                    + "; try again later");
        }
        return unexpected(status);
    }

    private CommandFailedException unexpected(int status) {
        return CommandFailedException.of(transport.server() + ": unexpected response (HTTP status " + status
                + "); is this the admin API of Sluice?");
    }

    /** Returns the items of a response. A server without lists is not the admin API, rather than one without items. */
    private List<Item> items(Item response) throws CommandFailedException {
        if (!response.json().path("items").isArray()) {
            throw unexpected(200);
        }
        return response.list("items");
    }

    /** Returns the items of a list, from as many pages as necessary. */
    Items list(AdminRequest request, int limit) throws CommandFailedException, InterruptedException {
        List<Item> items = new ArrayList<>();
        String next = null;
        for (int pages = 0; pages < MAX_PAGES; pages++) {
            int size = Math.min(PAGE_SIZE, limit - items.size());
            AdminRequest page = request.with("limit", String.valueOf(size));
            Item response = get(next == null ? page : page.with("after", next));
            items.addAll(items(response));
            String token = response.text("next");
            if (token.isEmpty() || token.equals(next)) {
                return new Items(items, false, next);
            }
            next = token;
            if (items.size() >= limit) {
                return new Items(items, true, next);
            }
        }
        throw CommandFailedException.of(transport.server() + ": the list has more than " + MAX_PAGES + " pages");
    }

    /** Returns one page of a list whose {@code next} token is the position of its last item. */
    Items page(AdminRequest request) throws CommandFailedException, InterruptedException {
        Item response = get(request);
        String next = response.text("next");
        return new Items(items(response), false, next.isEmpty() ? null : next);
    }

    @Override
    public void close() {
        transport.close();
    }
}
