package io.sluice.kube;

import io.sluice.kube.Problem.Severity;
import io.sluice.model.ServicePortName;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.time.Clock;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ArrayBlockingQueue;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.ThreadLocalRandom;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import tools.jackson.core.JacksonException;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;
import tools.jackson.databind.node.ObjectNode;

/**
 * Tells a cluster's operator, as Events on the Service or slice concerned, what only the node's log would say otherwise.
 *
 * <p>A courtesy: rate-limited, never repeated within an hour, dropped rather than waited for, and given up where the
 * server does not allow it.
 */
public final class EventRecorder implements AutoCloseable {
    private static final Logger log = LoggerFactory.getLogger(EventRecorder.class);
    private static final JsonMapper JSON = JsonMapper.builder().build();

    /** kube-proxy's limits for one source. */
    private static final int BURST = 25;

    private static final Duration REFILL = Duration.ofSeconds(5);
    private static final Duration REPEAT = Duration.ofHours(1);
    private static final int REMEMBERED = 1_000;
    private static final int WAITING = 100;
    private static final int LONGEST_MESSAGE = 1_000;

    private final ApiClient client;
    private final String nodeName;
    private final Clock clock;
    private final BlockingQueue<Event> waiting = new ArrayBlockingQueue<>(WAITING);
    private final Thread thread = new Thread(this::run, "sluice-events");
    private volatile boolean off;

    // Used on the thread only.
    private final Map<Event, Instant> told = new LinkedHashMap<>(64, 0.75f, false) {
        private static final long serialVersionUID = 1;

        @Override
        protected boolean removeEldestEntry(Map.Entry<Event, Instant> eldest) {
            return size() > REMEMBERED;
        }
    };
    private double tokens = BURST;
    private Instant refilled;

    /** @param path of the object concerned, on the API server */
    private record Event(String path, String reason, String message) {}

    EventRecorder(ApiClient client, String nodeName, Clock clock) {
        this.client = client;
        this.nodeName = nodeName;
        this.clock = clock;
        this.refilled = clock.instant();
        thread.setDaemon(true);
    }

    void start() {
        thread.start();
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
        if (!off && !waiting.offer(event)) {
            log.debug("too many events: {} left out", event);
        }
    }

    private void run() {
        try {
            while (!off) {
                consider(waiting.take());
            }
        } catch (InterruptedException e) {
            log.debug("interrupted: closing");
        }
    }

    private void consider(Event event) {
        Instant now = clock.instant();
        tokens = Math.min(BURST, tokens + Duration.between(refilled, now).toMillis() / (double) REFILL.toMillis());
        refilled = now;
        Instant last = told.get(event);
        if (tokens < 1 || (last != null && Duration.between(last, now).compareTo(REPEAT) < 0)) {
            return;
        }
        tokens--;
        told.remove(event);
        told.put(event, now);
        try {
            post(event, now);
        } catch (IOException | JacksonException e) {
            log.debug("event {} not recorded", event, e);
        }
    }

    private void post(Event event, Instant now) throws IOException {
        JsonNode object = object(event.path());
        if (object.isMissingNode()) {
            return;
        }
        String namespace = object.path("metadata").path("namespace").stringValue("default");
        byte[] body = JSON.writeValueAsBytes(json(event, object, namespace, now));
        try (Answer answer = client.post("/api/v1/namespaces/" + namespace + "/events", body)) {
            if (answer.status() == 401 || answer.status() == 403) {
                off = true;
                log.info(
                        "no Events are recorded: {} answers {}; to have them, the role needs"
                                + " {apiGroups: [\"\"], resources: [events], verbs: [create]}",
                        answer.server(),
                        answer.status());
            } else if (answer.status() >= 300) {
                log.debug(
                        "event {} not recorded: {} {}",
                        event,
                        answer.status(),
                        new String(answer.body().readNBytes(1_000), StandardCharsets.UTF_8));
            }
        }
    }

    /** The object as it is now, found by listing: a role that may list need not be allowed to get. */
    private JsonNode object(String path) throws IOException {
        int slash = path.lastIndexOf('/');
        String query = path.substring(0, slash) + "?fieldSelector="
                + Resource.encoded("metadata.name=" + path.substring(slash + 1));
        try (Answer answer = client.get(query)) {
            if (answer.status() != 200) {
                return JSON.missingNode();
            }
            JsonNode list = JSON.readTree(answer.body());
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
                .put("uid", metadata.path("uid").stringValue(""));
        json.putObject("source").put("component", "sluice").put("host", nodeName);
        String time = now.truncatedTo(java.time.temporal.ChronoUnit.SECONDS).toString();
        String message = event.message();
        return json.put("type", "Warning")
                .put("reason", event.reason())
                .put("message", message.substring(0, Math.min(message.length(), LONGEST_MESSAGE)))
                .put("firstTimestamp", time)
                .put("lastTimestamp", time)
                .put("count", 1)
                .put("reportingComponent", "sluice")
                .put("reportingInstance", nodeName);
    }

    /** Whether Events are still recorded. */
    boolean isOn() {
        return !off;
    }

    /** Ends at once; what waits is lost. */
    @Override
    public void close() {
        off = true;
        thread.interrupt();
        List<Event> lost = new ArrayList<>();
        waiting.drainTo(lost);
        log.debug("{} events lost", lost.size());
    }
}
