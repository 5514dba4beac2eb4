package io.sluice.apiserver;

import io.sluice.document.Problem;
import io.sluice.document.Problem.Severity;
import io.sluice.model.ServicePortName;
import io.sluice.thread.Supervisor;
import io.sluice.thread.Worker;
import java.io.IOException;
import java.time.Clock;
import java.time.Duration;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ArrayBlockingQueue;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;
import java.util.function.LongSupplier;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import tools.jackson.core.JacksonException;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;
import tools.jackson.databind.node.ObjectNode;

/**
 * Records problems as Kubernetes Events on the Service or EndpointSlice concerned, so that users can see them without
 * access to the node's log.
 *
 * <p>There is one Event per object and reason, with a count and the newest message. Recording is best effort: it is
 * rate-limited, does not repeat a message within an hour, drops messages if the queue is full, and pauses in a
 * namespace where it is forbidden.
 */
public final class EventRecorder implements AutoCloseable {
    private static final Logger log = LoggerFactory.getLogger(EventRecorder.class);
    private static final JsonMapper JSON = ApiLimits.JSON;

    /** Maximum number of Events sent in a burst, as in kube-proxy. */
    private static final int BURST = 25;

    private static final long REFILL_NANOS = TimeUnit.SECONDS.toNanos(5);
    private static final long REPEAT_NANOS = TimeUnit.HOURS.toNanos(1);

    /** Pause after status 403. Retrying can help: a namespace may be recreated, or a role granted. */
    private static final long FORBIDDEN_PAUSE_NANOS = TimeUnit.MINUTES.toNanos(10);

    private static final Duration RESPONSE_TIMEOUT = Duration.ofSeconds(10);
    private static final int MAX_REMEMBERED = 1_000;
    private static final int QUEUE_CAPACITY = 100;
    private static final int MAX_MESSAGE_CHARACTERS = 1_000;

    private final ApiClient client;
    private final String nodeName;
    private final Clock clock;
    private final LongSupplier nanoTime;
    private final BlockingQueue<Event> queue = new ArrayBlockingQueue<>(QUEUE_CAPACITY);
    private @Nullable Worker worker;
    private volatile boolean closed;

    // Confined to the worker thread.
    private final Map<Event, Long> lastSentNanos = boundedMap();
    private final Map<String, Long> forbiddenSinceNanos = boundedMap();
    /** Events on the server, by object and reason. */
    private final Map<List<String>, Recorded> recorded = boundedMap();

    private boolean refusalLogged;
    private double tokens = BURST;
    private long refilledNanos;

    /** The reason of an Event: a problem, or the end of one. */
    public enum Reason {
        NOT_SERVED("NotServed", null),
        /** The Service is served, but an annotation is ignored. */
        INVALID_ANNOTATION("InvalidAnnotation", null),
        FRONTEND_FAILED("FrontendFailed", null),
        /** An endpoint started to fail. */
        ENDPOINT_FAILING("EndpointFailing", null),
        /** A failing endpoint answers again. */
        ENDPOINT_RECOVERED("EndpointRecovered", ENDPOINT_FAILING),
        /** No endpoint of a service port answers. */
        NO_ENDPOINT_ANSWERS("NoEndpointAnswers", null),
        /** An endpoint of such a service port answers again. */
        SERVICE_RECOVERED("ServiceRecovered", NO_ENDPOINT_ANSWERS);

        private final String text;
        private final @Nullable Reason ended;

        Reason(String text, @Nullable Reason ended) {
            this.text = text;
            this.ended = ended;
        }

        private String type() {
            return ended == null ? "Warning" : "Normal";
        }
    }

    /** @param path URL path of the object concerned */
    private record Event(String path, Reason reason, String message) {
        List<String> series() {
            return List.of(path, reason.text);
        }
    }

    /**
     * An Event that exists on the server.
     *
     * @param uid UID of the object concerned; a recreated object has another UID and gets a new Event
     */
    private record Recorded(String path, String uid, int count) {}

    /**
     * @param clock clock for the timestamps in Events
     * @param nanoTime monotonic clock for the rate limits
     */
    EventRecorder(ApiClient client, String nodeName, Clock clock, LongSupplier nanoTime) {
        this.client = client;
        this.nodeName = nodeName;
        this.clock = clock;
        this.nanoTime = nanoTime;
        this.refilledNanos = nanoTime.getAsLong();
    }

    private static <K, V> Map<K, V> boundedMap() {
        return new LinkedHashMap<>(64, 0.75f, false) {
            private static final long serialVersionUID = 1;

            @Override
            protected boolean removeEldestEntry(Map.Entry<K, V> eldest) {
                return size() > MAX_REMEMBERED;
            }
        };
    }

    void start(Supervisor supervisor) {
        worker = supervisor.loop("sluice-events", this::run);
    }

    /**
     * Records a new problem. Ignores warnings, and problems that do not concern an object on the server. Never blocks;
     * thread-safe.
     */
    public void problem(Problem problem) {
        if (problem.severity() == Severity.ERROR && problem.source().startsWith("/")) {
            String field = problem.field().isEmpty() ? "" : problem.field() + ": ";
            Reason reason = field.startsWith("metadata.annotations") ? Reason.INVALID_ANNOTATION : Reason.NOT_SERVED;
            put(new Event(problem.source(), reason, field + problem.message()));
        }
    }

    /** Records that a frontend of a Service failed. Never blocks; thread-safe. */
    public void failed(ServicePortName service, String message) {
        service(service, Reason.FRONTEND_FAILED, message);
    }

    /** Records a problem of a Service, or its end. Never blocks; thread-safe. */
    public void service(ServicePortName service, Reason reason, String message) {
        String path = "/api/v1/namespaces/" + service.namespace() + "/services/" + service.service();
        put(new Event(path, reason, Problem.escaped(message)));
    }

    private void put(Event event) {
        if (!closed && !queue.offer(event)) {
            log.debug("event queue is full, dropping {}", event);
        }
    }

    private void run() throws InterruptedException {
        while (!closed) {
            process(queue.take());
        }
    }

    private void process(Event event) {
        long now = nanoTime.getAsLong();
        tokens = Math.min(BURST, tokens + (now - refilledNanos) / (double) REFILL_NANOS);
        refilledNanos = now;
        if (event.reason().ended != null) {
            // Otherwise the newest Event would remain the recovery if the same problem occurred again within the hour.
            lastSentNanos
                    .keySet()
                    .removeIf(each -> each.path().equals(event.path()) && each.reason() == event.reason().ended);
        }
        Long last = lastSentNanos.get(event);
        if (tokens < 1 || (last != null && now - last < REPEAT_NANOS)) {
            return;
        }
        tokens--;
        try {
            if (send(event, now)) {
                lastSentNanos.remove(event);
                lastSentNanos.put(event, now);
            }
        } catch (IOException | JacksonException e) {
            log.debug("cannot record event {}", event, e);
        }
    }

    /** Updates the existing Event of the object, or creates one. Returns whether the server accepted it. */
    private boolean send(Event event, long now) throws IOException {
        JsonNode object = object(event.path());
        if (object.isMissingNode()) {
            return false;
        }
        String namespace = object.path("metadata").path("namespace").stringValue("default");
        Long forbiddenSince = forbiddenSinceNanos.get(namespace);
        if (forbiddenSince != null && now - forbiddenSince < FORBIDDEN_PAUSE_NANOS) {
            return false;
        }
        Recorded before = recorded.get(event.series());
        if (before != null && before.uid().equals(uid(object))) {
            int status = patch(event, before, namespace);
            // Create a new Event if the existing one has expired (after an hour) or the role lacks the verb patch.
            if (status != 404 && status != 403) {
                return status < 300;
            }
        }
        return create(event, object, namespace, now);
    }

    /** Updates count and message of an existing Event, as client-go's recorder does. */
    private int patch(Event event, Recorded before, String namespace) throws IOException {
        ObjectNode change = JSON.createObjectNode()
                .put("message", truncated(event.message()))
                .put("lastTimestamp", seconds(clock.instant()))
                .put("count", before.count() + 1);
        try (ApiResponse response = client.patch(before.path(), JSON.writeValueAsBytes(change))) {
            if (response.status() == 401) {
                logRefusal(namespace, response);
            } else if (response.status() >= 300) {
                log.debug("cannot update event {}: {} {}", event, response.status(), response.errorMessage());
            } else {
                refusalLogged = false;
                remember(event, new Recorded(before.path(), before.uid(), before.count() + 1));
            }
            return response.status();
        }
    }

    private boolean create(Event event, JsonNode object, String namespace, long now) throws IOException {
        ObjectNode json = json(event, object, namespace, clock.instant());
        String path = "/api/v1/namespaces/" + namespace + "/events";
        try (ApiResponse response = client.post(path, JSON.writeValueAsBytes(json))) {
            if (response.status() == 403) {
                forbiddenSinceNanos.remove(namespace);
                forbiddenSinceNanos.put(namespace, now);
            }
            if (response.status() == 401 || response.status() == 403) {
                logRefusal(namespace, response);
            } else if (response.status() >= 300) {
                log.debug("cannot record event {}: {} {}", event, response.status(), response.errorMessage());
            } else {
                refusalLogged = false;
                String name = json.path("metadata").path("name").stringValue("");
                remember(event, new Recorded(path + "/" + name, uid(object), 1));
            }
            return response.status() < 300;
        }
    }

    private void remember(Event event, Recorded now) {
        recorded.remove(event.series());
        recorded.put(event.series(), now);
    }

    private void logRefusal(String namespace, ApiResponse response) throws IOException {
        if (refusalLogged) {
            return;
        }
        refusalLogged = true;
        log.info(
                "cannot record Events in namespace '{}': {} responded {}: {}; dropping them for now. Sluice needs an"
                        + " RBAC role with the rule {apiGroups: [\"\"], resources: [events], verbs: [create, patch]}",
                namespace,
                response.server(),
                response.status(),
                response.errorMessage());
    }

    private static String uid(JsonNode object) {
        return object.path("metadata").path("uid").stringValue("");
    }

    private static String truncated(String message) {
        return message.substring(0, Math.min(message.length(), MAX_MESSAGE_CHARACTERS));
    }

    private static String seconds(Instant time) {
        return time.truncatedTo(ChronoUnit.SECONDS).toString();
    }

    /** Reads the object concerned. Uses a list request, so that the role does not need the verb get. */
    private JsonNode object(String path) throws IOException {
        int slash = path.lastIndexOf('/');
        String query = path.substring(0, slash) + "?fieldSelector="
                + Resource.encoded("metadata.name=" + path.substring(slash + 1));
        try (ApiResponse response = client.get(query)) {
            if (response.status() != 200) {
                return JSON.missingNode();
            }
            JsonNode list = JSON.readTree(response.bytes(ApiLimits.MAX_SINGLE_LIST_BYTES, RESPONSE_TIMEOUT));
            JsonNode object = list.path("items").path(0);
            if (object instanceof ObjectNode item) {
                // Items of a list do not contain kind and apiVersion.
                String kind = list.path("kind").stringValue("");
                item.put("kind", kind.substring(0, Math.max(0, kind.length() - "List".length())));
                item.put("apiVersion", list.path("apiVersion").stringValue(""));
            }
            return object;
        }
    }

    private ObjectNode json(Event event, JsonNode object, String namespace, Instant now) {
        JsonNode metadata = object.path("metadata");
        String name = metadata.path("name").stringValue("");
        ObjectNode json = JSON.createObjectNode().put("apiVersion", "v1").put("kind", "Event");
        json.putObject("metadata")
                .put(
                        "name",
                        name + "."
                                + Long.toHexString(ThreadLocalRandom.current().nextLong()))
                .put("namespace", namespace);
        json.putObject("involvedObject")
                .put("apiVersion", object.path("apiVersion").stringValue(""))
                .put("kind", object.path("kind").stringValue(""))
                .put("namespace", namespace)
                .put("name", name)
                .put("uid", uid(object));
        json.putObject("source").put("component", "sluice").put("host", nodeName);
        String time = seconds(now);
        return json.put("type", event.reason().type())
                .put("reason", event.reason().text)
                .put("message", truncated(event.message()))
                .put("firstTimestamp", time)
                .put("lastTimestamp", time)
                .put("count", 1)
                .put("reportingComponent", "sluice")
                .put("reportingInstance", nodeName);
    }

    /** Stops immediately and discards the queued events. */
    @Override
    public void close() {
        closed = true;
        if (worker != null) {
            worker.close();
        }
        List<Event> dropped = new ArrayList<>();
        queue.drainTo(dropped);
        log.debug("dropped {} queued events", dropped.size());
    }
}
