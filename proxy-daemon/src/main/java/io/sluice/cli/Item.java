package io.sluice.cli;

import io.sluice.document.Problem;
import io.sluice.text.HumanUnits;
import java.time.Duration;
import java.time.Instant;
import java.time.ZoneOffset;
import java.time.format.DateTimeFormatter;
import java.time.format.DateTimeParseException;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import tools.jackson.databind.JsonNode;

/**
 * An object in a response of the admin API. Absent fields are empty or zero, because the fields may differ between
 * versions. Strings have their control characters escaped, so that they can be printed to a terminal.
 */
record Item(JsonNode json) {
    private static final DateTimeFormatter SHORT_TIME =
            DateTimeFormatter.ofPattern("MM-dd HH:mm:ss", Locale.ROOT).withZone(ZoneOffset.UTC);

    /** The value of a field as one line; empty if it is absent or null. */
    String text(String field) {
        JsonNode value = json.path(field);
        return value.isNull() ? "" : Problem.oneLine(value.asString(""));
    }

    /** Like {@link #text}, but with a dash instead of an empty string, for a table. */
    String orDash(String field) {
        String text = text(field);
        return text.isEmpty() ? "-" : text;
    }

    long number(String field) {
        return (long) decimal(field);
    }

    double decimal(String field) {
        return json.path(field).asDouble(0);
    }

    boolean isTrue(String field) {
        return json.path(field).asBoolean(false);
    }

    /** Number in human units, for a table. */
    String count(String field) {
        return HumanUnits.count(decimal(field));
    }

    /** Number of bytes in human units, for a table. */
    String bytes(String field) {
        return json.path(field).isNumber() ? HumanUnits.bytes(decimal(field)) : "-";
    }

    /** Duration in human units; a dash if the field is absent. */
    String duration(String field) {
        return json.path(field).isNumber() ? HumanUnits.duration(decimal(field)) : "-";
    }

    /** The point in time in a field; null if it is absent. */
    @Nullable
    Instant time(String field) {
        try {
            return Instant.parse(json.path(field).asString(""));
        } catch (DateTimeParseException e) {
            // Absent, or of a newer version of the API.
            return null;
        }
    }

    /** The point in time in a field, to the second, for a table whose heading says UTC. */
    String shortTime(String field) {
        Instant time = time(field);
        return time == null ? orDash(field) : SHORT_TIME.format(time);
    }

    /** Time since the point in time in a field; a dash if it is absent. */
    String age(String field, Instant now) {
        Instant time = time(field);
        return time == null
                ? "-"
                : HumanUnits.duration(Duration.between(time, now).toMillis() / 1000.0);
    }

    /** The object in a field; without fields if it is absent. */
    Item object(String field) {
        return new Item(json.path(field));
    }

    /** The objects in a field. */
    List<Item> list(String field) {
        return json.path(field).valueStream().map(Item::new).toList();
    }

    /** The strings in a field. */
    List<String> strings(String field) {
        return json.path(field)
                .valueStream()
                .map(value -> Problem.oneLine(value.asString("")))
                .toList();
    }

    /** The strings of an object by name, in order. */
    Map<String, String> texts() {
        Map<String, String> texts = new LinkedHashMap<>();
        json.properties().forEach(entry -> {
            if (entry.getValue().isString()) {
                texts.put(Problem.oneLine(entry.getKey()), text(entry.getKey()));
            }
        });
        return texts;
    }

    /** The numbers of an object by name, in order. */
    Map<String, Long> numbers() {
        Map<String, Long> numbers = new LinkedHashMap<>();
        json.properties().forEach(entry -> {
            if (entry.getValue().isNumber()) {
                numbers.put(Problem.oneLine(entry.getKey()), entry.getValue().asLong());
            }
        });
        return numbers;
    }
}
