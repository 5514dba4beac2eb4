package io.sluice.config;

import io.sluice.document.Problem;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Arrays;
import java.util.Optional;
import java.util.function.Function;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * What the text of a setting stands for.
 *
 * @param shape how the value is written in a configuration file
 * @param allowed what may be given, as on "give a whole number, 1 to 64"
 * @param parser empty if the text is not allowed; may throw an IllegalArgumentException that says why
 */
record ValueType<T>(Shape shape, String allowed, Function<String, Optional<T>> parser) {
    enum Shape {
        TEXT,
        BOOLEAN,
        NUMBER,
        /** A text with a unit. */
        DURATION
    }

    static final ValueType<Boolean> BOOLEAN = new ValueType<>(
            Shape.BOOLEAN,
            "true or false",
            text -> text.equals("true") || text.equals("false") ? Optional.of(text.equals("true")) : Optional.empty());

    private static final Pattern DURATION = Pattern.compile("(\\d{1,9})(ms|s|m|h)");

    static <T> ValueType<T> of(String allowed, Function<String, Optional<T>> parser) {
        return new ValueType<>(Shape.TEXT, allowed, parser);
    }

    static ValueType<String> matching(String allowed, Pattern pattern) {
        return of(allowed, text -> pattern.matcher(text).matches() ? Optional.of(text) : Optional.empty());
    }

    static ValueType<Path> path(String allowed) {
        return of(allowed, text -> isPath(text) ? Optional.of(Path.of(text)) : Optional.empty());
    }

    /** Longer ones the kernel refuses. */
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

    static ValueType<Integer> whole(int least, int most) {
        return new ValueType<>(
                Shape.NUMBER, "a whole number, " + least + " to " + most, text -> number(text, least, most));
    }

    static Optional<Integer> number(String text, int least, int most) {
        if (text.isEmpty() || text.length() > 9 || !text.chars().allMatch(c -> c >= '0' && c <= '9')) {
            return Optional.empty();
        }
        int value = Integer.parseInt(text);
        return value < least || value > most ? Optional.empty() : Optional.of(value);
    }

    static ValueType<Duration> duration(Duration least, Duration most) {
        return duration("a time such as 500ms, 30s, 5m or 1h, ", least, most);
    }

    static ValueType<Duration> wholeSeconds(Duration least, Duration most) {
        return duration("a time such as 30s, 5m or 1h, ", least, most);
    }

    private static ValueType<Duration> duration(String example, Duration least, Duration most) {
        String allowed = example + text(least) + " to " + text(most);
        return new ValueType<>(
                Shape.DURATION,
                allowed,
                text -> parsed(text).filter(value -> value.compareTo(least) >= 0 && value.compareTo(most) <= 0));
    }

    private static Optional<Duration> parsed(String text) {
        Matcher matcher = DURATION.matcher(text);
        if (!matcher.matches()) {
            return Optional.empty();
        }
        long amount = Long.parseLong(matcher.group(1));
        return Optional.of(
                switch (matcher.group(2)) {
                    case "ms" -> Duration.ofMillis(amount);
                    case "s" -> Duration.ofSeconds(amount);
                    case "m" -> Duration.ofMinutes(amount);
                    default -> Duration.ofHours(amount);
                });
    }

    private static String text(Duration time) {
        if (time.toHours() > 0) {
            return time.toHours() + "h";
        }
        return time.toMillis() % 1000 == 0 ? time.toSeconds() + "s" : time.toMillis() + "ms";
    }

    /**
     * The value that a text stands for.
     *
     * @throws IllegalArgumentException saying what is allowed
     */
    T parse(String text) {
        return parser.apply(text)
                .orElseThrow(
                        () -> new IllegalArgumentException(Problem.quoted(text) + " is not allowed; give " + allowed));
    }
}
