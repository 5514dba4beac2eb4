package io.sluice.feed;

import io.sluice.document.FieldReader;
import io.sluice.document.MergeKeys;
import io.sluice.document.Problem;
import io.sluice.document.StrictYaml;
import io.sluice.document.YamlDocuments;
import io.sluice.objects.Kind;
import io.sluice.objects.KubeObject;
import io.sluice.objects.ObjectKey;
import io.sluice.objects.ObjectParser;
import io.sluice.rules.BuildOptions;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.Reader;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import tools.jackson.core.JacksonException;
import tools.jackson.core.JsonParser;
import tools.jackson.core.JsonToken;
import tools.jackson.core.StreamReadFeature;
import tools.jackson.core.json.JsonFactory;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.ObjectMapper;
import tools.jackson.databind.json.JsonMapper;
import tools.jackson.databind.node.ObjectNode;

/**
 * Reads a manifest file: YAML or JSON, with one or more documents and lists. Only one list item at a time is held in
 * memory as a tree, so that reading a cluster dump does not need several times the dump's size in memory.
 */
public final class ManifestReader {
    private static final ObjectMapper JSON = JsonMapper.builder(JsonFactory.builder()
                    .streamReadConstraints(StrictYaml.LIMITS)
                    .enable(StreamReadFeature.STRICT_DUPLICATE_DETECTION)
                    .build())
            .build();

    /** Number of characters examined to detect JSON. */
    private static final int LOOK_AHEAD = 4096;

    private final String source;
    private final String proxyName;
    private final List<Problem> problems = new ArrayList<>();
    private final Map<ObjectKey, KubeObject> objects = new LinkedHashMap<>();
    private final Map<String, Integer> ignored = new TreeMap<>();
    private int documents;

    /** Keys of the objects of the current document. */
    private final List<ObjectKey> added = new ArrayList<>();

    /** Parse errors by document number. */
    private final Map<Integer, String> broken = new TreeMap<>();

    private ManifestReader(String source, String proxyName) {
        this.source = source;
        this.proxyName = proxyName;
    }

    /**
     * The content of a manifest.
     *
     * @param empty whether there is no document, for example because the file has not been written completely
     * @param broken the problems that are parse errors; the objects in those documents are unknown
     */
    public record Manifest(List<KubeObject> objects, List<Problem> problems, boolean empty, Set<Problem> broken) {}

    /**
     * Reads a whole manifest and closes it.
     *
     * @param proxyName the {@code serviceProxyName} of {@link BuildOptions}
     * @throws IOException if the text cannot be read
     */
    public static Manifest read(String source, String proxyName, Reader text) throws IOException {
        ManifestReader manifest = new ManifestReader(source, proxyName);
        try (text) {
            for (YamlDocuments documents = new YamlDocuments(text); documents.next(); ) {
                manifest.part(documents);
            }
        }
        Set<Problem> broken = new HashSet<>();
        manifest.broken.forEach((document, why) -> broken.add(new Problem(
                Problem.Severity.ERROR, source, manifest.documents == 1 ? "" : "document " + document, "", why)));
        manifest.problems.addAll(broken);
        manifest.ignored.forEach((kind, count) -> manifest.report(
                Problem.Severity.NOTE,
                "",
                count + (count == 1 ? " object" : " objects") + " of kind " + kind + " ignored"));
        // If a field is read twice, its problem is listed twice.
        List<Problem> problems = manifest.problems.stream().distinct().toList();
        return new Manifest(
                List.copyOf(manifest.objects.values()), problems, manifest.documents == 0, Set.copyOf(broken));
    }

    /** Reads the text between two markers: usually one document, but JSON documents need no marker between them. */
    private void part(YamlDocuments text) throws IOException {
        BufferedReader reader = new BufferedReader(text, 2 * LOOK_AHEAD);
        boolean json = isJson(reader);
        int good = documents;
        int problemsOfGood = problems.size();
        try (JsonParser parser = json ? JSON.createParser(reader) : StrictYaml.parser(reader)) {
            for (JsonToken token = parser.nextToken(); token != null; token = parser.nextToken()) {
                document(parser, token);
                added.clear();
                good = documents;
                problemsOfGood = problems.size();
            }
        } catch (JacksonException e) {
            if (e.getCause() instanceof IOException unreadable) {
                throw unreadable;
            }
            // Do not use a partially read list.
            added.forEach(objects::remove);
            added.clear();
            problems.subList(problemsOfGood, problems.size()).clear();
            documents = good + 1;
            broken.put(documents, StrictYaml.explain(e, text.linesBefore(), text.charactersBefore()));
        }
    }

    /**
     * Whether the text is JSON, whose parser is several times faster than the YAML parser. If so, skips a byte order
     * mark and a document marker.
     */
    private static boolean isJson(BufferedReader reader) throws IOException {
        reader.mark(1);
        if (reader.read() != '\uFEFF') {
            reader.reset();
        }
        reader.mark(LOOK_AHEAD);
        char[] marker = new char[YamlDocuments.MARKER.length()];
        boolean marked = reader.read(marker) == marker.length && YamlDocuments.MARKER.equals(new String(marker));
        if (!marked) {
            reader.reset();
        }
        int first = firstVisible(reader);
        int second = first == '{' ? firstVisible(reader) : -1;
        reader.reset();
        // Unquoted keys in braces mean YAML. Pure white space counts as JSON, because YAML does not allow tabs.
        boolean json = first < 0 || second == '"' || second == '}';
        if (json && marked) {
            reader.skip(marker.length);
        }
        return json;
    }

    private static int firstVisible(Reader reader) throws IOException {
        int c = ' ';
        for (int i = 0; i < LOOK_AHEAD / 2 && (c == ' ' || c == '\t' || c == '\n' || c == '\r'); i++) {
            c = reader.read();
        }
        return c;
    }

    private void document(JsonParser parser, JsonToken token) {
        if (token == JsonToken.VALUE_NULL) {
            return;
        }
        documents++;
        if (token != JsonToken.START_OBJECT) {
            parser.skipChildren();
            report(
                    Problem.Severity.ERROR,
                    "",
                    "document " + documents
                            + " is not a mapping; must be a Kubernetes object or an object of kind List");
            return;
        }
        ObjectNode head = JSON.createObjectNode();
        ItemList items = new ItemList();
        for (String name = parser.nextName(); name != null; name = parser.nextName()) {
            JsonToken value = parser.nextToken();
            if (name.equals("items") && value == JsonToken.START_ARRAY && !isOtherKind(head)) {
                items.read(parser, head);
            } else {
                head.set(name, parser.<JsonNode>readValueAsTree());
            }
        }
        MergeKeys.resolve(head);
        if (isList(head)) {
            if (!items.read) {
                items.merged(head);
            }
            items.finish(head);
        } else {
            object(head, "", "", "document " + documents);
        }
    }

    private static boolean isList(JsonNode head) {
        return head.path("kind").stringValue("").endsWith("List");
    }

    private static boolean isOtherKind(JsonNode head) {
        return head.has("kind") && !isList(head);
    }

    /** The items of a list. The list's kind may come after its items, because kubectl sorts keys. */
    private final class ItemList {
        private final List<JsonNode> waiting = new ArrayList<>();
        private int count;
        private boolean read;

        void read(JsonParser parser, JsonNode head) {
            read = true;
            while (parser.nextToken() != JsonToken.END_ARRAY) {
                JsonNode item = StrictYaml.tree(parser);
                if (isOwn(item)) {
                    own(item);
                } else if (isList(head) && head.has("apiVersion")) {
                    inherit(item, head);
                } else {
                    waiting.add(item);
                }
            }
        }

        /** Reads items that a merge key adds. */
        void merged(JsonNode head) {
            FieldReader list =
                    FieldReader.root(head, new FieldReader.Report(source, "document " + documents, problems));
            for (FieldReader each : list.get("items").items()) {
                JsonNode item = each.value();
                if (isOwn(item)) {
                    own(item);
                } else {
                    inherit(item, head);
                }
            }
        }

        /** Whether an item contains both a kind and an API version. */
        private static boolean isOwn(JsonNode item) {
            return item.has("kind") && item.has("apiVersion");
        }

        private void own(JsonNode item) {
            object(item, "", "", label(count));
            count++;
        }

        void finish(JsonNode head) {
            for (JsonNode item : waiting) {
                inherit(item, head);
            }
        }

        private void inherit(JsonNode item, JsonNode head) {
            object(
                    item,
                    itemKind(head.path("kind").stringValue("")),
                    head.path("apiVersion").stringValue(""),
                    label(count));
            count++;
        }

        private String label(int index) {
            return "document " + documents + ", items[" + index + "]";
        }
    }

    private void object(JsonNode node, String inheritedKind, String inheritedVersion, String label) {
        FieldReader root = FieldReader.root(node, new FieldReader.Report(source, label, problems));
        if (!root.isMapping()) {
            root.mustBe("a mapping");
            return;
        }
        String kind = root.get("kind").string(inheritedKind);
        String version = root.get("apiVersion").string(inheritedVersion);
        if (kind.isEmpty() || version.isEmpty()) {
            FieldReader missing = root.get(kind.isEmpty() ? "kind" : "apiVersion");
            if (!missing.present() || missing.string() != null) {
                missing.error("missing; set for example apiVersion: v1, kind: Service");
            }
            return;
        }
        if (kind.equals("List") || (kind.endsWith("List") && node.path("items").isArray())) {
            int index = 0;
            for (JsonNode item : node.path("items")) {
                object(item, itemKind(kind), version, label + ".items[" + index + "]");
                index++;
            }
            return;
        }
        Kind known = Kind.of(kind, version);
        if (known == null) {
            boolean sameName = kind.equals("Service") || kind.equals("Endpoints") || kind.equals("EndpointSlice");
            ignored.merge(sameName ? kind + " (" + version + ")" : kind, 1, Integer::sum);
            return;
        }
        KubeObject object = ObjectParser.parse(known, node, source, proxyName, problems);
        if (object == null) {
            return;
        }
        if (objects.putIfAbsent(object.key(), object) == null) {
            added.add(object.key());
        } else {
            report(
                    Problem.Severity.ERROR,
                    object.key().toString(),
                    "defined more than once in this file; the first definition is used");
        }
    }

    private static String itemKind(String listKind) {
        return listKind.substring(0, listKind.length() - "List".length());
    }

    private void report(Problem.Severity severity, String object, String message) {
        problems.add(new Problem(severity, source, object, "", message));
    }
}
