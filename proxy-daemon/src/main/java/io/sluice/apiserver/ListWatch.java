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
 * Keeps up with one collection on an API server: lists it, then watches it from there, for ever and whatever happens. One
 * thread of its own; objects are parsed off the stream one by one, so a large list costs no more memory than a small one.
 *
 * <p>A watch that ends is taken up again where it ended. Only where the server does not remember that far, or not yet,
 * the collection is listed again, and what is not in the new list is gone.
 */
final class ListWatch {
    private static final Logger log = LoggerFactory.getLogger(ListWatch.class);

    private static final int PAGE = 500;

    /** A server ends a watch by itself after this time, so that watches spread over servers; as client-go does. */
    private static final int WATCH_SECONDS = 300;

    private static final String INITIAL_EVENTS_END = "k8s.io/initial-events-end";

    private final ApiClient client;
    private final WatchListener listener;
    private final WatchTimeouts pace;
    private final SharedBackoff retry;
    private final ServerStream stream;
    private final Random random = new Random();

    private final WatchedObjects objects;

    private Resource resource;

    /** Where the next watch begins; empty if the collection must be listed. */
    private String resourceVersion = "";

    /** What the next list may not be older than; 0 for anything, empty for the newest there is. */
    private String notOlderThan = "0";

    private boolean watchListOffered;
    /** Attempts in a row that did not end well, whatever the reason. */
    private int failures;
    /** Of these, the last ones to which a server answered. */
    private int refusals;

    /** Whether a server has forgotten what was watched, and no watch has gone well since. */
    private boolean expired;

    private volatile boolean synced;
    private volatile @Nullable Instant lastEvent;
    private final AtomicLong watches = new AtomicLong();
    private final AtomicLong lists = new AtomicLong();
    private volatile String trouble = "";
    /**
     * @param watchListOffered whether the server can send a list as a watch
     * @param retry where the collections of the same servers wait
     */
    ListWatch(
            ApiClient client,
            Resource resource,
            String proxyName,
            boolean watchListOffered,
            WatchTimeouts pace,
            SharedBackoff retry,
            WatchListener listener) {
        this.client = client;
        this.resource = resource;
        this.watchListOffered = watchListOffered;
        this.pace = pace;
        this.retry = retry;
        this.listener = listener;
        this.stream = new ServerStream(client, retry, pace);
        this.objects = new WatchedObjects(proxyName, listener, ApiLimits.MAX_OBJECTS, ApiLimits.MAX_PAGES);
    }

    /** Follows the collection until this is closed. After an error it may be run again, and then begins with a list. */
    void run() throws InterruptedException {
        while (!stream.isClosed()) {
            once();
        }
    }

    private void once() throws InterruptedException {
        try {
            if (resourceVersion.isEmpty() && !watchListOffered) {
                list();
            }
            watch();
        } catch (ApiStatusException e) {
            refused(e);
        } catch (NoServerException e) {
            if (!stream.isClosed()) {
                complain(String.valueOf(e.getMessage()));
                failures++;
                refusals = 0;
                retry.await(Duration.ZERO);
            }
        } catch (IOException | JacksonException e) {
            if (!stream.isClosed()) {
                failed(e);
            }
        } catch (RuntimeException | Error e) {
            // What was being told when this happened is known to no one but the server.
            resourceVersion = "";
            throw e;
        }
    }

    private void refused(ApiStatusException e) throws InterruptedException {
        if (e.needsNewList()) {
            expired(e);
            return;
        }
        if (e.status() == 400 && !resource.fields().isEmpty() && resource.kind() == Kind.SERVICE) {
            log.debug("{}: no such field here: {}", resource.name(), e.getMessage());
            resource = resource.withoutFields();
            return;
        }
        if ((e.status() == 400 || e.status() == 422) && watchListOffered && resourceVersion.isEmpty()) {
            log.debug("{}: no list as a watch here: {}", resource.name(), e.getMessage());
            watchListOffered = false;
            return;
        }
        if (e.status() == 404 && !synced) {
            Resource other = listener.absent(resource);
            if (other != null) {
                resource = other;
                return;
            }
        }
        // What was there does not vanish: something before the server answers for it.
        boolean forbidden = e.status() == 401 || e.status() == 403 || (e.status() == 404 && !synced);
        if (forbidden && !resource.required()) {
            listener.waived(resource);
        }
        say(e.getMessage() + remedy(e.status()));
        failures++;
        Duration asked = e.retryAfter().orElse(Duration.ZERO);
        asked = asked.compareTo(pace.longestRefusal()) > 0 ? pace.longestRefusal() : asked;
        if (ServerStream.isUnwell(e.status())) {
            refusals = 0;
            retry.await(asked);
        } else {
            pause(asked, e.status() == 401);
        }
    }

    private void expired(ApiStatusException e) throws InterruptedException {
        log.debug("{}: {}", resource.name(), e.getMessage());
        boolean watched = !resourceVersion.isEmpty();
        resourceVersion = "";
        notOlderThan = "";
        // A server that forgets is everyday: the list is wanted at once. One that does not know its own list is not.
        if (watched && !expired) {
            expired = true;
            return;
        }
        complain(String.valueOf(e.getMessage()));
        failures++;
        pause(Duration.ZERO, false);
    }

    private String remedy(int status) {
        return switch (status) {
            case 401 -> "; it was shown " + client.credentials();
            case 403 -> "; its role needs " + resource.rule();
            default -> "";
        };
    }

    private void failed(Exception e) throws InterruptedException {
        String why = ServerStream.explain(e);
        log.debug("{}: {}", resource.name(), why, e);
        complain(why);
        failures++;
        pause(Duration.ZERO, false);
    }

    /** Waits the longer the more of the servers' answers were of no use, but for the first time hardly at all. */
    private void pause(Duration atLeast, boolean forCredentials) throws InterruptedException {
        Duration backOff = SharedBackoff.backOff(pace.firstBackOff(), pace.longestRefusal(), refusals, random);
        refusals++;
        long left = Math.max(atLeast.toNanos(), backOff.toNanos());
        if (!forCredentials) {
            if (stream.closed.await(left, TimeUnit.NANOSECONDS)) {
                log.debug("{}: closed", resource.name());
            }
            return;
        }
        long step = Math.min(left, TimeUnit.SECONDS.toNanos(1));
        while (left > 0 && !stream.closed.await(step, TimeUnit.NANOSECONDS) && !client.hasOtherCredentials()) {
            left -= step;
        }
    }

    /** One lost watch is everyday; that it cannot be had again is news. */
    private void complain(String text) {
        if (failures > 0) {
            say(text);
        }
    }

    private void say(String text) {
        if (!text.equals(trouble)) {
            trouble = text;
            listener.trouble(resource, stream.server(), text);
        }
    }

    private void list() throws IOException {
        Listing listing = objects.list(resource);
        String next = "limit=" + PAGE + (notOlderThan.isEmpty() ? "" : "&resourceVersion=" + notOlderThan);
        while (!next.isEmpty()) {
            try (ApiResponse answer = stream.get(resource, next, "list", true)) {
                try {
                    listing.page(ApiLimits.JSON.createParser(answer.body()), answer::nextObject);
                } catch (IOException | JacksonException e) {
                    throw cutOff(answer, e);
                }
            } finally {
                stream.done();
            }
            next = listing.more().isEmpty() ? "" : "limit=" + PAGE + "&continue=" + Resource.encoded(listing.more());
        }
        finish(listing, listing.version());
    }

    /** A server that cannot finish a list may still answer whatever else it is asked; another one comes first now. */
    private IOException cutOff(ApiResponse answer, Exception e) {
        client.distrust(answer.server());
        String what = stream.wasSilent(answer)
                ? "nothing more for " + pace.idle().toSeconds() + " s"
                : ServerStream.explain(e);
        return new IOException(answer.server() + ": list " + resource.name() + ": " + what, e);
    }

    /** The list is complete: from here on, watches tell what changes. */
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
        say("");
    }

    private void watch() throws IOException {
        int seconds = WATCH_SECONDS + random.nextInt(WATCH_SECONDS);
        Listing initial = resourceVersion.isEmpty() ? objects.list(resource) : null;
        String query = "watch=true&allowWatchBookmarks=true&timeoutSeconds=" + seconds + "&resourceVersion="
                + (initial == null ? resourceVersion : notOlderThan.equals("0") ? "" : notOlderThan)
                + (initial == null ? "" : "&sendInitialEvents=true&resourceVersionMatch=NotOlderThan");
        long begunNanos;
        // Should it break off half-way, an ordinary list is next.
        try (ApiResponse answer = stream.get(resource, query, "watch", initial != null)) {
            watches.incrementAndGet();
            watchListOffered &= initial == null;
            if (initial == null) {
                say("");
            }
            begunNanos = System.nanoTime();
            try {
                JsonParser parser = ApiLimits.JSON.createParser(answer.body());
                while (parser.nextToken() != null) {
                    JsonNode event = parser.readValueAsTree();
                    answer.nextObject();
                    initial = event(event, initial);
                }
            } catch (IOException | JacksonException e) {
                if (!isTooShort(begunNanos) && !ApiLimits.isExceeded(e)) {
                    wentWell();
                }
                if (initial != null && !(e instanceof ApiStatusException)) {
                    throw cutOff(answer, e);
                }
                // That nothing happened is no failure.
                if (!stream.wasSilent(answer)) {
                    throw e;
                }
            }
        } finally {
            stream.done();
        }
        if (!stream.isClosed() && isTooShort(begunNanos)) {
            throw new IOException(stream.server() + " ended the watch of " + resource.name() + " as soon as it began");
        }
        wentWell();
    }

    private void wentWell() {
        expired = false;
        failures = 0;
        refusals = 0;
    }

    private boolean isTooShort(long begunNanos) {
        return System.nanoTime() - begunNanos < pace.firstBackOff().toNanos();
    }

    /** Returns the initial list, as long as it is not complete. */
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
            default -> log.debug("{}: an event of type '{}'", resource.name(), Problem.oneLine(type));
        }
        if (initial == null && !version.isEmpty()) {
            advance(version);
        }
        return initial;
    }

    /** A server that was put back to an older state counts from there; what we missed meanwhile only a list tells. */
    private void advance(String version) throws IOException {
        WatchedObjects.checkToken("resourceVersion", version);
        if (Resource.isOlder(version, resourceVersion)) {
            throw new ApiStatusException(
                    410,
                    stream.server() + ": resource version " + version + " of " + resource.name() + " after "
                            + resourceVersion,
                    Optional.empty());
        }
        resourceVersion = version;
        notOlderThan = version;
    }

    void checkIdle() {
        stream.checkIdle();
    }

    /** How it fares; any thread. */
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
