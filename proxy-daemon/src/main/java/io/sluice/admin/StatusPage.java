package io.sluice.admin;

import io.sluice.http.Response;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.stream.Collectors;

/**
 * The files of the status page, which shows the admin API in a browser. They contain no data and never change while the
 * process runs.
 */
public final class StatusPage {
    /** All files in the directory {@code page}; the class path has no function that lists a directory. */
    private static final List<String> FILES = List.of(
            "index.html",
            "style.css",
            "api.js",
            "app.js",
            "connection-table.js",
            "connections.js",
            "dom.js",
            "event-table.js",
            "events.js",
            "filters.js",
            "format.js",
            "header.js",
            "keyboard.js",
            "live.js",
            "overview.js",
            "page.js",
            "parts.js",
            "rates.js",
            "render.js",
            "router.js",
            "service.js",
            "services.js",
            "states.js",
            "table.js",
            "theme.js",
            "update.js",
            "url.js");

    private StatusPage() {}

    /**
     * Loads the files.
     *
     * @return the responses by path
     */
    public static Map<String, Response> responses() {
        return FILES.stream()
                .collect(Collectors.toUnmodifiableMap(
                        name -> name.equals("index.html") ? "/" : "/" + name, StatusPage::response));
    }

    /** No caching without a request: after an update of Sluice, the browser must not combine old and new files. */
    private static Response response(String name) {
        String type = switch (name.substring(name.lastIndexOf('.') + 1)) {
            case "html" -> "text/html";
            case "js" -> "text/javascript";
            default -> "text/css";
        };
        return new Response(200, type + "; charset=utf-8", Map.of("Cache-Control", "no-cache"), load("page/" + name));
    }

    private static byte[] load(String name) {
        try (InputStream in = Objects.requireNonNull(StatusPage.class.getResourceAsStream(name), name)) {
            return in.readAllBytes();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }
}
