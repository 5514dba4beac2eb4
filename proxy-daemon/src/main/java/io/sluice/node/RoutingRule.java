package io.sluice.node;

import java.util.ArrayList;
import java.util.List;
import java.util.stream.Collectors;
import tools.jackson.databind.JsonNode;

/**
 * A routing rule, as {@code ip rule} lists it.
 *
 * @param mark value compared with the packet mark; 0 if the rule does not match on the mark
 * @param mask bits of the mark that are compared; 0 if the rule compares all bits or does not match on the mark
 * @param table number of the table that the rule looks up; empty if it looks up no table
 * @param text all attributes, formatted for messages
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

    /**
     * Returns whether the rule matches on the given mark bit. A rule without a mask does so only if the bit is set in its
     * mark.
     */
    boolean dependsOn(long bit) {
        return (mark & bit) != 0 || (mask & bit) != 0;
    }

    boolean matchesOnly(long bit) {
        return mark == bit && mask == bit;
    }
}
