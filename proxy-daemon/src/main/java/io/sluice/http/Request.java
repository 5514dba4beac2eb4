package io.sluice.http;

import java.util.function.UnaryOperator;

/**
 * A completely received request.
 *
 * @param path path as sent, percent-encoded
 * @param query the part after the question mark, or an empty string
 * @param headers function from the name of a header, in any case, to its value; see {@link #header}
 * @param body the body as UTF-8; empty if there is none or it is too long
 * @param bodyTooLong whether the body is longer than {@link #MAX_BODY_BYTES}
 */
public record Request(
        String method, String path, String query, UnaryOperator<String> headers, String body, boolean bodyTooLong) {
    /** Maximum size of a body that is passed to a router. */
    public static final int MAX_BODY_BYTES = 4 * 1024;

    private static final String SCHEME = "http://";
    private static final String HOST = "host";

    /**
     * Creates a request by parsing its target. In absolute form, the host in the target replaces the header {@code
     * Host} (RFC 9112, section 3.2.2).
     *
     * @param requestTarget in origin or absolute form; a server must accept both
     */
    static Request of(
            String method, String requestTarget, UnaryOperator<String> headers, String body, boolean bodyTooLong) {
        String target = requestTarget;
        UnaryOperator<String> effective = headers;
        if (target.regionMatches(true, 0, SCHEME, 0, SCHEME.length())) {
            int end = endOfHost(target);
            String host = target.substring(SCHEME.length(), end);
            effective = name -> name.equalsIgnoreCase(HOST) ? host : headers.apply(name);
            target = target.startsWith("/", end) ? target.substring(end) : "/" + target.substring(end);
        }
        int mark = target.indexOf('?');
        String path = mark < 0 ? target : target.substring(0, mark);
        String query = mark < 0 ? "" : target.substring(mark + 1);
        return new Request(method, path, query, effective, body, bodyTooLong);
    }

    private static int endOfHost(String target) {
        int end = SCHEME.length();
        while (end < target.length() && target.charAt(end) != '/' && target.charAt(end) != '?') {
            end++;
        }
        return end;
    }

    /** Returns the value of a header: several values joined by {@code ", "}, or an empty string if there is none. */
    public String header(String name) {
        return headers.apply(name);
    }
}
