package io.sluice.admin;

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import io.sluice.http.Response;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.URI;
import java.net.URLDecoder;
import java.nio.charset.StandardCharsets;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Semaphore;
import java.util.concurrent.atomic.AtomicLong;
import org.jspecify.annotations.Nullable;

/**
 * Serves the status page and an admin API with {@link FakeServices} below a base path. Responses have the same Content
 * Security Policy as those of the daemon.
 */
final class FakeAdminApi implements AutoCloseable {
    private static final String POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
            + "img-src 'self' data:; frame-ancestors 'none'";

    private static final String API = "/api/v1/";

    private final HttpServer server;
    private final String basePath;
    private final Map<String, Response> page = StatusPage.responses();
    private final FakeServices services = new FakeServices();
    private final AtomicLong requests = new AtomicLong();
    /** Held while requests must wait. */
    private final Semaphore running = new Semaphore(1);

    private volatile int errorStatus;

    /**
     * Starts the server.
     *
     * @param basePath path prefix that ends in a slash
     */
    FakeAdminApi(String basePath) throws IOException {
        this.basePath = basePath;
        server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
        server.createContext(basePath, this::handle);
        server.start();
    }

    URI base() {
        return URI.create("http://127.0.0.1:" + server.getAddress().getPort() + basePath);
    }

    FakeServices services() {
        return services;
    }

    /** Lets every request of the API fail with a status, or succeed again with 0. */
    void failWith(int status) {
        errorStatus = status;
    }

    /** Lets requests wait until {@link #resume}. */
    void pause() {
        running.acquireUninterruptibly();
    }

    void resume() {
        running.release();
    }

    /** The number of API requests so far. */
    long requests() {
        return requests.get();
    }

    @Override
    public void close() {
        server.stop(0);
    }

    private void handle(HttpExchange exchange) throws IOException {
        try (exchange) {
            String path = exchange.getRequestURI().getRawPath().substring(basePath.length() - 1);
            Response response = page.get(path);
            if (response == null) {
                response = api(path, parameters(exchange.getRequestURI().getRawQuery()));
            }
            exchange.getResponseHeaders().set("Content-Type", response.contentType());
            exchange.getResponseHeaders().set("Content-Security-Policy", POLICY);
            exchange.getResponseHeaders().set("X-Content-Type-Options", "nosniff");
            byte[] body = response.text().getBytes(StandardCharsets.UTF_8);
            exchange.sendResponseHeaders(response.status(), body.length);
            exchange.getResponseBody().write(body);
        }
    }

    private static Map<String, String> parameters(@Nullable String query) {
        Map<String, String> parameters = new LinkedHashMap<>();
        for (String each : query == null ? new String[0] : query.split("&")) {
            String[] parts = each.split("=", 2);
            parameters.put(parts[0], URLDecoder.decode(parts[1], StandardCharsets.UTF_8));
        }
        return parameters;
    }

    private Response api(String path, Map<String, String> parameters) {
        if (!path.startsWith(API)) {
            return error(404, "not found");
        }
        long n = requests.incrementAndGet();
        running.acquireUninterruptibly();
        running.release();
        if (errorStatus != 0) {
            return error(errorStatus, "too many requests are waiting; retry after 1 s");
        }
        String[] segments = path.substring(API.length()).split("/");
        if (segments.length == 3 && segments[0].equals("services")) {
            String service = URLDecoder.decode(segments[1] + "/" + segments[2], StandardCharsets.UTF_8);
            String details = services.details(service, n);
            return details.isEmpty() ? error(404, "no Service " + service) : Response.json(200, details);
        }
        return switch (segments[0]) {
            case "status" -> Response.json(200, services.status(n));
            case "services" -> list(services.serviceItems(parameters, n), parameters);
            case "endpoints" -> list(services.endpointItems(parameters, n), parameters);
            case "connections" -> list(services.connectionItems(parameters, n), parameters);
            case "flows" -> list(List.of(), parameters);
            case "events" -> Response.json(200, services.eventList(parameters));
            default -> error(404, "not found");
        };
    }

    private static Response error(int status, String message) {
        return Response.json(status, "{\"error\": \"" + message + "\"}");
    }

    /** Returns the items from the index {@code after} on, at most {@code limit}. */
    private static Response list(List<String> items, Map<String, String> parameters) {
        int from = Integer.parseInt(parameters.getOrDefault("after", "0"));
        int to = Math.min(items.size(), from + Integer.parseInt(parameters.getOrDefault("limit", "500")));
        String next = to < items.size() ? "\"" + to + "\"" : "null";
        return Response.json(
                200, "{\"items\": [" + String.join(",", items.subList(from, to)) + "], \"next\": " + next + "}");
    }
}
