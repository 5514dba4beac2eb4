package io.sluice.apiserver;

import io.sluice.document.Problem;
import io.sluice.document.Problem.Severity;
import io.sluice.model.ServicePortName;
import io.sluice.thread.Supervisor;
import io.sluice.thread.Worker;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
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
 * Tells a cluster's operator, as Events on the Service or slice concerned, what only the node's log would say otherwise.
 *
 * <p>There is one Event for each object and reason, with a count and the newest message. A courtesy: rate-limited, never
 * repeated within an hour, dropped rather than waited for, and left for a while in a namespace where the server does not
 * allow it.
 */
public final class EventRecorder implements AutoCloseable {
    private static final Logger log = LoggerFactory.getLogger(EventRecorder.class);
    private static final JsonMapper JSON = ApiLimits.JSON;

    /** kube-proxy's limits for one source. */
    private static final int BURST = 25;

    private static final long REFILL_NANOS = TimeUnit.SECONDS.toNanos(5);
    private static final long REPEAT_NANOS = TimeUnit.HOURS.toNanos(1);

    /** A namespace that is being deleted takes none, and may come back; a role may be given. */
    private static final long REFUSED_NANOS = TimeUnit.MINUTES.toNanos(10);

    private static final Duration ANSWER = Duration.ofSeconds(10);
    private static final int REMEMBERED = 1_000;
    private static final int WAITING = 100;
    private static final int LONGEST_MESSAGE = 1_000;

    private final ApiClient client;
    private final String nodeName;
    private final Clock clock;
    private final LongSupplier nanoTime;
    private final BlockingQueue<Event> waiting = new ArrayBlockingQueue<>(WAITING);
    private @Nullable Worker worker;
    private volatile boolean closed;

    // Used on the thread only.
    private final Map<Event, Long> told = lastOnes();
    private final Map<String, Long> refused = lastOnes();
    /** By object and reason. */
    private final Map<List<String>, Recorded> recorded = lastOnes();

    private boolean refusalSaid;
    private double tokens = BURST;
    private long refilledNanos;

    /** @param path of the object concerned, on the API server */
    private record Event(String path, String reason, String message) {
        List<String> series() {
            return List.of(path, reason);
        }
    }

    /**
     * An Event that is on the server.
     *
     * @param uid of the object concerned: one made again under its name has Events of its own
     */
    private record Recorded(String path, String uid, int count) {}

    /**
     * @param clock what an Event says
     * @param nanoTime what is waited by: a clock may be set
     */
    EventRecorder(ApiClient client, String nodeName, Clock clock, LongSupplier nanoTime) {
        this.client = client;
        this.nodeName = nodeName;
        this.clock = clock;
        this.nanoTime = nanoTime;
        this.refilledNanos = nanoTime.getAsLong();
    }

    private static <K, V> Map<K, V> lastOnes() {
        return new LinkedHashMap<>(64, 0.75f, false) {
            private static final long serialVersionUID = 1;

            @Override
            protected boolean removeEldestEntry(Map.Entry<K, V> eldest) {
                return size() > REMEMBERED;
            }
        };
    }

    void start(Supervisor supervisor) {
        worker = supervisor.loop("sluice-events", this::run);
    }

    /** A problem that appeared; only errors are worth an Event. Any thread, never blocks. */
    public void problem(Problem problem) {
        if (problem.severity() == Severity.ERROR && problem.source().startsWith("/")) {
            String field = problem.field().isEmpty() ? "" : problem.field() + ": ";
            put(new Event(problem.source(), "NotServed", field + problem.message()));
        }
    }

    /** An address of a Service that cannot be served. Any thread, never blocks. */
    public void failed(ServicePortName service, String message) {
        String path = "/api/v1/namespaces/" + service.namespace() + "/services/" + service.service();
        put(new Event(path, "FrontendFailed", message));
    }

    private void put(Event event) {
        if (!closed && !waiting.offer(event)) {
            log.debug("too many events: {} left out", event);
        }
    }

    private void run() throws InterruptedException {
        while (!closed) {
            consider(waiting.take());
        }
    }

    private void consider(Event event) {
        long now = nanoTime.getAsLong();
        tokens = Math.min(BURST, tokens + (now - refilledNanos) / (double) REFILL_NANOS);
        refilledNanos = now;
        Long last = told.get(event);
        if (tokens < 1 || (last != null && now - last < REPEAT_NANOS)) {
            return;
        }
        tokens--;
        try {
            if (send(event, now)) {
                told.remove(event);
                told.put(event, now);
            }
        } catch (IOException | JacksonException e) {
            log.debug("event {} not recorded", event, e);
        }
    }

    /** Merges the event into the one its object has, or creates one. Returns whether the server took it. */
    private boolean send(Event event, long now) throws IOException {
        JsonNode object = object(event.path());
        if (object.isMissingNode()) {
            return false;
        }
        String namespace = object.path("metadata").path("namespace").stringValue("default");
        Long refusedAt = refused.get(namespace);
        if (refusedAt != null && now - refusedAt < REFUSED_NANOS) {
            return false;
        }
        Recorded before = recorded.get(event.series());
        if (before != null && before.uid().equals(uid(object))) {
            int status = patch(event, before, namespace);
            // Events expire after an hour, and a role may lack the verb patch: then a new one is created.
            if (status != 404 && status != 403) {
                return status < 300;
            }
        }
        return create(event, object, namespace, now);
    }

    /** As client-go's recorder does: one line with a count for an operator, one object for the server. */
    private int patch(Event event, Recorded before, String namespace) throws IOException {
        ObjectNode change = JSON.createObjectNode()
                .put("message", shortened(event.message()))
                .put("lastTimestamp", seconds(clock.instant()))
                .put("count", before.count() + 1);
        try (ApiResponse answer = client.patch(before.path(), JSON.writeValueAsBytes(change))) {
            if (answer.status() == 401) {
                sayRefused(namespace, answer);
            } else if (answer.status() >= 300) {
                log.debug("event {} not merged: {} {}", event, answer.status(), beginning(answer));
            } else {
                refusalSaid = false;
                remember(event, new Recorded(before.path(), before.uid(), before.count() + 1));
            }
            return answer.status();
        }
    }

    private boolean create(Event event, JsonNode object, String namespace, long now) throws IOException {
        ObjectNode json = json(event, object, namespace, clock.instant());
        String path = "/api/v1/namespaces/" + namespace + "/events";
        try (ApiResponse answer = client.post(path, JSON.writeValueAsBytes(json))) {
            if (answer.status() == 403) {
                refused.remove(namespace);
                refused.put(namespace, now);
            }
            if (answer.status() == 401 || answer.status() == 403) {
                sayRefused(namespace, answer);
            } else if (answer.status() >= 300) {
                log.debug("event {} not recorded: {} {}", event, answer.status(), beginning(answer));
            } else {
                refusalSaid = false;
                String name = json.path("metadata").path("name").stringValue("");
                remember(event, new Recorded(path + "/" + name, uid(object), 1));
            }
            return answer.status() < 300;
        }
    }

    private void remember(Event event, Recorded now) {
        recorded.remove(event.series());
        recorded.put(event.series(), now);
    }

    private void sayRefused(String namespace, ApiResponse answer) throws IOException {
        if (refusalSaid) {
            return;
        }
        refusalSaid = true;
        log.info(
                "Events in namespace {} are not recorded for now: {} answers {} {}; its role needs {apiGroups: [\"\"],"
                        + " resources: [events], verbs: [create, patch]}",
                namespace,
                answer.server(),
                answer.status(),
                beginning(answer));
    }

    private static String uid(JsonNode object) {
        return object.path("metadata").path("uid").stringValue("");
    }

    private static String shortened(String message) {
        return message.substring(0, Math.min(message.length(), LONGEST_MESSAGE));
    }

    private static String seconds(Instant time) {
        return time.truncatedTo(ChronoUnit.SECONDS).toString();
    }

    private static String beginning(ApiResponse answer) throws IOException {
        return Problem.oneLine(new String(answer.bytes(1_000, ApiLimits.ERROR_TIMEOUT), StandardCharsets.UTF_8));
    }

    /** The object as it is now, found by listing: a role that may list need not be allowed to get. */
    private JsonNode object(String path) throws IOException {
        int slash = path.lastIndexOf('/');
        String query = path.substring(0, slash) + "?fieldSelector="
                + Resource.encoded("metadata.name=" + path.substring(slash + 1));
        try (ApiResponse answer = client.get(query)) {
            if (answer.status() != 200) {
                return JSON.missingNode();
            }
            JsonNode list = JSON.readTree(answer.bytes(ApiLimits.MAX_SINGLE_LIST_BYTES, ANSWER));
            JsonNode object = list.path("items").path(0);
            if (object instanceof ObjectNode item) {
                // In a list only the list says it.
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
        return json.put("type", "Warning")
                .put("reason", event.reason())
                .put("message", shortened(event.message()))
                .put("firstTimestamp", time)
                .put("lastTimestamp", time)
                .put("count", 1)
                .put("reportingComponent", "sluice")
                .put("reportingInstance", nodeName);
    }

    /** Ends at once; what waits is lost. */
    @Override
    public void close() {
        closed = true;
        if (worker != null) {
            worker.close();
        }
        List<Event> lost = new ArrayList<>();
        waiting.drainTo(lost);
        log.debug("{} events lost", lost.size());
    }
}
