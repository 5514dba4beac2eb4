package io.sluice.apiserver;

import io.sluice.apiserver.WatchedObjects.Listing;
import io.sluice.document.Problem;
import io.sluice.feed.WatchStatus;
import io.sluice.objects.Kind;
import java.io.IOException;
import java.time.Duration;
import java.time.Instant;
import java.util.Optional;
import java.util.Random;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import tools.jackson.core.JacksonException;
import tools.jackson.core.JsonParser;
import tools.jackson.databind.JsonNode;

/**
 * Lists and watches one collection of an API server and retries after every failure. Runs on its own thread. Objects
 * are parsed one by one from the stream, so a large list needs no more memory than a small one.
 *
 * <p>A watch that ends is resumed at its last resourceVersion. If the server does not know that version (expired, or
 * newer than its state), the collection is listed again, and objects missing from the new list are deleted.
 */
final class ListWatch {
    private static final Logger log = LoggerFactory.getLogger(ListWatch.class);
    private static final String INITIAL_EVENTS_END = "k8s.io/initial-events-end";
    private static final int PAGE_SIZE = 500;

    /** Minimum timeout of a watch, after which the server ends it; the maximum is twice that, as in client-go. */
    private static final int MIN_WATCH_SECONDS = 300;

    private final ApiClient client;
    private final WatchListener listener;
    private final WatchTimeouts timeouts;
    private final SharedBackoff retry;
    private final ServerStream stream;
    private final Random random = new Random();
    private final WatchedObjects objects;

    private Resource resource;
    private boolean watchListOffered;

    /** The resourceVersion from which the next watch starts; empty if the collection must be listed. */
    private String resourceVersion = "";

    /** Minimum resourceVersion of the next list; 0 for any version, empty for the most recent one. */
    private String notOlderThan = "0";

    /** Consecutive failed attempts, for any reason. */
    private int failures;
    /** Consecutive attempts that failed although a server responded. */
    private int errorResponses;

    /** Whether the watched version expired on the server and no watch has succeeded since. */
    private boolean expired;

    private volatile boolean synced;
    private volatile @Nullable Instant lastEvent;
    private final AtomicLong watches = new AtomicLong();
    private final AtomicLong lists = new AtomicLong();
    private volatile String trouble = "";

    /**
     * @param watchListOffered whether the server supports streaming a list as a watch
     * @param retry back-off shared by all collections of the same servers
     */
    ListWatch(
            ApiClient client,
            Resource resource,
            String proxyName,
            boolean watchListOffered,
            WatchTimeouts timeouts,
            SharedBackoff retry,
            WatchListener listener) {
        this.client = client;
        this.resource = resource;
        this.watchListOffered = watchListOffered;
        this.timeouts = timeouts;
        this.retry = retry;
        this.listener = listener;
        this.stream = new ServerStream(client, retry, timeouts);
        this.objects = new WatchedObjects(proxyName, listener, ApiLimits.MAX_OBJECTS, ApiLimits.MAX_PAGES);
    }

    /** Watches the collection until {@link #close}. After an error, can be called again and starts with a list. */
    void run() throws InterruptedException {
        while (!stream.isClosed()) {
            attempt();
        }
    }

    private void attempt() throws InterruptedException {
        try {
            if (resourceVersion.isEmpty() && !watchListOffered) {
                list();
            }
            watch();
        } catch (ApiStatusException e) {
            handleStatus(e);
        } catch (NoServerException e) {
            if (!stream.isClosed()) {
                reportIfRepeated(String.valueOf(e.getMessage()));
                failures++;
                errorResponses = 0;
                retry.await(Duration.ZERO);
            }
        } catch (IOException | JacksonException e) {
            if (!stream.isClosed()) {
                handleFailure(e);
            }
        } catch (RuntimeException | Error e) {
            // The change that was being processed is lost; list again.
            resourceVersion = "";
            throw e;
        }
    }

    private void handleStatus(ApiStatusException e) throws InterruptedException {
        if (e.needsNewList()) {
            handleExpired(e);
            return;
        }
        if (e.status() == 400 && !resource.fields().isEmpty() && resource.kind() == Kind.SERVICE) {
            log.debug("{}: the server does not support the field selector: {}", resource.name(), e.getMessage());
            resource = resource.withoutFields();
            return;
        }
        if ((e.status() == 400 || e.status() == 422) && watchListOffered && resourceVersion.isEmpty()) {
            log.debug("{}: the server does not support streaming lists: {}", resource.name(), e.getMessage());
            watchListOffered = false;
            return;
        }
        if (e.status() == 404 && !synced) {
            Resource other = listener.fallbackFor(resource);
            if (other != null) {
                resource = other;
                return;
            }
        }
        // A 404 for a collection that was listed before comes from a proxy in front of the server.
        boolean forbidden = e.status() == 401 || e.status() == 403 || (e.status() == 404 && !synced);
        if (forbidden && !resource.required()) {
            listener.unavailable(resource);
        }
        reportTrouble(e.getMessage() + hint(e.status()));
        failures++;
        Duration retryAfter = e.retryAfter().orElse(Duration.ZERO);
        retryAfter = retryAfter.compareTo(timeouts.maxErrorBackOff()) > 0 ? timeouts.maxErrorBackOff() : retryAfter;
        if (ServerStream.isUnavailable(e.status())) {
            errorResponses = 0;
            retry.await(retryAfter);
        } else {
            pause(retryAfter, e.status() == 401);
        }
    }

    private void handleExpired(ApiStatusException e) throws InterruptedException {
        log.debug("{}: {}", resource.name(), e.getMessage());
        boolean watched = !resourceVersion.isEmpty();
        resourceVersion = "";
        notOlderThan = "";
        // An expired version is routine: list at once. A version that expires right after a list is a server problem.
        if (watched && !expired) {
            expired = true;
            return;
        }
        reportIfRepeated(String.valueOf(e.getMessage()));
        failures++;
        pause(Duration.ZERO, false);
    }

    private String hint(int status) {
        return switch (status) {
            case 401 -> "; credentials sent: " + client.credentialsDescription();
            case 403 -> "; Sluice needs an RBAC role with the rule " + resource.rule();
            default -> "";
        };
    }

    private void handleFailure(Exception e) throws InterruptedException {
        String why = ServerStream.explain(e);
        log.debug("{}: {}", resource.name(), why, e);
        reportIfRepeated(why);
        failures++;
        pause(Duration.ZERO, false);
    }

    /** Backs off exponentially. With {@code endOnNewCredentials}, returns early if the credentials change. */
    private void pause(Duration atLeast, boolean endOnNewCredentials) throws InterruptedException {
        Duration max = timeouts.maxErrorBackOff();
        Duration backOff = SharedBackoff.backOff(timeouts.initialBackOff(), max, errorResponses, random);
        errorResponses++;
        long left = Math.max(atLeast.toNanos(), backOff.toNanos());
        if (!endOnNewCredentials) {
            if (stream.closed.await(left, TimeUnit.NANOSECONDS)) {
                log.debug("{}: closed", resource.name());
            }
            return;
        }
        long step = Math.min(left, TimeUnit.SECONDS.toNanos(1));
        while (left > 0 && !stream.closed.await(step, TimeUnit.NANOSECONDS) && !client.hasNewCredentials()) {
            left -= step;
        }
    }

    /** Reports the second and further consecutive failures, because a single lost watch is routine. */
    private void reportIfRepeated(String text) {
        if (failures > 0) {
            reportTrouble(text);
        }
    }

    private void reportTrouble(String text) {
        if (!text.equals(trouble)) {
            trouble = text;
            listener.trouble(resource, stream.server(), text);
        }
    }

    private void list() throws IOException {
        Listing listing = objects.list(resource);
        String limit = "limit=" + PAGE_SIZE;
        String next = limit + (notOlderThan.isEmpty() ? "" : "&resourceVersion=" + notOlderThan);
        while (!next.isEmpty()) {
            try (ApiResponse response = stream.get(resource, next, "list", true)) {
                try {
                    listing.page(ApiLimits.JSON.createParser(response.body()), response::nextObject);
                } catch (IOException | JacksonException e) {
                    throw incompleteList(response, e);
                }
            } finally {
                stream.done();
            }
            String token = listing.continueToken();
            next = token.isEmpty() ? "" : limit + "&continue=" + Resource.encoded(token);
        }
        finish(listing, listing.version());
    }

    /** Marks the server as failed, even if it responds to other requests; returns the exception to throw. */
    private IOException incompleteList(ApiResponse response, Exception e) {
        client.markFailed(response.server());
        String what = stream.wasEndedAsIdle(response)
                ? "no data for " + timeouts.idle().toSeconds() + " s"
                : ServerStream.explain(e);
        return new IOException(response.server() + ": list " + resource.name() + ": " + what, e);
    }

    /** Completes the list; from then on, watches report changes. */
    private void finish(Listing listing, String version) throws IOException {
        if (version.isEmpty()) {
            throw new IOException(stream.server() + ": the list of " + resource.name() + " has no resourceVersion");
        }
        listing.finish();
        resourceVersion = version;
        notOlderThan = version;
        lastEvent = Instant.now();
        lists.incrementAndGet();
        synced = true;
        listener.listed(resource);
        reportTrouble("");
    }

    private void watch() throws IOException {
        int seconds = MIN_WATCH_SECONDS + random.nextInt(MIN_WATCH_SECONDS);
        Listing initial = resourceVersion.isEmpty() ? objects.list(resource) : null;
        String query = "watch=true&allowWatchBookmarks=true&timeoutSeconds=" + seconds + "&resourceVersion="
                + (initial == null ? resourceVersion : notOlderThan.equals("0") ? "" : notOlderThan)
                + (initial == null ? "" : "&sendInitialEvents=true&resourceVersionMatch=NotOlderThan");
        long startNanos;
        // If the streamed list is interrupted, the next attempt uses a plain list.
        try (ApiResponse response = stream.get(resource, query, "watch", initial != null)) {
            watches.incrementAndGet();
            watchListOffered &= initial == null;
            if (initial == null) {
                reportTrouble("");
            }
            startNanos = System.nanoTime();
            try {
                JsonParser parser = ApiLimits.JSON.createParser(response.body());
                while (parser.nextToken() != null) {
                    JsonNode event = parser.readValueAsTree();
                    response.nextObject();
                    initial = event(event, initial);
                }
            } catch (IOException | JacksonException e) {
                if (!isTooShort(startNanos) && !ApiLimits.isExceeded(e)) {
                    succeeded();
                }
                if (initial != null && !(e instanceof ApiStatusException)) {
                    throw incompleteList(response, e);
                }
                // An idle watch is not a failure.
                if (!stream.wasEndedAsIdle(response)) {
                    throw e;
                }
            }
        } finally {
            stream.done();
        }
        if (!stream.isClosed() && isTooShort(startNanos)) {
            throw new IOException(stream.server() + " ended the watch of " + resource.name() + " immediately");
        }
        succeeded();
    }

    private void succeeded() {
        expired = false;
        failures = 0;
        errorResponses = 0;
    }

    private boolean isTooShort(long startNanos) {
        return System.nanoTime() - startNanos < timeouts.initialBackOff().toNanos();
    }

    /** Handles one event. Returns the initial list while it is incomplete, else null. */
    private @Nullable Listing event(JsonNode event, @Nullable Listing initial) throws IOException {
        String type = event.path("type").stringValue("");
        JsonNode object = event.path("object");
        lastEvent = Instant.now();
        String version = object.path("metadata").path("resourceVersion").stringValue("");
        switch (type) {
            case "ADDED", "MODIFIED" -> {
                if (initial != null) {
                    initial.add(object);
                } else {
                    objects.put(resource, object);
                }
            }
            case "DELETED" -> {
                if (initial != null) {
                    initial.remove(object);
                } else {
                    objects.delete(resource, object);
                }
            }
            case "BOOKMARK" -> {
                boolean end = object.path("metadata")
                        .path("annotations")
                        .path(INITIAL_EVENTS_END)
                        .stringValue("")
                        .equals("true");
                if (initial != null && end) {
                    finish(initial, version);
                    return null;
                }
            }
            case "ERROR" ->
                throw new ApiStatusException(
                        object.path("code").intValue(500),
                        stream.server() + ": the watch of " + resource.name() + " ended: "
                                + Problem.oneLine(object.path("message").stringValue("no reason given")),
                        Optional.empty());
            default -> log.debug("{}: ignoring an event of unknown type '{}'", resource.name(), Problem.oneLine(type));
        }
        if (initial == null && !version.isEmpty()) {
            advance(version);
        }
        return initial;
    }

    /** Advances to a resourceVersion. Fails if it is lower, because the server's data was restored from a backup. */
    private void advance(String version) throws IOException {
        WatchedObjects.checkToken("resourceVersion", version);
        if (Resource.isOlder(version, resourceVersion)) {
            throw new ApiStatusException(
                    410,
                    stream.server() + ": resource version of " + resource.name() + " went back from " + resourceVersion
                            + " to " + version,
                    Optional.empty());
        }
        resourceVersion = version;
        notOlderThan = version;
    }

    void checkIdle() {
        stream.checkIdle();
    }

    /** Current state of the watch. Thread-safe. */
    WatchStatus status() {
        return new WatchStatus(
                resource.name(),
                synced,
                Optional.ofNullable(lastEvent),
                Math.max(0, watches.get() - 1),
                Math.max(0, lists.get() - 1),
                stream.server(),
                trouble);
    }

    void close() {
        stream.close();
    }
}
