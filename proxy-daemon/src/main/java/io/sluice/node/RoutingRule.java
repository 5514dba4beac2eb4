package io.sluice.node;

import java.util.ArrayList;
import java.util.List;
import java.util.stream.Collectors;
import tools.jackson.databind.JsonNode;

/**
 * A routing rule, as {@code ip rule} lists it.
 *
 * @param mark compared with the packet mark; 0 if the rule does not match on it
 * @param mask the bits that are compared; 0 if the rule compares all of them or does not match on the mark
 * @param table as a number; empty if the rule does not look up a table
 * @param text all attributes, for messages
 */
record RoutingRule(int priority, long mark, long mask, String table, String text) {
    /** @param listed the output of {@code ip -j -N rule show} */
    static List<RoutingRule> of(JsonNode listed) {
        List<RoutingRule> rules = new ArrayList<>();
        for (JsonNode rule : listed) {
            rules.add(new RoutingRule(
                    rule.path("priority").asInt(0),
                    Long.decode(rule.path("fwmark").asString("0")),
                    Long.decode(rule.path("fwmask").asString("0")),
                    rule.path("table").asString(""),
                    text(rule)));
        }
        return rules;
    }

    private static String text(JsonNode rule) {
        return rule.path("priority").asString("0") + ": "
                + rule.properties().stream()
                        .filter(each -> !each.getKey().equals("priority"))
                        .map(each -> each.getKey() + " " + each.getValue().asString(""))
                        .collect(Collectors.joining(" "));
    }

    boolean matchesMark() {
        return mark != 0 || mask != 0;
    }

    /** Whether a match depends on the bit. A rule that compares the whole mark counts only if the bit is set in its mark. */
    boolean dependsOn(long bit) {
        return (mark & bit) != 0 || (mask & bit) != 0;
    }

    boolean matchesOnly(long bit) {
        return mark == bit && mask == bit;
    }
}
