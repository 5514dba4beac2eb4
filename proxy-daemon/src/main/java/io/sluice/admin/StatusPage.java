package io.sluice.admin;

import io.sluice.http.Response;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.util.Map;
import java.util.Objects;

/**
 * The files of the status page, which shows the admin API in a browser. They contain no data and never change while the
 * process runs.
 */
public final class StatusPage {
    private StatusPage() {}

    /**
     * Loads the files.
     *
     * @return the responses by path
     */
    public static Map<String, Response> responses() {
        return Map.of(
                "/", response("index.html", "text/html"),
                "/app.js", response("app.js", "text/javascript"),
                "/style.css", response("style.css", "text/css"));
    }

    /** No caching without a request: after an update of Sluice, the script must not be older than the API. */
    private static Response response(String name, String type) {
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
