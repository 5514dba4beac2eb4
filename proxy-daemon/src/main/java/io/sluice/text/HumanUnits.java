package io.sluice.text;

import java.util.Locale;

/** Formats counts, bytes and durations for people: three digits or fewer and a unit, the same in every locale. */
public final class HumanUnits {
    private static final String[] COUNTS = {"", "k", "M", "G", "T", "P", "E"};
    private static final String[] BYTES = {" B", " kB", " MB", " GB", " TB", " PB", " EB"};
    private static final long MINUTE = 60;
    private static final long HOUR = 60 * MINUTE;
    private static final long DAY = 24 * HOUR;

    private HumanUnits() {}

    /** Returns a count such as {@code 999}, {@code 1.2k} or {@code 31M}. */
    public static String count(double count) {
        return scaled(count, COUNTS);
    }

    /** Returns a number of bytes with a decimal unit, such as {@code 820 B} or {@code 3.4 MB}. */
    public static String bytes(double bytes) {
        return scaled(bytes, BYTES);
    }

    /** Returns a count per second: like {@link #count}, but with one decimal place below ten. */
    public static String rate(double perSecond) {
        return perSecond > 0 && perSecond < 9.95 ? oneDecimal(perSecond) : count(perSecond);
    }

    /** Returns a duration in its largest unit, rounded down: {@code 12s}, {@code 3m}, {@code 5h} or {@code 4d}. */
    public static String duration(double seconds) {
        long whole = (long) Math.max(0, seconds);
        if (whole < MINUTE) {
            return whole + "s";
        }
        if (whole < HOUR) {
            return whole / MINUTE + "m";
        }
        return whole < 2 * DAY ? whole / HOUR + "h" : whole / DAY + "d";
    }

    private static String scaled(double value, String[] units) {
        int unit = 0;
        double scaled = value;
        // From here on, the value would be rounded to four digits.
        while (scaled >= 999.5 && unit < units.length - 1) {
            scaled /= 1000;
            unit++;
        }
        return (unit > 0 && scaled < 9.95 ? oneDecimal(scaled) : String.valueOf(Math.round(scaled))) + units[unit];
    }

    private static String oneDecimal(double value) {
        return String.format(Locale.ROOT, "%.1f", value);
    }
}
