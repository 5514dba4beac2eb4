package io.sluice.document;

import java.io.IOException;
import java.io.Reader;
import java.nio.charset.CharacterCodingException;
import java.nio.file.AccessDeniedException;
import java.nio.file.FileSystemException;
import org.snakeyaml.engine.v2.api.LoadSettings;
import org.snakeyaml.engine.v2.exceptions.Mark;
import org.snakeyaml.engine.v2.exceptions.MarkedYamlEngineException;
import org.snakeyaml.engine.v2.exceptions.ReaderException;
import tools.jackson.core.JacksonException;
import tools.jackson.core.JsonParser;
import tools.jackson.core.StreamReadConstraints;
import tools.jackson.core.StreamReadFeature;
import tools.jackson.databind.JsonNode;
import tools.jackson.dataformat.yaml.YAMLFactory;
import tools.jackson.dataformat.yaml.YAMLMapper;
import tools.jackson.dataformat.yaml.YAMLSchema;

/**
 * How manifests and the configuration read YAML: a key given twice is a fault, not a surprise; aliases and merge keys
 * are resolved. Also says on one line, for people, what kept a file from being read.
 */
public final class StrictYaml {
    /** For files: a feed is the operator's own, and a cluster's dump is large. */
    public static final StreamReadConstraints LIMITS =
            StreamReadConstraints.builder().maxStringLength(Integer.MAX_VALUE).build();

    static final YAMLMapper MAPPER = YAMLMapper.builder(new AnchorParser.Factory(YAMLFactory.builder()
                    .streamReadConstraints(LIMITS)
                    .enable(StreamReadFeature.STRICT_DUPLICATE_DETECTION)
                    .yamlSchema(YAMLSchema.CORE)
                    .loadSettings(LoadSettings.builder()
                            .setCodePointLimit(Integer.MAX_VALUE)
                            .build())))
            .build();

    private StrictYaml() {}

    /** A parser of all documents; closing it closes the text. */
    public static JsonParser parser(Reader text) {
        return new Aliases(MAPPER.createParser(text));
    }

    /** The value that a parser of this class is at, with its merge keys resolved. */
    public static JsonNode tree(JsonParser parser) {
        return MergeKeys.resolved(parser.readValueAsTree());
    }

    /** Where a parser stopped and why, on one line. */
    public static String explain(JacksonException e) {
        return explain(e, 0, 0);
    }

    /**
     * The same, for a parser of a part of a text.
     *
     * @param linesBefore how many lines of the text come before that part; likewise {@code charactersBefore}
     */
    public static String explain(JacksonException e, int linesBefore, long charactersBefore) {
        if (e.getCause() instanceof IOException io) {
            return "cannot be read: " + explain(io);
        }
        if (e.getCause() instanceof ReaderException odd) {
            return "character %d: U+%04X is not allowed in YAML"
                    .formatted(charactersBefore + odd.getPosition() + 1, odd.getCodePoint());
        }
        StringBuilder message = new StringBuilder();
        for (String line : String.valueOf(e.getOriginalMessage()).lines().toList()) {
            // The YAML parser adds the place and the text around it, indented, over several lines.
            if (!line.isBlank() && !line.startsWith(" ")) {
                message.append(message.isEmpty() ? "" : ", ").append(line.strip());
            }
        }
        // A limit names the method of Jackson's by which it could be changed.
        int hint = message.indexOf(", from `StreamReadConstraints");
        if (hint >= 0) {
            message.setLength(hint);
            message.append(')');
        }
        return place(e, linesBefore)
                + message.toString().replaceFirst("^Duplicate Object property (.*)$", "the key $1 is here twice");
    }

    private static String place(JacksonException e, int linesBefore) {
        // Jackson says where the last good token began, the parser below where the fault is.
        if (e.getCause() instanceof MarkedYamlEngineException marked
                && marked.getProblemMark().isPresent()) {
            Mark mark = marked.getProblemMark().get();
            return "line " + (linesBefore + mark.getLine() + 1) + ", column " + (mark.getColumn() + 1) + ": ";
        }
        var at = e.getLocation();
        return at == null || at.getLineNr() < 1
                ? ""
                : "line " + (linesBefore + at.getLineNr()) + ", column " + at.getColumnNr() + ": ";
    }

    /** Why a file cannot be read. */
    public static String explain(IOException e) {
        if (e instanceof CharacterCodingException) {
            return "it is not UTF-8 text";
        }
        if (e instanceof AccessDeniedException) {
            return "permission denied";
        }
        if (e instanceof FileSystemException failure && failure.getReason() != null) {
            return failure.getReason();
        }
        return String.valueOf(e.getMessage());
    }
}
