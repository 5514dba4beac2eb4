package io.sluice.apiserver;

import io.sluice.document.Problem;
import io.sluice.feed.SyncLoop.Trigger;
import io.sluice.model.Family;
import io.sluice.objects.KubeObject;
import io.sluice.objects.ObjectParser;
import io.sluice.rules.BuildOptions;
import io.sluice.rules.ObjectStore.SourceState;
import java.io.IOException;
import java.time.DateTimeException;
import java.time.Instant;
import java.time.OffsetDateTime;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import tools.jackson.core.JsonParser;
import tools.jackson.core.JsonToken;
import tools.jackson.core.exc.StreamReadException;
import tools.jackson.databind.JsonNode;

/**
 * The objects of one watched collection. Parses data from the API server with the same parser as manifests, and passes
 * changes to a {@link WatchListener}. Confined to one thread.
 */
final class WatchedObjects {
    private static final Logger log = LoggerFactory.getLogger(WatchedObjects.class);
    private static final String TRIGGER_TIME_ANNOTATION = "endpoints.kubernetes.io/last-change-trigger-time";

    /** Number of listed objects that are passed to the listener at a time. */
    private static final int CHUNK_SIZE = 200;

    private final String proxyName;
    private final WatchListener listener;
    private final Instant started = Instant.now();
    private final int maxObjects;
    private final int maxPages;
    private final Set<String> known = new HashSet<>();

    /**
     * @param proxyName service proxy name, as in {@link BuildOptions}
     * @param maxObjects maximum number of objects in the collection
     * @param maxPages maximum number of pages of one list
     */
    WatchedObjects(String proxyName, WatchListener listener, int maxObjects, int maxPages) {
        this.proxyName = proxyName;
        this.listener = listener;
        this.maxObjects = maxObjects;
        this.maxPages = maxPages;
    }

    void put(Resource resource, JsonNode object) throws IOException {
        String path = resource.pathOf(object);
        if (path != null) {
            addKnown(path);
            listener.changed(Map.of(path, parse(resource, path, object)), triggers(object));
        }
    }

    private void addKnown(String path) throws IOException {
        if (known.add(path) && known.size() > maxObjects) {
            known.remove(path);
            throw new ApiLimits.ExceededException("the collection has more than " + maxObjects + " objects");
        }
    }

    /** Checks the length of a resourceVersion or continue token, which becomes part of a URL. */
    static void checkToken(String name, String token) throws IOException {
        if (token.length() > ApiLimits.MAX_TOKEN_CHARACTERS) {
            throw new ApiLimits.ExceededException(
                    name + " is longer than " + ApiLimits.MAX_TOKEN_CHARACTERS + " characters");
        }
    }

    void delete(Resource resource, JsonNode object) {
        String path = resource.pathOf(object);
        if (path != null) {
            listener.changed(Map.of(path, SourceState.GONE), List.of());
            // Remove the path only now: if the listener fails, the next list reports the deletion again.
            known.remove(path);
        }
    }

    private SourceState parse(Resource resource, String path, JsonNode object) {
        List<Problem> problems = new ArrayList<>();
        KubeObject parsed = null;
        try {
            parsed = ObjectParser.parse(resource.kind(), object, path, proxyName, problems);
        } catch (RuntimeException | StackOverflowError e) {
            // A parser bug that affects one object must not stop the watch.
            log.warn("internal error: cannot parse {}; ignoring the object", path, e);
            problems.add(new Problem(Problem.Severity.ERROR, path, "", "", "cannot be parsed: " + e));
        }
        return new SourceState(
                parsed == null ? List.of() : List.of(parsed),
                problems.stream().distinct().toList());
    }

    /**
     * Times of the changes that led to this state of the object. Leaves out changes before Sluice started, because
     * Sluice is not responsible for their delay.
     */
    private List<Trigger> triggers(JsonNode object) {
        String text = object.path("metadata")
                .path("annotations")
                .path(TRIGGER_TIME_ANNOTATION)
                .stringValue("");
        if (text.isEmpty()) {
            return List.of();
        }
        try {
            Instant at = OffsetDateTime.parse(text).toInstant();
            String type = object.path("addressType").stringValue("");
            Family family = type.equals("IPv6") ? Family.IPV6 : Family.IPV4;
            return at.isAfter(started) ? List.of(new Trigger(at, family)) : List.of();
        } catch (DateTimeException e) {
            log.debug("annotation {} is not a timestamp: '{}'", TRIGGER_TIME_ANNOTATION, Problem.oneLine(text));
            return List.of();
        }
    }

    /** Creates an empty listing, to which the pages of a new list are added. */
    Listing list(Resource resource) {
        return new Listing(resource);
    }

    /** Collects the objects of a list, passes them to the listener in chunks, and finally reports deleted objects. */
    final class Listing {
        private final Resource resource;
        private final Set<String> seen = new HashSet<>();
        private final Map<String, SourceState> chunk = new HashMap<>();
        private String version = "";
        private String continueToken = "";
        private int pages;

        private Listing(Resource resource) {
            this.resource = resource;
        }

        /** The resourceVersion of the list; empty if the server sent none. */
        String version() {
            return version;
        }

        /** Continue token for the next page; empty after the last page. */
        String continueToken() {
            return continueToken;
        }

        /**
         * Reads one page from the stream. Only one object at a time is held in memory as a tree.
         *
         * @param afterEach callback that runs after each object
         */
        void page(JsonParser parser, Runnable afterEach) throws IOException {
            String before = continueToken;
            continueToken = "";
            if (parser.nextToken() != JsonToken.START_OBJECT) {
                throw new StreamReadException(parser, "not an object");
            }
            for (String name = parser.nextName(); name != null; name = parser.nextName()) {
                JsonToken value = parser.nextToken();
                if (name.equals("items") && value == JsonToken.START_ARRAY) {
                    while (parser.nextToken() != JsonToken.END_ARRAY) {
                        add(parser.readValueAsTree());
                        afterEach.run();
                    }
                } else if (name.equals("metadata")) {
                    JsonNode metadata = parser.readValueAsTree();
                    version = metadata.path("resourceVersion").stringValue("");
                    continueToken = metadata.path("continue").stringValue("");
                } else {
                    parser.skipChildren();
                }
            }
            if (parser.currentToken() != JsonToken.END_OBJECT) {
                throw new StreamReadException(parser, "truncated");
            }
            checkToken("resourceVersion", version);
            checkToken("continue", continueToken);
            if (++pages >= maxPages && !continueToken.isEmpty()) {
                throw new ApiLimits.ExceededException("the list has more than " + maxPages + " pages");
            }
            if (!continueToken.isEmpty() && continueToken.equals(before)) {
                throw new ApiLimits.ExceededException("the list repeats its continue token");
            }
        }

        void add(JsonNode object) throws IOException {
            String path = resource.pathOf(object);
            if (path != null) {
                addKnown(path);
                seen.add(path);
                chunk.put(path, parse(resource, path, object));
            }
            if (chunk.size() >= CHUNK_SIZE) {
                flush();
            }
        }

        /** Removes an object that was deleted while the list was being sent. */
        void remove(JsonNode object) {
            seen.remove(resource.pathOf(object));
        }

        void finish() {
            for (String path : known) {
                if (!seen.contains(path)) {
                    chunk.put(path, SourceState.GONE);
                }
            }
            flush();
            known.retainAll(seen);
        }

        private void flush() {
            if (!chunk.isEmpty()) {
                listener.changed(Map.copyOf(chunk), List.of());
                chunk.clear();
            }
        }
    }
}
