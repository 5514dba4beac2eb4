package io.sluice.daemon;

import io.sluice.daemon.Configuration.Value;
import io.sluice.kube.StrictYaml;
import java.io.IOException;
import java.io.InputStream;
import java.io.StringReader;
import java.nio.ByteBuffer;
import java.nio.CharBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import tools.jackson.core.JacksonException;
import tools.jackson.core.JsonParser;
import tools.jackson.databind.JsonNode;

/** Reads a {@code SluiceConfiguration} file, strictly: what it does not know it refuses, with the place and the choices. */
final class ConfigurationFile {
    /** Far more than all settings take; a file that is larger, or never ends, is something else. */
    private static final int MAX_BYTES = 1 << 20;

    private final Path file;
    private final List<String> problems;
    private final Map<Setting, Value> values = new EnumMap<>(Setting.class);

    private ConfigurationFile(Path file, List<String> problems) {
        this.file = file;
        this.problems = problems;
    }

    /** What the file sets, still as text; adds to {@code problems} what it may not say. */
    static Map<Setting, Value> read(Path file, List<String> problems) {
        ConfigurationFile reading = new ConfigurationFile(file, problems);
        try {
            reading.documents(documentsIn(text(file)));
        } catch (NoSuchFileException e) {
            reading.problem("", "does not exist");
        } catch (IOException e) {
            reading.problem("", "cannot be read: " + StrictYaml.explain(e));
        } catch (JacksonException e) {
            reading.problem("", StrictYaml.explain(e));
        }
        return reading.values;
    }

    private static String text(Path file) throws IOException {
        try (InputStream in = Files.newInputStream(file)) {
            byte[] bytes = in.readNBytes(MAX_BYTES + 1);
            if (bytes.length > MAX_BYTES) {
                throw new IOException("it is larger than " + MAX_BYTES + " bytes");
            }
            CharBuffer text = StandardCharsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(bytes));
            return text.toString().replaceFirst("^\uFEFF", "");
        }
    }

    private static List<JsonNode> documentsIn(String text) {
        List<JsonNode> documents = new ArrayList<>();
        // Not readValues: it would take a list for the documents in it.
        try (JsonParser parser = StrictYaml.parser(new StringReader(text))) {
            while (parser.nextToken() != null) {
                JsonNode document = parser.readValueAsTree();
                if (!document.isNull()) {
                    documents.add(document);
                }
            }
        }
        return documents;
    }

    private void documents(List<JsonNode> documents) {
        if (documents.isEmpty()) {
            problem(
                    "",
                    "is empty; it must begin with 'apiVersion: " + Configuration.API_VERSION + "' and 'kind: "
                            + Configuration.KIND + "'");
        } else if (documents.size() > 1) {
            problem("", "has " + documents.size() + " documents; one is allowed, a " + Configuration.KIND);
        } else if (!documents.get(0).isObject()) {
            problem("", "must be a mapping of settings, not " + typeOf(documents.get(0)));
        } else {
            document(documents.get(0));
        }
    }

    private void document(JsonNode document) {
        header(document, "apiVersion", Configuration.API_VERSION);
        header(document, "kind", Configuration.KIND);
        for (Map.Entry<String, JsonNode> property : document.properties()) {
            String key = property.getKey();
            if (key.equals("apiVersion") || key.equals("kind")) {
                continue;
            }
            Arrays.stream(Setting.values())
                    .filter(setting -> setting.key().equals(key))
                    .findFirst()
                    .ifPresentOrElse(
                            setting -> value(setting, property.getValue()),
                            () -> problem(key, "is not a setting" + suggestion(key)));
        }
    }

    private void header(JsonNode document, String key, String expected) {
        JsonNode actual = document.get(key);
        if (actual == null) {
            problem(key, "is missing; must be " + expected);
        } else if (!actual.isString() || !actual.stringValue().equals(expected)) {
            problem(key, "must be " + expected + ", not " + actual);
        }
    }

    private void value(Setting setting, JsonNode node) {
        if (!setting.isList()) {
            String text = scalar(setting, setting.key(), node);
            if (text != null) {
                values.put(setting, new Value(List.of(text), "file " + file));
            }
            return;
        }
        if (!node.isArray()) {
            problem(setting.key(), typeOf(node) + " is not allowed; give a list, each " + setting.allowed());
            return;
        }
        List<String> texts = new ArrayList<>();
        for (int i = 0; i < node.size(); i++) {
            String text = scalar(setting, setting.key() + "[" + i + "]", node.get(i));
            if (text != null) {
                texts.add(text);
            }
        }
        values.put(setting, new Value(List.copyOf(texts), "file " + file));
    }

    private @Nullable String scalar(Setting setting, String path, JsonNode node) {
        boolean fits =
                setting.isNumber() ? node.isIntegralNumber() : setting.isTruth() ? node.isBoolean() : node.isString();
        if (fits) {
            return node.asString();
        }
        boolean bareNumber = node.isNumber() && setting.allowed().startsWith("a time");
        problem(
                path,
                (bareNumber ? node + " has no unit" : typeOf(node) + " is not allowed") + "; give "
                        + setting.allowed());
        return null;
    }

    private static String typeOf(JsonNode node) {
        return switch (node.getNodeType()) {
            case OBJECT -> "a mapping";
            case ARRAY -> "a list";
            case NULL, MISSING -> "nothing";
            case BOOLEAN -> "the truth value " + node;
            case NUMBER -> "the number " + node;
            default -> "the text " + Setting.quoted(node.asString());
        };
    }

    private static String suggestion(String key) {
        List<String> keys = Stream.of(Setting.values()).map(Setting::key).toList();
        return Suggestion.among(keys, key)
                + keys.stream().sorted().collect(Collectors.joining(", ", " (allowed: ", ")"));
    }

    private void problem(String path, String message) {
        problems.add(file + ": " + (path.isEmpty() ? "" : path + ": ") + message);
    }
}
