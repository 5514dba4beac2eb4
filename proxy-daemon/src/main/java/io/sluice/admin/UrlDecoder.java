package io.sluice.admin;

import io.sluice.document.Problem;
import java.io.ByteArrayOutputStream;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import org.jspecify.annotations.Nullable;

/**
 * Strict decoder of paths and query strings. It decodes percent-encoding exactly once, and rejects invalid escapes,
 * invalid UTF-8 and control characters. {@link java.net.URLDecoder} replaces invalid UTF-8 instead of rejecting it.
 */
final class UrlDecoder {
    private UrlDecoder() {}

    /**
     * Decodes the segments of a path. The path {@code /} has none.
     *
     * @return the segments; null if the path does not begin with a slash, or a segment is empty, {@code .} or {@code
     *     ..}, contains a slash after decoding, or cannot be decoded
     */
    static @Nullable List<String> segments(String path) {
        if (path.equals("/")) {
            return List.of();
        }
        if (!path.startsWith("/")) {
            return null;
        }
        List<String> segments = new ArrayList<>();
        for (String raw : path.substring(1).split("/", -1)) {
            String segment = decode(raw, false);
            if (segment == null
                    || segment.isEmpty()
                    || segment.equals(".")
                    || segment.equals("..")
                    || segment.indexOf('/') >= 0) {
                return null;
            }
            segments.add(segment);
        }
        return segments;
    }

    /**
     * Decodes a query string of {@code name=value} pairs.
     *
     * @param allowed names of the parameters of the route
     * @throws ApiException with status 400 if a parameter is unknown, repeated or cannot be decoded
     */
    static Map<String, String> parameters(String query, Set<String> allowed) {
        Map<String, String> parameters = new HashMap<>();
        for (String pair : query.split("&")) {
            if (pair.isEmpty()) {
                continue;
            }
            int equals = pair.indexOf('=');
            String name = decode(equals < 0 ? pair : pair.substring(0, equals), true);
            if (name == null || !allowed.contains(name)) {
                throw new ApiException(
                        400,
                        "unknown parameter " + Problem.quoted(name == null ? pair : name)
                                + (allowed.isEmpty()
                                        ? "; this path has no parameters"
                                        : "; allowed: " + String.join(", ", new TreeSet<>(allowed))));
            }
            String value = equals < 0 ? "" : decode(pair.substring(equals + 1), true);
            if (value == null) {
                throw ApiRequest.invalid(
                        name, pair.substring(equals + 1), "percent-encoded UTF-8 without control characters");
            }
            if (parameters.put(name, value) != null) {
                throw new ApiException(400, "parameter '" + name + "' is repeated; specify it once");
            }
        }
        return parameters;
    }

    /** Decodes a string; returns null if it is invalid. */
    private static @Nullable String decode(String raw, boolean plusIsSpace) {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream(raw.length());
        for (int i = 0; i < raw.length(); i++) {
            char c = raw.charAt(i);
            int next = c == '+' && plusIsSpace ? ' ' : c;
            if (c == '%') {
                int high = i + 1 < raw.length() ? hexDigit(raw.charAt(i + 1)) : -1;
                int low = i + 2 < raw.length() ? hexDigit(raw.charAt(i + 2)) : -1;
                if (high < 0 || low < 0) {
                    return null;
                }
                next = high << 4 | low;
                i += 2;
            } else if (c <= ' ' || c > '~') {
                // Must be percent-encoded.
                return null;
            }
            bytes.write(next);
        }
        try {
            String decoded = StandardCharsets.UTF_8
                    .newDecoder()
                    .decode(ByteBuffer.wrap(bytes.toByteArray()))
                    .toString();
            return decoded.codePoints().anyMatch(Character::isISOControl) ? null : decoded;
        } catch (CharacterCodingException invalid) {
            return null;
        }
    }

    private static int hexDigit(char c) {
        return c < 128 ? Character.digit(c, 16) : -1;
    }
}
