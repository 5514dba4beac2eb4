package io.sluice.config;

import io.sluice.document.Problem;
import io.sluice.text.DurationFormat;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Arrays;
import java.util.Optional;
import java.util.function.Function;
import java.util.regex.Pattern;

/**
 * The type of a setting's value and its parser.
 *
 * @param shape YAML type of the value in a configuration file
 * @param allowed description of valid values for error messages, such as "a whole number from 1 to 64"
 * @param parser parser; for an invalid string, returns empty or throws an IllegalArgumentException with the reason
 */
record ValueType<T>(Shape shape, String allowed, Function<String, Optional<T>> parser) {
    enum Shape {
        STRING,
        BOOLEAN,
        NUMBER,
        /** A string with a number and a unit, such as {@code 30s}. */
        DURATION
    }

    static final ValueType<Boolean> BOOLEAN = new ValueType<>(
            Shape.BOOLEAN,
            "true or false",
            text -> text.equals("true") || text.equals("false") ? Optional.of(text.equals("true")) : Optional.empty());

    static <T> ValueType<T> of(String allowed, Function<String, Optional<T>> parser) {
        return new ValueType<>(Shape.STRING, allowed, parser);
    }

    static ValueType<String> matching(String allowed, Pattern pattern) {
        return of(allowed, text -> pattern.matcher(text).matches() ? Optional.of(text) : Optional.empty());
    }

    static ValueType<Path> path(String allowed) {
        return of(allowed, text -> isPath(text) ? Optional.of(Path.of(text)) : Optional.empty());
    }

    static ValueType<Path> absolutePath(String noun) {
        return of(
                "the absolute path of a " + noun,
                text -> isPath(text) && text.startsWith("/") ? Optional.of(Path.of(text)) : Optional.empty());
    }

    /** Whether a string can be a path. The kernel rejects paths of 4096 bytes or more. */
    static boolean isPath(String text) {
        return !text.isBlank() && text.length() < 4096 && text.indexOf('\0') < 0;
    }

    static ValueType<String> choice(String... choices) {
        String last = choices[choices.length - 1];
        String others = String.join(", ", Arrays.copyOf(choices, choices.length - 1));
        return of(
                others + " or " + last,
                text -> Arrays.asList(choices).contains(text) ? Optional.of(text) : Optional.empty());
    }

    static ValueType<Integer> whole(int min, int max) {
        return new ValueType<>(
                Shape.NUMBER, "a whole number from " + min + " to " + max, text -> number(text, min, max));
    }

    static Optional<Integer> number(String text, int min, int max) {
        if (text.isEmpty() || text.length() > 9 || !text.chars().allMatch(c -> c >= '0' && c <= '9')) {
            return Optional.empty();
        }
        int value = Integer.parseInt(text);
        return value < min || value > max ? Optional.empty() : Optional.of(value);
    }

    static ValueType<Duration> duration(Duration min, Duration max) {
        return duration("a duration such as 500ms, 30s, 5m or 1h, from ", min, max);
    }

    static ValueType<Duration> wholeSeconds(Duration min, Duration max) {
        return duration("a duration such as 30s, 5m or 1h, from ", min, max);
    }

    private static ValueType<Duration> duration(String example, Duration min, Duration max) {
        String allowed = example + DurationFormat.format(min) + " to " + DurationFormat.format(max);
        return new ValueType<>(
                Shape.DURATION,
                allowed,
                text -> DurationFormat.parse(text)
                        .filter(value -> value.compareTo(min) >= 0 && value.compareTo(max) <= 0));
    }

    /**
     * Parses a string.
     *
     * @throws IllegalArgumentException if the string is invalid, with a message that describes valid values
     */
    T parse(String text) {
        return parser.apply(text)
                .orElseThrow(
                        () -> new IllegalArgumentException(Problem.quoted(text) + " is invalid; must be " + allowed));
    }
}
