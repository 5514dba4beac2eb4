package io.sluice.rules;

import io.sluice.document.Problem;
import io.sluice.model.Cidr;
import io.sluice.model.Family;
import io.sluice.model.IpAddress;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/** Parses and formats the lists of ranges in a traffic policy. */
final class RangeList {
    /** Maximum number of ranges in a list. */
    static final int MAX_RANGES = 1_000;

    /** Description of the valid values. */
    static final String ALLOWED =
            "ranges such as 10.0.0.0/8 or fd00::/8, separated by commas, at most " + MAX_RANGES + ", or none";

    /** Value of an empty list. */
    private static final String NONE = "none";

    /** Text for ranges that contain no client. */
    static final String NO_CLIENT = "no client";

    private RangeList() {}

    /**
     * Parses a list.
     *
     * @throws IllegalArgumentException if a range is invalid or there are too many, with a message that says which
     */
    static List<Cidr> parse(String text) {
        if (text.equals(NONE)) {
            return List.of();
        }
        List<String> parts = parts(text);
        if (parts.size() > MAX_RANGES) {
            throw new IllegalArgumentException("has " + parts.size() + " ranges; must be " + ALLOWED);
        }
        List<Cidr> ranges = new ArrayList<>(parts.size());
        for (String part : parts) {
            Cidr range = Cidr.parse(part);
            if (range == null) {
                String quoted = Problem.quoted(part);
                throw new IllegalArgumentException(
                        (parts.size() == 1 ? quoted : "range " + (ranges.size() + 1) + ", " + quoted + ",")
                                + " is invalid; must be " + ALLOWED);
            }
            ranges.add(range);
        }
        return ranges;
    }

    private static List<String> parts(String text) {
        return Arrays.stream(text.split(",", -1)).map(String::strip).toList();
    }

    /** The valid ranges in a list of ranges, at most {@link #MAX_RANGES}. */
    static List<Cidr> valid(String text) {
        List<Cidr> ranges = new ArrayList<>();
        for (String part : parts(text)) {
            Cidr range = Cidr.parse(part);
            if (range != null && ranges.size() < MAX_RANGES) {
                ranges.add(range);
            }
        }
        return ranges;
    }

    /** Formats a list such that {@link #parse} accepts it. */
    static String format(List<Cidr> ranges) {
        return ranges.isEmpty() ? NONE : ranges.stream().map(Cidr::toString).collect(Collectors.joining(", "));
    }

    /** Ranges that contain no client, because an empty list allows all clients. */
    static List<Cidr> noClient(Family family) {
        return List.of(new Cidr(IpAddress.unspecified(family), family.bits()));
    }

    /** Ranges of both families that contain no client. */
    static List<Cidr> noClient() {
        return Stream.of(Family.values())
                .flatMap(family -> noClient(family).stream())
                .toList();
    }

    /** Formats ranges of clients, which must not be empty: without those that contain no client. */
    static String text(List<Cidr> ranges) {
        List<Cidr> noClient = noClient();
        String text = ranges.stream()
                .filter(range -> !noClient.contains(range))
                .map(Cidr::toString)
                .collect(Collectors.joining(", "));
        return text.isEmpty() ? NO_CLIENT : text;
    }
}
