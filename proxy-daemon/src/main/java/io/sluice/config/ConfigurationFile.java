package io.sluice.config;

import io.sluice.config.Configuration.Value;
import io.sluice.document.FieldReader;
import io.sluice.document.Problem;
import io.sluice.document.StrictYaml;
import io.sluice.document.Utf8File;
import io.sluice.rules.PolicyValues;
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
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import tools.jackson.core.JacksonException;
import tools.jackson.core.JsonParser;
import tools.jackson.databind.JsonNode;

/**
 * Reads a configuration file: a {@code SluiceConfiguration}, a {@code KubeProxyConfiguration}, or one of each. An
 * unknown key of a {@code SluiceConfiguration} is an error that lists the known keys.
 */
final class ConfigurationFile {
    /** Maximum size of a configuration file in bytes. A file with all settings is far smaller. */
    private static final int MAX_BYTES = 1 << 20;

    private final Path file;
    private final List<Problem> problems = new ArrayList<>();
    private final Map<Setting<?>, Value> values = new TreeMap<>();
    private PolicyValues serviceDefaults = PolicyValues.NONE;
    private @Nullable KubeProxyDocument kubeProxy;

    private ConfigurationFile(Path file) {
        this.file = file;
    }

    /** Reads a file. Adds all errors to {@link #problems}, including the error if the file cannot be read. */
    static ConfigurationFile read(Path file) {
        ConfigurationFile reading = new ConfigurationFile(file);
        try {
            reading.documents(documentsIn(Utf8File.read(file, MAX_BYTES)));
        } catch (NoSuchFileException e) {
            reading.problem("does not exist");
        } catch (IOException e) {
            reading.problem("cannot be read: " + StrictYaml.explain(e));
        } catch (JacksonException e) {
            reading.problem(StrictYaml.explain(e));
        }
        return reading;
    }

    /** The settings in the {@code SluiceConfiguration}, before parsing. */
    Map<Setting<?>, Value> values() {
        return values;
    }

    /** The traffic policy in {@code serviceDefaults}. */
    PolicyValues serviceDefaults() {
        return serviceDefaults;
    }

    /** The settings in the {@code KubeProxyConfiguration}, before parsing. {@link #values} override these settings. */
    Map<Setting<?>, Value> kubeProxyValues() {
        return kubeProxy == null ? Map.of() : kubeProxy.values();
    }

    /** Errors, one line each. */
    List<String> problems() {
        return problems.stream().map(Problem::toString).toList();
    }

    /** Warnings about probable mistakes, one line each. */
    List<String> warnings() {
        return kubeProxy == null ? List.of() : kubeProxy.warnings();
    }

    /** Notes about keys without effect, one line each. */
    List<String> notes() {
        return kubeProxy == null ? List.of() : kubeProxy.notes();
    }

    private static List<JsonNode> documentsIn(String text) {
        List<JsonNode> documents = new ArrayList<>();
        // Do not use readValues, which would treat the items of a list as documents.
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
            problem("is empty; it must begin with 'apiVersion: " + Configuration.API_VERSION + "' and 'kind: "
                    + Configuration.KIND + "'");
        }
        Set<String> kinds = new HashSet<>();
        for (JsonNode each : documents) {
            FieldReader document = FieldReader.root(each, new FieldReader.Report(file.toString(), "", problems));
            if (!document.isMapping()) {
                document.mustBe("a mapping of settings");
                continue;
            }
            String kind = isKubeProxyConfiguration(document) ? KubeProxyDocument.KIND : Configuration.KIND;
            if (!kinds.add(kind)) {
                problem("has more than one " + kind + "; one is allowed");
            } else if (kind.equals(KubeProxyDocument.KIND)) {
                header(document.get("apiVersion"), KubeProxyDocument.API_VERSION);
                header(document.get("kind"), KubeProxyDocument.KIND);
                kubeProxy = new KubeProxyDocument(each, file.toString(), problems);
            } else {
                header(document.get("apiVersion"), Configuration.API_VERSION);
                header(document.get("kind"), Configuration.KIND);
                document.fields().forEach(this::setting);
            }
        }
    }

    /** Whether the document is a {@code KubeProxyConfiguration}, by its kind, else by its API version. */
    private static boolean isKubeProxyConfiguration(FieldReader document) {
        return document.has("kind")
                ? document.get("kind").stringOrEmpty().equals(KubeProxyDocument.KIND)
                : document.get("apiVersion").stringOrEmpty().startsWith("kubeproxy.");
    }

    private static void header(FieldReader field, String expected) {
        if (!field.present()) {
            field.error("missing; must be " + expected);
        } else if (!field.stringOrEmpty().equals(expected)) {
            boolean either = expected.equals(Configuration.KIND);
            field.error("must be " + expected + (either ? " or " + KubeProxyDocument.KIND : "") + ", not "
                    + field.quoted());
        }
    }

    private void setting(FieldReader field) {
        String key = field.name();
        if (key.equals("apiVersion") || key.equals("kind")) {
            return;
        }
        if (key.equals(ServiceDefaults.KEY)) {
            serviceDefaults = ServiceDefaults.read(field);
            return;
        }
        Setting.values().stream()
                .filter(setting -> setting.key().equals(key))
                .findFirst()
                .ifPresentOrElse(
                        setting -> value(setting, field), () -> field.error("is not a setting" + suggestion(key)));
    }

    private void value(Setting<?> setting, FieldReader field) {
        if (setting.isList() && !field.isList()) {
            field.invalid("a list, each item " + setting.allowed());
            return;
        }
        List<String> strings = (setting.isList() ? field.items() : List.of(field))
                .stream()
                        .filter(each -> hasTypeOf(setting, each))
                        .map(FieldReader::scalar)
                        .toList();
        if (setting.isList() || !strings.isEmpty()) {
            values.put(setting, new Value(strings, "file " + file, field.place()));
        }
    }

    /** Whether a field has the YAML type of the setting. Reports an error if the field has another type. */
    private static boolean hasTypeOf(Setting<?> setting, FieldReader field) {
        boolean hasTypeOf =
                setting.isNumber() ? field.isWholeNumber() : setting.isBoolean() ? field.isBoolean() : field.isString();
        if (!hasTypeOf && field.isNumber() && setting.type().shape() == ValueType.Shape.DURATION) {
            field.error(field.quoted() + " has no unit; must be " + setting.allowed());
        } else if (!hasTypeOf) {
            field.invalid(setting.allowed());
        }
        return hasTypeOf;
    }

    private static String suggestion(String key) {
        List<String> keys = Stream.concat(
                        Stream.of(ServiceDefaults.KEY),
                        Setting.values().stream().map(Setting::key))
                .toList();
        return Suggestion.among(keys, key)
                + keys.stream().sorted().collect(Collectors.joining(", ", " (allowed: ", ")"));
    }

    private void problem(String message) {
        problems.add(new Problem(Problem.Severity.ERROR, file.toString(), "", "", message));
    }
}
