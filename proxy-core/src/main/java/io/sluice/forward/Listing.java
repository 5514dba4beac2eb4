package io.sluice.forward;

import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * A part of a list of connections or flows.
 *
 * @param next position from which to continue; null at the end of the list
 */
public record Listing<T>(List<T> items, @Nullable Position next) {
    /** Position of a connection or flow: its loop, and its number in the order in which the loop opened it. */
    public record Position(int loop, long number) {
        private static final String SEPARATOR = "-";

        /** Parses the text form; returns null if the text is invalid. */
        public static @Nullable Position parse(String text) {
            int at = text.indexOf(SEPARATOR);
            try {
                return at < 0
                        ? null
                        : new Position(Integer.parseInt(text, 0, at, 10), Long.parseLong(text.substring(at + 1)));
            } catch (NumberFormatException e) {
                return null;
            }
        }

        @Override
        public String toString() {
            return loop + SEPARATOR + number;
        }
    }
}
