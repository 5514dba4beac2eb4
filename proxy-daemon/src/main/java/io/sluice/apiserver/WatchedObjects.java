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
 * The objects of one collection that were told of: turns what an API server sends into what they are now, by the parser
 * that files use. Confined to one thread.
 */
final class WatchedObjects {
    private static final Logger log = LoggerFactory.getLogger(WatchedObjects.class);
    private static final String TRIGGERED = "endpoints.kubernetes.io/last-change-trigger-time";

    /** So many objects are told at a time while listing. */
    private static final int CHUNK = 200;

    private final String proxyName;
    private final WatchListener listener;
    private final Instant started = Instant.now();
    private final int maxObjects;
    private final int maxPages;
    private final Set<String> known = new HashSet<>();

    /**
     * @param proxyName as in {@link BuildOptions}
     * @param maxObjects in the collection
     * @param maxPages in one list
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
            throw new ApiLimits.ExceededException("there are more than " + maxObjects + " objects");
        }
    }

    /** Both kinds of token become part of a URL. */
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
            // After it was told: if that fails, the next list tells it.
            known.remove(path);
        }
    }

    private SourceState parse(Resource resource, String path, JsonNode object) {
        List<Problem> problems = new ArrayList<>();
        KubeObject parsed = null;
        try {
            parsed = ObjectParser.parse(resource.kind(), object, path, proxyName, problems);
        } catch (RuntimeException | StackOverflowError e) {
            // A fault of a parser on an odd object must not keep the others from being followed.
            log.warn("{} made the parser fail", path, e);
            problems.add(new Problem(Problem.Severity.ERROR, path, "", "", "cannot be parsed: " + e));
        }
        return new SourceState(
                parsed == null ? List.of() : List.of(parsed),
                problems.stream().distinct().toList());
    }

    /** What happened before we began has taken long, but not because of us. */
    private List<Trigger> triggers(JsonNode object) {
        String text =
                object.path("metadata").path("annotations").path(TRIGGERED).stringValue("");
        if (text.isEmpty()) {
            return List.of();
        }
        try {
            Instant at = OffsetDateTime.parse(text).toInstant();
            String type = object.path("addressType").stringValue("");
            Family family = type.equals("IPv6") ? Family.IPV6 : Family.IPV4;
            return at.isAfter(started) ? List.of(new Trigger(at, family)) : List.of();
        } catch (DateTimeException e) {
            log.debug("{}: not a time: {}", TRIGGERED, Problem.oneLine(text));
            return List.of();
        }
    }

    /** A list that begins. */
    Listing list(Resource resource) {
        return new Listing(resource);
    }

    /** Collects what a list has, tells it in chunks, and in the end what is gone. */
    final class Listing {
        private final Resource resource;
        private final Set<String> seen = new HashSet<>();
        private final Map<String, SourceState> chunk = new HashMap<>();
        private String version = "";
        private String more = "";
        private int pages;

        private Listing(Resource resource) {
            this.resource = resource;
        }

        /** Which state of the collection it is; empty if that was not said. */
        String version() {
            return version;
        }

        /** What to ask for the next page with; empty if this was the last. */
        String more() {
            return more;
        }

        /**
         * One page, as it comes off the stream: however many objects there are, one is a tree in memory at a time.
         *
         * @param afterEach run after each object
         */
        void page(JsonParser parser, Runnable afterEach) throws IOException {
            String before = more;
            more = "";
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
                    more = metadata.path("continue").stringValue("");
                } else {
                    parser.skipChildren();
                }
            }
            if (parser.currentToken() != JsonToken.END_OBJECT) {
                throw new StreamReadException(parser, "ends in the middle");
            }
            checkToken("resourceVersion", version);
            checkToken("continue", more);
            if (++pages >= maxPages && !more.isEmpty()) {
                throw new ApiLimits.ExceededException("the list has more than " + maxPages + " pages");
            }
            if (!more.isEmpty() && more.equals(before)) {
                throw new ApiLimits.ExceededException("the list continues with the page that was just sent");
            }
        }

        void add(JsonNode object) throws IOException {
            String path = resource.pathOf(object);
            if (path != null) {
                addKnown(path);
                seen.add(path);
                chunk.put(path, parse(resource, path, object));
            }
            if (chunk.size() >= CHUNK) {
                flush();
            }
        }

        /** It went while the list was being sent. */
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
