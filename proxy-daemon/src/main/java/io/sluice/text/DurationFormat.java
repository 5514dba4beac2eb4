package io.sluice.text;

import java.time.Duration;
import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * Parses and formats durations in settings and annotations, such as {@code 500ms}, {@code 1.5s}, {@code 5m} or {@code
 * 1h}. The shortest unit is a millisecond.
 */
public final class DurationFormat {
    private static final int NANOS_PER_MILLI = 1_000_000;
    private static final Pattern DURATION = Pattern.compile("(\\d{1,9})(?:\\.(\\d{1,3}))?(ms|s|m|h)");

    private DurationFormat() {}

    /** Parses a duration; empty if the string is not a number with a unit, or a fraction of a millisecond. */
    public static Optional<Duration> parse(String text) {
        Matcher matcher = DURATION.matcher(text);
        if (!matcher.matches()) {
            return Optional.empty();
        }
        Duration unit = switch (matcher.group(3)) {
            case "ms" -> Duration.ofMillis(1);
            case "s" -> Duration.ofSeconds(1);
            case "m" -> Duration.ofMinutes(1);
            default -> Duration.ofHours(1);
        };
        Duration whole = unit.multipliedBy(Long.parseLong(matcher.group(1)));
        String fraction = matcher.group(2);
        Duration time = fraction == null
                ? whole
                : whole.plus(
                        unit.multipliedBy(Long.parseLong(fraction)).dividedBy((long) Math.pow(10, fraction.length())));
        return Optional.of(time).filter(each -> each.toNanosPart() % NANOS_PER_MILLI == 0);
    }

    /** Formats a duration in the largest unit in which it is a whole number. */
    public static String format(Duration time) {
        long millis = time.toMillis();
        if (millis % 1000 != 0) {
            return millis + "ms";
        }
        long seconds = millis / 1000;
        if (seconds == 0 || seconds % 60 != 0) {
            return seconds + "s";
        }
        return seconds % 3600 == 0 ? seconds / 3600 + "h" : seconds / 60 + "m";
    }
}
