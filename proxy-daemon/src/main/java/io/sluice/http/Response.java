package io.sluice.http;

import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.Map;

/** Status, headers and body of a response. Immutable; may be sent to any number of clients. */
public final class Response {
    private final int status;
    private final String contentType;
    private final Map<String, String> headers;
    private final byte[] body;

    /**
     * Creates a response.
     *
     * @param headers headers other than Content-Type, Content-Length, Date and those that control the connection
     * @param body content, which must not be modified afterwards
     */
    public Response(int status, String contentType, Map<String, String> headers, byte[] body) {
        this.status = status;
        this.contentType = contentType;
        this.headers = Map.copyOf(headers);
        this.body = body;
    }

    /** Creates a plain text response. */
    public static Response text(int status, String text) {
        return new Response(status, "text/plain; charset=utf-8", Map.of(), text.getBytes(StandardCharsets.UTF_8));
    }

    /** Creates a JSON response. */
    public static Response json(int status, String json) {
        return new Response(status, "application/json", Map.of(), json.getBytes(StandardCharsets.UTF_8));
    }

    /** Returns this response with additional headers, except those that it already has. */
    public Response withHeaders(Map<String, String> additional) {
        Map<String, String> all = new HashMap<>(additional);
        all.putAll(headers);
        return new Response(status, contentType, all, body);
    }

    /** Returns the status code. */
    public int status() {
        return status;
    }

    /** Returns the body as a string. */
    public String text() {
        return new String(body, StandardCharsets.UTF_8);
    }

    /** Returns the value of the Content-Type header. */
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
