package io.sluice.config;

import io.sluice.config.Configuration.Value;
import io.sluice.document.StrictYaml;
import io.sluice.document.Utf8File;
import io.sluice.text.Suggestion;
import java.io.IOException;
import java.io.StringReader;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;
import tools.jackson.core.JacksonException;
import tools.jackson.core.JsonParser;
import tools.jackson.databind.JsonNode;

/**
 * Reads a configuration file: a {@code SluiceConfiguration}, a {@code KubeProxyConfiguration}, or one of each. Ours is
 * read strictly: what it does not know it refuses, with the place and the choices.
 */
final class ConfigurationFile {
    /** Far more than all settings take; a file that is larger, or never ends, is something else. */
    private static final int MAX_BYTES = 1 << 20;

    private final Path file;
    private final List<String> problems = new ArrayList<>();
    private final Map<Setting<?>, Value> values = new TreeMap<>();
    private @Nullable KubeProxyDocument kubeProxy;

    private ConfigurationFile(Path file) {
        this.file = file;
    }

    /** Reads all of it; what cannot be read is a problem. */
    static ConfigurationFile read(Path file) {
        ConfigurationFile reading = new ConfigurationFile(file);
        try {
            reading.documents(documentsIn(Utf8File.read(file, MAX_BYTES)));
        } catch (NoSuchFileException e) {
            reading.problem("", "does not exist");
        } catch (IOException e) {
            reading.problem("", "cannot be read: " + StrictYaml.explain(e));
        } catch (JacksonException e) {
            reading.problem("", StrictYaml.explain(e));
        }
        return reading;
    }

    /** What our document sets, still as text. */
    Map<Setting<?>, Value> values() {
        return values;
    }

    /** What kube-proxy's document sets, where ours does not. */
    Map<Setting<?>, Value> kubeProxyValues() {
        return kubeProxy == null ? Map.of() : kubeProxy.values();
    }

    /** A line for each thing it may not say. */
    List<String> problems() {
        return problems;
    }

    /** A line for each thing that is probably not as it was meant. */
    List<String> warnings() {
        return kubeProxy == null ? List.of() : kubeProxy.warnings();
    }

    /** What is set without an effect. */
    List<String> notes() {
        return kubeProxy == null ? List.of() : kubeProxy.notes();
    }

    private static List<JsonNode> documentsIn(String text) {
        List<JsonNode> documents = new ArrayList<>();
        // Not readValues: it would take a list for the documents in it.
        try (JsonParser parser = StrictYaml.parser(new StringReader(text))) {
            while (parser.nextToken() != null) {
                JsonNode document = StrictYaml.tree(parser);
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
        }
        Set<String> kinds = new HashSet<>();
        for (JsonNode document : documents) {
            if (!document.isObject()) {
                problem("", "must be a mapping of settings, not " + typeOf(document));
                continue;
            }
            String kind = isKubeProxys(document) ? KubeProxyDocument.KIND : Configuration.KIND;
            if (!kinds.add(kind)) {
                problem("", "has more than one " + kind + "; one is allowed");
            } else if (kind.equals(KubeProxyDocument.KIND)) {
                kubeProxy(document);
            } else {
                document(document);
            }
        }
    }

    /** By its kind; where that is missing, by its version. */
    private static boolean isKubeProxys(JsonNode document) {
        return document.has("kind")
                ? document.path("kind").asString("").equals(KubeProxyDocument.KIND)
                : document.path("apiVersion").asString("").startsWith("kubeproxy.");
    }

    private void kubeProxy(JsonNode document) {
        header(document, "apiVersion", KubeProxyDocument.API_VERSION);
        header(document, "kind", KubeProxyDocument.KIND);
        kubeProxy = new KubeProxyDocument(document, file.toString());
        problems.addAll(kubeProxy.problems());
    }

    private void document(JsonNode document) {
        header(document, "apiVersion", Configuration.API_VERSION);
        header(document, "kind", Configuration.KIND);
        for (Map.Entry<String, JsonNode> property : document.properties()) {
            String key = property.getKey();
            if (key.equals("apiVersion") || key.equals("kind")) {
                continue;
            }
            Setting.values().stream()
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
            String choices =
                    expected.equals(Configuration.KIND) ? expected + " or " + KubeProxyDocument.KIND : expected;
            problem(key, "must be " + choices + ", not " + actual);
        }
    }

    private void value(Setting<?> setting, JsonNode node) {
        if (!setting.isList()) {
            String text = scalar(setting, setting.key(), node);
            if (text != null) {
                values.put(setting, value(setting, List.of(text)));
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
        values.put(setting, value(setting, List.copyOf(texts)));
    }

    private Value value(Setting<?> setting, List<String> texts) {
        return new Value(texts, "file " + file, file + ": " + setting.key());
    }

    private @Nullable String scalar(Setting<?> setting, String path, JsonNode node) {
        boolean fits =
                setting.isNumber() ? node.isIntegralNumber() : setting.isBoolean() ? node.isBoolean() : node.isString();
        if (fits) {
            return node.asString();
        }
        boolean bareNumber = node.isNumber() && setting.type().shape() == ValueType.Shape.DURATION;
        problem(
                path,
                (bareNumber ? node + " has no unit" : typeOf(node) + " is not allowed") + "; give "
                        + setting.allowed());
        return null;
    }

    /** What stands there, for people. */
    static String typeOf(JsonNode node) {
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
        List<String> keys = Setting.values().stream().map(Setting::key).toList();
        return Suggestion.among(keys, key)
                + keys.stream().sorted().collect(Collectors.joining(", ", " (allowed: ", ")"));
    }

    private void problem(String path, String message) {
        problems.add(file + ": " + (path.isEmpty() ? "" : path + ": ") + message);
    }
}
