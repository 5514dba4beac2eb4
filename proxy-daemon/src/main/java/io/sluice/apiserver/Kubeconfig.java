package io.sluice.apiserver;

import io.sluice.document.FieldReader;
import io.sluice.document.Problem;
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
 * Merged kubeconfig files. As in kubectl, the first file that defines an entry wins, and paths are relative to the file
 * that contains them.
 */
final class Kubeconfig {
    /** Maximum size of a file; enough for a thousand clusters. */
    private static final int MAX_BYTES = 16 << 20;

    private final List<Path> files;
    private final Map<String, Section> clusters = new LinkedHashMap<>();
    private final Map<String, Section> users = new LinkedHashMap<>();
    private final Map<String, Section> contexts = new LinkedHashMap<>();
    private String currentContext = "";

    private Kubeconfig(List<Path> files) {
        this.files = files;
    }

    /** A context, which combines a cluster with an optional user. */
    record Context(String name, Section cluster, @Nullable Section user) {}

    /** Reads and merges files, all of which must exist. */
    static Kubeconfig read(List<Path> files) throws ApiAccessException {
        Kubeconfig all = new Kubeconfig(files);
        for (Path file : files) {
            all.add(file);
        }
        return all;
    }

    private void add(Path file) throws ApiAccessException {
        // Problems must not quote values, which may be credentials.
        FieldReader.Report report = new FieldReader.Report(file.toString(), "", new ArrayList<>(), true);
        FieldReader document = FieldReader.root(document(file), report);
        if (document.present() && !document.isMapping()) {
            document.mustBe("a kubeconfig");
        }
        Section root = new Section(file, document, report.problems());
        String current = root.string("current-context");
        currentContext = currentContext.isEmpty() ? current : currentContext;
        add(root, "clusters", "cluster", clusters);
        add(root, "users", "user", users);
        add(root, "contexts", "context", contexts);
    }

    private static void add(Section root, String list, String part, Map<String, Section> named)
            throws ApiAccessException {
        for (Section item : root.items(list)) {
            String name = item.string("name");
            if (name.isEmpty()) {
                throw item.invalid("name", "missing");
            }
            Section content = item.labeled("name=" + name).section(part);
            named.putIfAbsent(name, content);
        }
    }

    private static JsonNode document(Path file) throws ApiAccessException {
        try (JsonParser parser = StrictYaml.parser(new StringReader(Utf8File.read(file, MAX_BYTES)))) {
            if (parser.nextToken() == null) {
                // kubectl may leave an empty file behind.
                return JsonNodeFactory.instance.objectNode();
            }
            return StrictYaml.tree(parser);
        } catch (NoSuchFileException e) {
            throw new ApiAccessException(file + ": does not exist");
        } catch (IOException e) {
            throw new ApiAccessException("cannot read " + file + ": " + StrictYaml.explain(e));
        } catch (JacksonException e) {
            throw new ApiAccessException(file + ": " + StrictYaml.explain(e));
        }
    }

    /** Returns the context with a name, or the current context if the name is empty. */
    Context context(String name) throws ApiAccessException {
        String wanted = name.isEmpty() ? currentContext : name;
        if (wanted.isEmpty()) {
            throw new ApiAccessException(
                    names() + ": current-context: missing; set it, or set --context" + available(contexts));
        }
        Section context = contexts.get(wanted);
        if (context == null) {
            throw new ApiAccessException(
                    names() + ": context " + Problem.quoted(wanted) + " not found" + available(contexts));
        }
        return new Context(wanted, part(context, "cluster", clusters, true), userOf(context));
    }

    private @Nullable Section userOf(Section context) throws ApiAccessException {
        return context.string("user").isEmpty() ? null : part(context, "user", users, false);
    }

    private Section part(Section context, String kind, Map<String, Section> named, boolean required)
            throws ApiAccessException {
        String name = context.string(kind);
        if (name.isEmpty() && required) {
            throw context.invalid(kind, "missing" + available(named));
        }
        Section found = named.get(name);
        if (found == null) {
            throw context.invalid(kind, kind + " " + Problem.quoted(name) + " not found" + available(named));
        }
        return found;
    }

    private static String available(Map<String, Section> named) {
        return "; available: " + (named.isEmpty() ? "none" : String.join(", ", named.keySet()));
    }

    /** Names of the files, for messages. */
    String names() {
        return files.stream().map(Path::toString).collect(Collectors.joining(", "));
    }

    /** A mapping in a kubeconfig. Its methods throw an exception for the first problem that they find. */
    static final class Section {
        private final Path file;
        private final FieldReader field;
        private final List<Problem> problems;

        private Section(Path file, FieldReader field, List<Problem> problems) throws ApiAccessException {
            this.file = file;
            this.field = field.object();
            this.problems = problems;
            check();
        }

        private void check() throws ApiAccessException {
            if (!problems.isEmpty()) {
                throw new ApiAccessException(problems.get(0).toString());
            }
        }

        boolean has(String name) {
            return !field.get(name).isEmpty();
        }

        /** The directory to which paths are relative. */
        Path directory() {
            Path directory = file.toAbsolutePath().getParent();
            return directory == null ? Path.of("/") : directory;
        }

        /** File and field path of this mapping, for messages. */
        String place() {
            return field.place();
        }

        /** File and path of a field, for messages. */
        String place(String name) {
            return field.get(name).place();
        }

        ApiAccessException invalid(String name, String message) {
            return new ApiAccessException(place(name) + ": " + Problem.oneLine(message));
        }

        /** The string in a field; empty if the field is missing. */
        String string(String name) throws ApiAccessException {
            String text = field.get(name).string("");
            check();
            return text;
        }

        boolean bool(String name) throws ApiAccessException {
            Boolean value = field.get(name).bool(false);
            check();
            return Boolean.TRUE.equals(value);
        }

        Section section(String name) throws ApiAccessException {
            return new Section(file, field.get(name), problems);
        }

        /** This mapping with a label that messages show instead of its list index. */
        private Section labeled(String label) throws ApiAccessException {
            return new Section(file, field.labeled(label), problems);
        }

        List<Section> items(String name) throws ApiAccessException {
            List<Section> items = new ArrayList<>();
            for (FieldReader item : field.get(name).items()) {
                items.add(new Section(file, item, problems));
            }
            check();
            return items;
        }

        List<String> strings(String name) throws ApiAccessException {
            List<String> strings = field.get(name).strings();
            check();
            return strings;
        }

        /** The pairs in a list whose items contain {@code name} and {@code value}. */
        Map<String, String> pairs(String list) throws ApiAccessException {
            Map<String, String> pairs = new HashMap<>();
            for (Section item : items(list)) {
                String name = item.string("name");
                if (name.isEmpty() || name.indexOf('=') >= 0 || name.indexOf('\0') >= 0) {
                    throw item.invalid(
                            "name", name.isEmpty() ? "missing" : "must be the name of an environment variable");
                }
                String value = item.string("value");
                if (value.indexOf('\0') >= 0) {
                    throw item.invalid("value", "must not contain a NUL character");
                }
                pairs.put(name, value);
            }
            return pairs;
        }

        JsonNode value(String name) {
            return field.get(name).value();
        }

        /** The credential in {@code name-data} (base64) or else in the file {@code name}; null if both are missing. */
        @Nullable
        FileCredential credential(String name) throws ApiAccessException {
            String data = string(name + "-data");
            if (!data.isEmpty()) {
                try {
                    byte[] bytes = Base64.getDecoder().decode(data.replaceAll("\\s", ""));
                    return FileCredential.of(place(name + "-data"), new String(bytes, StandardCharsets.UTF_8));
                } catch (IllegalArgumentException e) {
                    throw invalid(name + "-data", "must be base64");
                }
            }
            return has(name) ? file(name) : null;
        }

        /** The credential in the file that a field names; null if the field is missing. */
        @Nullable
        FileCredential file(String name) throws ApiAccessException {
            String path = string(name);
            if (path.isEmpty()) {
                return null;
            }
            if (path.indexOf('\0') >= 0) {
                throw invalid(name, "must be a file path");
            }
            return FileCredential.fromFile(directory().resolve(path), place(name));
        }

        /** The credential in the field itself; null if the field is missing. */
        @Nullable
        FileCredential inlineCredential(String name) throws ApiAccessException {
            String text = string(name);
            return text.isEmpty() ? null : FileCredential.of(place(name), text);
        }
    }
}
