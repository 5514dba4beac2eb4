package io.sluice.document;

import java.io.Reader;
import org.jspecify.annotations.Nullable;
import org.snakeyaml.engine.v2.api.LoadSettings;
import org.snakeyaml.engine.v2.common.Anchor;
import org.snakeyaml.engine.v2.events.NodeEvent;
import tools.jackson.core.JsonToken;
import tools.jackson.core.ObjectReadContext;
import tools.jackson.core.io.IOContext;
import tools.jackson.core.util.BufferRecycler;
import tools.jackson.dataformat.yaml.YAMLFactory;
import tools.jackson.dataformat.yaml.YAMLFactoryBuilder;
import tools.jackson.dataformat.yaml.YAMLParser;

/**
 * Jackson's YAML parser, extended to return anchors of scalars. Jackson itself returns only anchors of mappings and
 * sequences.
 */
final class AnchorParser extends YAMLParser {
    private AnchorParser(
            ObjectReadContext context,
            IOContext io,
            BufferRecycler recycler,
            int streamFeatures,
            int formatFeatures,
            LoadSettings settings,
            Reader text) {
        super(context, io, recycler, streamFeatures, formatFeatures, settings, text);
    }

    /** The anchor of the current value; null if it has none. */
    @Nullable
    String anchor() {
        boolean value = currentToken() != JsonToken.PROPERTY_NAME && !isCurrentAlias();
        return value && _lastEvent instanceof NodeEvent node
                ? node.getAnchor().map(Anchor::getValue).orElse(null)
                : null;
    }

    /** Factory that creates parsers of this class. */
    static final class Factory extends YAMLFactory {
        private static final long serialVersionUID = 1;

        Factory(YAMLFactoryBuilder settings) {
            super(settings);
        }

        @Override
        protected YAMLParser _createParser(ObjectReadContext context, IOContext io, Reader text) {
            return new AnchorParser(
                    context,
                    io,
                    _getBufferRecycler(),
                    context.getStreamReadFeatures(_streamReadFeatures),
                    context.getFormatReadFeatures(_formatReadFeatures),
                    _loadSettings,
                    text);
        }
    }
}
