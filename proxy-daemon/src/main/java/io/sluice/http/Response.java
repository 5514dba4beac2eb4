package io.sluice.http;

import java.nio.charset.StandardCharsets;
import java.util.Map;

/** Status, headers and body of one response. Immutable; may be sent to any number of clients. */
public final class Response {
    private final int status;
    private final String contentType;
    private final Map<String, String> headers;
    private final byte[] body;

    /**
     * @param headers beside Content-Type, Content-Length, Date and those of the connection
     * @param body not to be changed afterwards
     */
    public Response(int status, String contentType, Map<String, String> headers, byte[] body) {
        this.status = status;
        this.contentType = contentType;
        this.headers = Map.copyOf(headers);
        this.body = body;
    }

    public static Response text(int status, String text) {
        return new Response(status, "text/plain; charset=utf-8", Map.of(), text.getBytes(StandardCharsets.UTF_8));
    }

    public static Response json(int status, String json) {
        return new Response(status, "application/json", Map.of(), json.getBytes(StandardCharsets.UTF_8));
    }

    public int status() {
        return status;
    }

    /** The body as a string. */
    public String text() {
        return new String(body, StandardCharsets.UTF_8);
    }

    public String contentType() {
        return contentType;
    }

    Map<String, String> headers() {
        return headers;
    }

    byte[] body() {
        return body;
    }
}
