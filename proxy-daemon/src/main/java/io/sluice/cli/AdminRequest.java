package io.sluice.cli;

import java.net.URLEncoder;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;

/**
 * A request to the admin API.
 *
 * @param path percent-encoded path
 * @param parameters query parameters, not encoded, in order
 */
record AdminRequest(String path, Map<String, String> parameters) {
    private static final String ROOT = "/api/v1/";

    /** Creates a request without parameters; the segments of the path are not encoded. */
    static AdminRequest of(String... segments) {
        return new AdminRequest(
                ROOT + Arrays.stream(segments).map(AdminRequest::encoded).collect(Collectors.joining("/")), Map.of());
    }

    /** Returns a copy with another parameter, or this request if the value is null. */
    AdminRequest with(String name, @Nullable String value) {
        if (value == null) {
            return this;
        }
        Map<String, String> more = new LinkedHashMap<>(parameters);
        more.put(name, value);
        return new AdminRequest(path, more);
    }

    /** The path and the encoded query. */
    String pathAndQuery() {
        List<String> query = new ArrayList<>();
        parameters.forEach((name, value) -> query.add(name + "=" + encoded(value)));
        return query.isEmpty() ? path : path + "?" + String.join("&", query);
    }

    /** Encodes a path segment or a parameter; unlike in a form, a space becomes %20. */
    private static String encoded(String text) {
        return URLEncoder.encode(text, StandardCharsets.UTF_8).replace("+", "%20");
    }
}
