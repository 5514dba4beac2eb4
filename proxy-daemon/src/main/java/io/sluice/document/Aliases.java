package io.sluice.document;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import tools.jackson.core.JsonParser;
import tools.jackson.core.JsonToken;
import tools.jackson.core.ObjectReadContext;
import tools.jackson.core.SerializableString;
import tools.jackson.core.TreeNode;
import tools.jackson.core.exc.StreamReadException;
import tools.jackson.core.sym.PropertyNameMatcher;
import tools.jackson.core.util.JsonParserDelegate;
import tools.jackson.databind.util.TokenBuffer;

/**
 * A YAML parser that expands aliases. Jackson's parser returns the name of an alias as a string instead.
 */
final class Aliases extends JsonParserDelegate {
    /** Maximum number of values to which all aliases expand; otherwise, a few lines of YAML could exhaust memory. */
    static final int MAX_EXPANDED = 100_000;

    /** Maximum number of recorded values. A value inside several nested anchors is recorded once for each anchor. */
    static final int MAX_RECORDED = 1_000_000;

    private final AnchorParser yaml;
    private final Map<String, TokenBuffer> anchored = new HashMap<>();
    private final List<Anchored> open = new ArrayList<>();
    private int depth;
    private int expanded;
    private int recorded;

    /** An anchored value that is still being read and recorded. */
    private record Anchored(String name, int depth, TokenBuffer tokens) {}

    Aliases(JsonParser yaml) {
        super(yaml);
        this.yaml = (AnchorParser) yaml;
    }

    @Override
    public @Nullable JsonToken nextToken() {
        JsonToken token;
        if (delegate == yaml) {
            token = yaml.nextToken();
            if (token == JsonToken.VALUE_STRING && yaml.isCurrentAlias()) {
                token = expand(yaml.getString());
            } else if (token != null) {
                anchor(token);
            }
        } else {
            token = delegate.nextToken();
            if (token == null) {
                delegate = yaml;
                return nextToken();
            }
        }
        if (token == null) {
            return null;
        }
        if (delegate != yaml && ++expanded > MAX_EXPANDED) {
            throw error("aliases expand to more than " + MAX_EXPANDED + " values");
        }
        record(token);
        return token;
    }

    private JsonToken expand(String name) {
        TokenBuffer tokens = anchored.get(name);
        if (tokens == null) {
            boolean inside = open.stream().anyMatch(each -> each.name().equals(name));
            throw error(
                    inside ? "*" + name + " is an alias inside the value it refers to" : "undefined alias *" + name);
        }
        delegate = tokens.asParser(objectReadContext());
        return delegate.nextToken();
    }

    private StreamReadException error(String message) {
        return new StreamReadException(this, message, yaml.currentTokenLocation());
    }

    private void anchor(JsonToken token) {
        String name = token.isStructEnd() ? null : yaml.anchor();
        if (name != null) {
            anchored.remove(name);
            open.add(new Anchored(name, depth, TokenBuffer.forBuffering(this, objectReadContext())));
        }
    }

    private void record(JsonToken token) {
        recorded += open.size();
        if (recorded > MAX_RECORDED) {
            throw error("nested anchors record more than " + MAX_RECORDED + " values");
        }
        for (Anchored each : open) {
            each.tokens().copyCurrentEvent(this);
        }
        depth += token.isStructStart() ? 1 : token.isStructEnd() ? -1 : 0;
        while (!open.isEmpty() && token != JsonToken.PROPERTY_NAME) {
            Anchored last = open.get(open.size() - 1);
            if (last.depth() != depth) {
                return;
            }
            open.remove(open.size() - 1);
            anchored.put(last.name(), last.tokens());
        }
    }

    @Override
    public ObjectReadContext objectReadContext() {
        return yaml.objectReadContext();
    }

    @Override
    @SuppressWarnings({"unchecked", "TypeParameterUnusedInFormals"}) // as Jackson declares it
    public <T extends TreeNode> T readValueAsTree() {
        return (T) objectReadContext().readTree(this);
    }

    @Override
    public @Nullable String nextName() {
        return nextToken() == JsonToken.PROPERTY_NAME ? currentName() : null;
    }

    @Override
    public boolean nextName(SerializableString name) {
        return name.getValue().equals(nextName());
    }

    @Override
    public int nextNameMatch(PropertyNameMatcher matcher) {
        String name = nextName();
        if (name != null) {
            return matcher.matchName(name);
        }
        return hasToken(JsonToken.END_OBJECT)
                ? PropertyNameMatcher.MATCH_END_OBJECT
                : PropertyNameMatcher.MATCH_ODD_TOKEN;
    }

    @Override
    public @Nullable JsonToken nextValue() {
        JsonToken token = nextToken();
        return token == JsonToken.PROPERTY_NAME ? nextToken() : token;
    }

    @Override
    public JsonParser skipChildren() {
        JsonToken first = currentToken();
        if (first != null && first.isStructStart()) {
            for (int outside = depth - 1; depth > outside; ) {
                if (nextToken() == null) {
                    break;
                }
            }
        }
        return this;
    }
}
