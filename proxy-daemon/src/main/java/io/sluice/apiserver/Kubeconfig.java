package io.sluice.apiserver;

import io.sluice.document.StrictYaml;
import io.sluice.document.Utf8File;
import java.io.IOException;
import java.io.StringReader;
import java.nio.charset.StandardCharsets;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Base64;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;
import tools.jackson.core.JacksonException;
import tools.jackson.core.JsonParser;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.node.JsonNodeFactory;

/**
 * Kubeconfig files, put together as kubectl does it: of two that say the same the first counts, and a path is seen from
 * the file it stands in.
 */
final class Kubeconfig {
    /** Room for a thousand clusters; what is larger, or never ends, is something else. */
    private static final int MAX_BYTES = 16 << 20;

    private final List<Path> files;
    private final Map<String, Section> clusters = new LinkedHashMap<>();
    private final Map<String, Section> users = new LinkedHashMap<>();
    private final Map<String, Section> contexts = new LinkedHashMap<>();
    private String currentContext = "";

    private Kubeconfig(List<Path> files) {
        this.files = files;
    }

    /** A cluster and who we are there. */
    record Context(String name, Section cluster, @Nullable Section user) {}

    /** Reads files that must all be there. */
    static Kubeconfig read(List<Path> files) throws ApiAccessException {
        Kubeconfig all = new Kubeconfig(files);
        for (Path file : files) {
            all.add(file);
        }
        return all;
    }

    private void add(Path file) throws ApiAccessException {
        Section root = new Section(file, "", document(file));
        String current = root.text("current-context");
        currentContext = currentContext.isEmpty() ? current : currentContext;
        add(root, "clusters", "cluster", clusters);
        add(root, "users", "user", users);
        add(root, "contexts", "context", contexts);
    }

    private static void add(Section root, String list, String part, Map<String, Section> named)
            throws ApiAccessException {
        for (Section item : root.items(list)) {
            String name = item.text("name");
            if (name.isEmpty()) {
                throw item.wrong("name", "missing");
            }
            Section content = new Section(root.file, list + "[name=" + name + "]." + part, item.node.path(part));
            content.mustBeMapping();
            named.putIfAbsent(name, content);
        }
    }

    private static JsonNode document(Path file) throws ApiAccessException {
        try (JsonParser parser = StrictYaml.parser(new StringReader(Utf8File.read(file, MAX_BYTES)))) {
            if (parser.nextToken() == null) {
                // As kubectl leaves one behind that was emptied.
                return JsonNodeFactory.instance.objectNode();
            }
            JsonNode document = StrictYaml.tree(parser);
            if (!document.isObject() && !document.isNull()) {
                throw new ApiAccessException(file + ": is not a kubeconfig, but " + shown(document));
            }
            return document;
        } catch (NoSuchFileException e) {
            throw new ApiAccessException(file + ": does not exist");
        } catch (IOException e) {
            throw new ApiAccessException(file + ": cannot be read: " + StrictYaml.explain(e));
        } catch (JacksonException e) {
            throw new ApiAccessException(file + ": " + StrictYaml.explain(e));
        }
    }

    /** @param name of the context to use; empty for the current one */
    Context context(String name) throws ApiAccessException {
        String wanted = name.isEmpty() ? currentContext : name;
        if (wanted.isEmpty()) {
            throw new ApiAccessException(
                    names() + ": current-context: missing; set it, or give --context" + choice(contexts));
        }
        Section context = contexts.get(wanted);
        if (context == null) {
            throw new ApiAccessException(names() + ": there is no context '" + wanted + "'" + choice(contexts));
        }
        return new Context(wanted, part(context, "cluster", clusters, true), userOf(context));
    }

    private @Nullable Section userOf(Section context) throws ApiAccessException {
        return context.text("user").isEmpty() ? null : part(context, "user", users, false);
    }

    private Section part(Section context, String kind, Map<String, Section> named, boolean required)
            throws ApiAccessException {
        String name = context.text(kind);
        if (name.isEmpty() && required) {
            throw context.wrong(kind, "missing" + choice(named));
        }
        Section found = named.get(name);
        if (found == null) {
            throw context.wrong(kind, "there is no " + kind + " '" + name + "'" + choice(named));
        }
        return found;
    }

    private static String choice(Map<String, Section> named) {
        return named.isEmpty() ? " (there is none)" : " (there is " + String.join(", ", named.keySet()) + ")";
    }

    /** Of the files, for people. */
    String names() {
        return files.stream().map(Path::toString).collect(Collectors.joining(", "));
    }

    private static String shown(JsonNode node) {
        return switch (node.getNodeType()) {
            case OBJECT -> "a mapping";
            case ARRAY -> "a list";
            case STRING -> "a text";
            case NUMBER -> "a number";
            case BOOLEAN -> "true or false";
            default -> "nothing";
        };
    }

    /** A mapping in a kubeconfig, with its place. Values are not quoted in what is said of it: they may be secret. */
    static final class Section {
        private final Path file;
        private final String path;
        private final JsonNode node;

        private Section(Path file, String path, JsonNode node) {
            this.file = file;
            this.path = path;
            this.node = node;
        }

        private void mustBeMapping() throws ApiAccessException {
            if (!node.isObject() && !node.isNull() && !node.isMissingNode()) {
                throw new ApiAccessException(file + ": " + path + ": must be a mapping, not " + shown(node));
            }
        }

        boolean has(String field) {
            JsonNode value = node.path(field);
            return !value.isMissingNode() && !value.isNull() && !(value.isContainer() && value.isEmpty());
        }

        /** The folder that relative paths are seen from. */
        Path folder() {
            Path folder = file.toAbsolutePath().getParent();
            return folder == null ? Path.of("/") : folder;
        }

        /** File and path of a field, for people. */
        String place(String field) {
            return file + ": " + (path.isEmpty() ? "" : path + ".") + field;
        }

        ApiAccessException wrong(String field, String message) {
            return new ApiAccessException(place(field) + ": " + message);
        }

        /** The text, empty if there is none. */
        String text(String field) throws ApiAccessException {
            JsonNode value = node.path(field);
            if (value.isMissingNode() || value.isNull()) {
                return "";
            }
            if (!value.isString()) {
                throw wrong(field, "must be a text, not " + shown(value) + "; put it in quotes");
            }
            return value.stringValue();
        }

        boolean truth(String field) throws ApiAccessException {
            JsonNode value = node.path(field);
            if (!value.isBoolean() && has(field)) {
                throw wrong(field, "must be true or false, not " + shown(value));
            }
            return value.isBoolean() && value.booleanValue();
        }

        Section section(String field) throws ApiAccessException {
            Section section = new Section(file, path + "." + field, node.path(field));
            section.mustBeMapping();
            return section;
        }

        List<Section> items(String field) throws ApiAccessException {
            List<Section> items = new ArrayList<>();
            JsonNode list = list(field);
            for (int i = 0; i < list.size(); i++) {
                String at = (path.isEmpty() ? "" : path + ".") + field + "[" + i + "]";
                Section item = new Section(file, at, list.get(i));
                item.mustBeMapping();
                items.add(item);
            }
            return items;
        }

        List<String> texts(String field) throws ApiAccessException {
            List<String> texts = new ArrayList<>();
            JsonNode list = list(field);
            for (int i = 0; i < list.size(); i++) {
                if (!list.get(i).isString()) {
                    String item = field + "[" + i + "]";
                    throw wrong(item, "must be a text, not " + shown(list.get(i)) + "; put it in quotes");
                }
                texts.add(list.get(i).stringValue());
            }
            return texts;
        }

        private JsonNode list(String field) throws ApiAccessException {
            JsonNode list = node.path(field);
            if (!list.isArray() && has(field)) {
                throw wrong(field, "must be a list, not " + shown(list));
            }
            return list;
        }

        /** The pairs of a list of {@code name} and {@code value}. */
        Map<String, String> pairs(String field) throws ApiAccessException {
            Map<String, String> pairs = new HashMap<>();
            for (Section item : items(field)) {
                String name = item.text("name");
                if (name.isEmpty() || name.indexOf('=') >= 0 || name.indexOf('\0') >= 0) {
                    throw item.wrong("name", name.isEmpty() ? "missing" : "is not the name of a variable");
                }
                String value = item.text("value");
                if (value.indexOf('\0') >= 0) {
                    throw item.wrong("value", "must not hold a zero character");
                }
                pairs.put(name, value);
            }
            return pairs;
        }

        JsonNode raw(String field) {
            return node.path(field);
        }

        /** What {@code field-data} holds in base64, or the file that {@code field} names; null if neither is there. */
        @Nullable
        FileCredential material(String field) throws ApiAccessException {
            String data = text(field + "-data");
            if (!data.isEmpty()) {
                try {
                    byte[] bytes = Base64.getDecoder().decode(data.replaceAll("\\s", ""));
                    return FileCredential.of(place(field + "-data"), new String(bytes, StandardCharsets.UTF_8));
                } catch (IllegalArgumentException e) {
                    throw wrong(field + "-data", "is not base64");
                }
            }
            return has(field) ? file(field) : null;
        }

        /** The file that a field names. */
        @Nullable
        FileCredential file(String field) throws ApiAccessException {
            String name = text(field);
            if (name.isEmpty()) {
                return null;
            }
            if (name.indexOf('\0') >= 0) {
                throw wrong(field, "is not a path");
            }
            return FileCredential.in(folder().resolve(name), place(field));
        }

        /** What stands in the field itself; null if nothing does. */
        @Nullable
        FileCredential here(String field) throws ApiAccessException {
            String text = text(field);
            return text.isEmpty() ? null : FileCredential.of(place(field), text);
        }
    }
}
