package io.sluice.document;

import java.util.Map;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.node.ArrayNode;
import tools.jackson.databind.node.ObjectNode;

/**
 * Resolves YAML merge keys: {@code <<} adds the fields of one or more other mappings, except those that the mapping
 * itself contains. See <a href="https://yaml.org/type/merge.html">yaml.org/type/merge</a>.
 */
public final class MergeKeys {
    private static final String KEY = "<<";

    private MergeKeys() {}

    /**
     * Resolves all merge keys in a tree. Modifies the tree and returns it. Merged values are shared, not copied. A
     * merge key whose value cannot be merged is kept.
     */
    public static JsonNode resolve(JsonNode node) {
        for (JsonNode child : node) {
            resolve(child);
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
