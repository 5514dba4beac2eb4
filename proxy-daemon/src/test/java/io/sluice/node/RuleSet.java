package io.sluice.node;

import static java.util.Objects.requireNonNull;

import io.sluice.model.Cidr;
import io.sluice.model.IpAddress;
import java.util.List;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/**
 * A set or map of the table in which rules look up keys.
 *
 * @param types the types of the parts of a key
 * @param valueType the type of values in a map; empty for a set
 * @param interval whether parts of a key may be address ranges
 * @param elements values by key, which rules may change
 */
record RuleSet(List<String> types, String valueType, boolean interval, Map<String, String> elements) {
    private static final Pattern TYPE = Pattern.compile("(type|typeof) ([^:;]+?)(?: : ([^;]+?))?;(.*)");

    static RuleSet of(FakeKernel.Table table, String name) {
        String declaration = requireNonNull(table.declarations().get(name), name);
        Matcher matcher = TYPE.matcher(declaration);
        if (!matcher.matches()) {
            throw new IllegalArgumentException("unknown declaration: " + declaration);
        }
        boolean byExpression = matcher.group(1).equals("typeof");
        String value = matcher.group(3);
        return new RuleSet(
                Stream.of(matcher.group(2).split(" \\. "))
                        .map(each -> byExpression ? Field.of(each).type() : each)
                        .toList(),
                value == null ? "" : byExpression ? Field.of(value).type() : value,
                matcher.group(4).contains("flags interval"),
                requireNonNull(table.sets().get(name)));
    }

    /** The value for a key, empty in a set; null if there is no element. */
    @Nullable
    String find(String key) {
        String exact = elements.get(key);
        if (exact != null || !interval) {
            return exact;
        }
        String[] parts = key.split(" \\. ");
        for (Map.Entry<String, String> element : elements.entrySet()) {
            if (contains(element.getKey().split(" \\. "), parts)) {
                return element.getValue();
            }
        }
        return null;
    }

    private static boolean contains(String[] element, String[] key) {
        for (int i = 0; i < key.length; i++) {
            Cidr range = Cidr.parse(element[i]);
            if (range == null
                    ? !element[i].equals(key[i])
                    : !range.contains(requireNonNull(IpAddress.parse(key[i]), key[i]))) {
                return false;
            }
        }
        return true;
    }
}
