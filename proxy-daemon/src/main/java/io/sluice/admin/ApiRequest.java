package io.sluice.admin;

import io.sluice.document.Problem;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/**
 * A request to a route: decoded path and query parameters, and the body. Accessors of query parameters throw an {@link
 * ApiException} with status 400 if the value is invalid; the message contains the allowed values.
 */
public final class ApiRequest {
    private static final Pattern DURATION = Pattern.compile("(\\d{1,9})(ms|s|m|h)");
    private static final Pattern NUMBER = Pattern.compile("\\d{1,9}");

    private final Map<String, String> path;
    private final Map<String, String> query;
    private final String body;

    /**
     * Creates a request.
     *
     * @param path values of the path parameters
     * @param query values of the query parameters that the request contains
     */
    ApiRequest(Map<String, String> path, Map<String, String> query, String body) {
        this.path = Map.copyOf(path);
        this.query = Map.copyOf(query);
        this.body = body;
    }

    /** Returns the value of a path parameter of the route; never empty. */
    public String path(String name) {
        return Objects.requireNonNull(path.get(name), name);
    }

    /** Returns the value of a query parameter; null if the request does not contain it. */
    public @Nullable String text(String name) {
        return query.get(name);
    }

    /** Returns a whole number; {@code absent} if the request does not contain the parameter. */
    public int number(String name, int absent, int min, int max) {
        String value = query.get(name);
        if (value == null) {
            return absent;
        }
        int number = NUMBER.matcher(value).matches() ? Integer.parseInt(value) : -1;
        if (number < min || number > max) {
            throw invalid(name, value, "a whole number from " + min + " to " + max);
        }
        return number;
    }

    /** Returns whether the parameter is {@code true}; it is false if the request does not contain it. */
    public boolean flag(String name) {
        return "true".equals(choice(name, List.of("true", "false")));
    }

    /** Returns one of the allowed values; null if the request does not contain the parameter. */
    public @Nullable String choice(String name, List<String> allowed) {
        String value = query.get(name);
        if (value != null && !allowed.contains(value)) {
            throw invalid(name, value, "one of " + String.join(", ", allowed));
        }
        return value;
    }

    /** Returns a duration such as {@code 10m}; null if the request does not contain the parameter. */
    public @Nullable Duration duration(String name, Duration min, Duration max) {
        String value = query.get(name);
        if (value == null) {
            return null;
        }
        Matcher matcher = DURATION.matcher(value);
        Duration duration = matcher.matches() ? duration(Long.parseLong(matcher.group(1)), matcher.group(2)) : null;
        if (duration == null || duration.compareTo(min) < 0 || duration.compareTo(max) > 0) {
            throw invalid(
                    name,
                    value,
                    "a duration such as 30s, 5m or 1h, from " + min.toSeconds() + "s to " + max.toHours() + "h");
        }
        return duration;
    }

    private static Duration duration(long amount, String unit) {
        return switch (unit) {
            case "ms" -> Duration.ofMillis(amount);
            case "s" -> Duration.ofSeconds(amount);
            case "m" -> Duration.ofMinutes(amount);
            default -> Duration.ofHours(amount);
        };
    }

    /** Returns an exception for an invalid value of a query parameter. */
    public static ApiException invalid(String name, String value, String allowed) {
        return new ApiException(400, name + ": " + Problem.quoted(value) + " is invalid; must be " + allowed);
    }

    /** Returns the body as a string; empty if there is none. */
    public String body() {
        return body;
    }
}
