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
 * Parses YAML of manifests and configuration files. Duplicate keys are errors; aliases and merge keys are resolved.
 * Also describes the exceptions of the parser and of file access in one line.
 */
public final class StrictYaml {
    /** Limits for files. The length of strings is unlimited, because files are trusted and a cluster dump is large. */
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

    /** Creates a parser that reads all documents from a reader. Closing the parser closes the reader. */
    public static JsonParser parser(Reader text) {
        return new Aliases(MAPPER.createParser(text));
    }

    /** Reads the current value of a parser of this class and resolves its merge keys. */
    public static JsonNode tree(JsonParser parser) {
        return MergeKeys.resolve(parser.readValueAsTree());
    }

    /** Describes a parse error and its position in one line. */
    public static String explain(JacksonException e) {
        return explain(e, 0, 0);
    }

    /**
     * Describes an error of a parser that has read only a part of a file.
     *
     * @param linesBefore number of lines before this part
     * @param charactersBefore number of characters before this part
     */
    public static String explain(JacksonException e, int linesBefore, long charactersBefore) {
        if (e.getCause() instanceof IOException io) {
            return "cannot be read: " + explain(io);
        }
        if (e.getCause() instanceof ReaderException invalid) {
            return "character %d: U+%04X is not allowed in YAML"
                    .formatted(charactersBefore + invalid.getPosition() + 1, invalid.getCodePoint());
        }
        StringBuilder message = new StringBuilder();
        for (String line : String.valueOf(e.getOriginalMessage()).lines().toList()) {
            // The YAML parser adds indented lines with the position and the surrounding text.
            if (!line.isBlank() && !line.startsWith(" ")) {
                message.append(message.isEmpty() ? "" : ", ").append(line.strip());
            }
        }
        // Remove the name of the Jackson method that would change the limit.
        int hint = message.indexOf(", from `StreamReadConstraints");
        if (hint >= 0) {
            message.setLength(hint);
            message.append(')');
        }
        return place(e, linesBefore)
                + message.toString().replaceFirst("^Duplicate Object property \"(.*)\"$", "duplicate key '$1'");
    }

    private static String place(JacksonException e, int linesBefore) {
        // Prefer the position of the error from the YAML engine; Jackson reports the position of the last valid token.
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

    /** Describes in a few words why a file cannot be read. */
    public static String explain(IOException e) {
        if (e instanceof CharacterCodingException) {
            return "not UTF-8 text";
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
