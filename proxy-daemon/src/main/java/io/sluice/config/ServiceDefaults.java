package io.sluice.config;

import io.sluice.document.FieldReader;
import io.sluice.rules.PolicyConflicts;
import io.sluice.rules.PolicyKey;
import io.sluice.rules.PolicyValues;
import io.sluice.text.Suggestion;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;

/** Reads and formats {@code serviceDefaults}: the traffic policy of Services whose annotations do not set it. */
final class ServiceDefaults {
    /** The key in the configuration file. */
    static final String KEY = "serviceDefaults";

    private ServiceDefaults() {}

    /** Reads the mapping. Reports unknown keys, invalid values and values that cannot be combined. */
    static PolicyValues read(FieldReader mapping) {
        PolicyValues values = PolicyValues.NONE;
        for (FieldReader field : mapping.object().fields()) {
            PolicyKey<?> key = keyOf(field.name());
            String text = key == null ? null : text(field);
            if (key == null) {
                field.error("is not a key of the traffic policy" + suggestion(field.name()));
            } else if (text == null) {
                field.invalid(key.allowed());
            } else {
                try {
                    values = values.withText(key, text);
                } catch (IllegalArgumentException e) {
                    field.error(String.valueOf(e.getMessage()));
                }
            }
        }
        PolicyConflicts.resolve(values, PolicyValues.NONE, PolicyKey::camelCase).conflicts().stream()
                .filter(PolicyConflicts.Conflict::isError)
                .forEach(conflict -> mapping.get(conflict.key().camelCase()).error(conflict.message()));
        return values;
    }

    /** The value as a string; null if it has another type. A list of strings is joined with commas. */
    private static @Nullable String text(FieldReader field) {
        if (field.isList()) {
            List<FieldReader> items = field.items();
            return items.stream().allMatch(FieldReader::isString)
                    ? items.isEmpty()
                            ? "none"
                            : items.stream().map(FieldReader::stringOrEmpty).collect(Collectors.joining(","))
                    : null;
        }
        if (field.isBoolean()) {
            // Tools that write YAML 1.1, such as Helm, turn 'off' into false.
            return field.scalar().equals("false") ? "off" : null;
        }
        return field.isString() || field.isWholeNumber() ? field.scalar() : null;
    }

    private static @Nullable PolicyKey<?> keyOf(String camelCase) {
        for (PolicyKey<?> key : PolicyKey.values()) {
            if (key.camelCase().equals(camelCase)) {
                return key;
            }
        }
        return null;
    }

    private static String suggestion(String name) {
        List<String> names =
                PolicyKey.values().stream().map(PolicyKey::camelCase).sorted().toList();
        return Suggestion.among(names, name) + names.stream().collect(Collectors.joining(", ", " (allowed: ", ")"));
    }

    /** Returns the keys that are set, as in the configuration file. */
    static Map<String, String> texts(PolicyValues values) {
        Map<String, String> texts = new LinkedHashMap<>();
        values.texts().forEach((key, text) -> texts.put(key.camelCase(), text));
        return texts;
    }
}
