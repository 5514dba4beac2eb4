package io.sluice.document;

import java.util.Map;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.node.ArrayNode;
import tools.jackson.databind.node.ObjectNode;

/**
 * YAML's merge key: {@code <<} adds the fields of another mapping, or of several, where the mapping itself has none of that
 * name. See <a href="https://yaml.org/type/merge.html">yaml.org/type/merge</a>.
 */
public final class MergeKeys {
    private static final String KEY = "<<";

    private MergeKeys() {}

    /** The same tree without merge keys. What is merged is shared, not copied; a value that cannot be merged stays. */
    public static JsonNode resolved(JsonNode node) {
        for (JsonNode child : node) {
            resolved(child);
        }
        if (node instanceof ObjectNode object && object.has(KEY) && isMergeable(object.get(KEY))) {
            JsonNode merged = object.remove(KEY);
            if (merged.isObject()) {
                add(object, merged);
            } else {
                merged.forEach(each -> add(object, each));
            }
        }
        return node;
    }

    private static boolean isMergeable(JsonNode value) {
        return value.isObject()
                || (value instanceof ArrayNode several && several.valueStream().allMatch(JsonNode::isObject));
    }

    private static void add(ObjectNode object, JsonNode merged) {
        for (Map.Entry<String, JsonNode> field : merged.properties()) {
            object.putIfAbsent(field.getKey(), field.getValue());
        }
    }
}
