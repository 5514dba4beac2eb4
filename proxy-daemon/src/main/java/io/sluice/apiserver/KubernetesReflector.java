package io.sluice.apiserver;

import io.sluice.document.Problem;
import io.sluice.feed.Reflector;
import io.sluice.feed.SyncLoop;
import io.sluice.feed.SyncLoop.Trigger;
import io.sluice.feed.WatchStatus;
import io.sluice.objects.Kind;
import io.sluice.rules.BuildOptions;
import io.sluice.rules.ObjectStore.SourceState;
import io.sluice.thread.Supervisor;
import io.sluice.thread.Worker;
import java.io.IOException;
import java.time.Clock;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import tools.jackson.core.JacksonException;
import tools.jackson.databind.JsonNode;

/**
 * Keeps the store equal to an API server: Services, EndpointSlices (or Endpoints), ServiceCIDRs and this node's Node.
 *
 * <p>Whatever happens to the server, what was last known stays in force: a watch only ever tells what changed.
 */
public final class KubernetesReflector implements Reflector {
    private static final Logger log = LoggerFactory.getLogger(KubernetesReflector.class);

    /** Servers from this minor version on send a list as a watch. */
    private static final int WATCH_LIST_SINCE = 32;

    private final ApiClient client;
    private final SyncLoop loop;
    private final WatchTimeouts pace;
    private final SharedBackoff retry;
    private final EventRecorder events;
    private final List<Resource> resources = new ArrayList<>();
    private final EndpointsApi endpointsApi;
    private final String proxyName;
    private final String nodeName;
    private final Object lock = new Object();
    // Guarded by the lock.
    private final Set<Kind> waitingFor = new HashSet<>();
    private final Map<Kind, Set<String>> troubles = new HashMap<>();
    private final List<Worker> workers = new ArrayList<>();
    private boolean closed;

    /** How many collections are followed; guarded by the lock. */
    private int watching;

    private volatile List<ListWatch> watches = List.of();

    /** Whether this node's Node is no longer waited for. */
    private volatile boolean nodeSettled;

    /** Since when there is none while nothing is complete without it; null if it is not waited for. */
    private volatile @Nullable Long nodeMissingSinceNanos;

    /** Where endpoints are read from. */
    public enum EndpointsApi {
        /** EndpointSlices, or Endpoints where the server has no such thing. */
        AUTO,
        ENDPOINTSLICES,
        ENDPOINTS
    }

    /**
     * Follows the servers of {@code api} on behalf of a node; one without a name follows no Node.
     *
     * @param nodeWait how long, at a start, nothing is complete without this node's Node object
     */
    public static KubernetesReflector of(
            ApiAccess api, BuildOptions options, EndpointsApi endpointsApi, Duration nodeWait, SyncLoop loop) {
        WatchTimeouts pace = WatchTimeouts.DEFAULT.withNodeWait(nodeWait);
        return new KubernetesReflector(new ApiClient(api), options, endpointsApi, pace, loop);
    }

    KubernetesReflector(
            ApiClient client, BuildOptions options, EndpointsApi endpointsApi, WatchTimeouts pace, SyncLoop loop) {
        nodeName = options.nodeName();
        proxyName = options.serviceProxyName();
        this.client = client;
        this.loop = loop;
        this.pace = pace;
        this.retry = new SharedBackoff(
                pace.firstBackOff(), pace.longestBackOff(), pace.spread(), System::nanoTime, new Random());
        this.endpointsApi = endpointsApi;
        this.events = new EventRecorder(client, nodeName, Clock.systemUTC(), System::nanoTime);
        resources.add(Resource.services(proxyName));
        resources.add(endpointsApi == EndpointsApi.ENDPOINTS ? Resource.endpoints() : Resource.endpointSlices());
        if (!nodeName.isEmpty()) {
            resources.add(Resource.node(nodeName));
        }
        resources.add(Resource.serviceCidrs());
        resources.forEach(resource -> waitingFor.add(resource.kind()));
    }

    /** Records on the same servers, for as long as they are followed. */
    public EventRecorder events() {
        return events;
    }

    @Override
    public void start(Supervisor supervisor) {
        events.start(supervisor);
        Worker starter = supervisor.once("sluice-api", () -> begin(supervisor));
        Worker watchdog = supervisor.scheduled("sluice-api-watchdog", pace.look(), this::look);
        synchronized (lock) {
            workers.add(starter);
            workers.add(watchdog);
        }
    }

    /** Run again if it fails, it goes on where that happened. */
    private void begin(Supervisor supervisor) {
        if (watches.isEmpty()) {
            boolean watchList = hasWatchList();
            watches = resources.stream()
                    .map(resource -> new ListWatch(
                            client,
                            resource,
                            proxyName,
                            watchList,
                            pace,
                            retry,
                            new CollectionHandler(resource.kind())))
                    .toList();
        }
        synchronized (lock) {
            while (!closed && watching < watches.size()) {
                String name = "sluice-watch-" + resources.get(watching).plural();
                workers.add(supervisor.loop(name, watches.get(watching)::run));
                watching++;
            }
        }
    }

    private void look() {
        watches.forEach(ListWatch::checkIdle);
        client.leaveSilent(pace.silence(), pace.alive());
        Long since = nodeMissingSinceNanos;
        if (since != null && System.nanoTime() - since >= pace.nodeWait().toNanos()) {
            log.warn("there is still no Node {}; serving without it", nodeName);
            settleNode();
        }
    }

    /** The Node is no longer waited for. */
    private void settleNode() {
        nodeSettled = true;
        nodeMissingSinceNanos = null;
        complete(Kind.NODE);
    }

    private void complete(Kind kind) {
        boolean complete;
        synchronized (lock) {
            complete = waitingFor.remove(kind) && waitingFor.isEmpty();
        }
        if (complete) {
            loop.offer(Map.of(), true);
        }
    }

    /** An older server would take the request for an ordinary watch, and never say that the list is complete. */
    private boolean hasWatchList() {
        try (ApiResponse answer = client.get("/version")) {
            JsonNode version = ApiLimits.JSON.readTree(answer.bytes(ApiLimits.MAX_VERSION_BYTES, pace.alive()));
            String minor = version.path("minor").stringValue("").replaceAll("[^0-9].*", "");
            log.info(
                    "API server {}, Kubernetes {}",
                    answer.server(),
                    Problem.oneLine(version.path("gitVersion").stringValue("of an unknown version")));
            return version.path("major").stringValue("").equals("1")
                    && !minor.isEmpty()
                    && minor.length() < 5
                    && Integer.parseInt(minor) >= WATCH_LIST_SINCE;
        } catch (IOException | JacksonException e) {
            log.debug("no version: lists are asked for as lists", e);
            return false;
        }
    }

    /** A proxy before the server may have answered for it; that there is no such thing only the server's own list tells. */
    private boolean hasEndpointSlices() {
        try (ApiResponse answer = client.get("/apis")) {
            JsonNode groups = ApiLimits.JSON
                    .readTree(answer.bytes(ApiLimits.MAX_API_GROUPS_BYTES, pace.alive()))
                    .path("groups");
            if (answer.status() != 200 || !groups.isArray()) {
                return true;
            }
            for (JsonNode group : groups) {
                if (group.path("name").stringValue("").equals("discovery.k8s.io")) {
                    return group.path("versions")
                            .valueStream()
                            .anyMatch(version ->
                                    version.path("version").stringValue("").equals("v1"));
                }
            }
            return false;
        } catch (IOException | JacksonException e) {
            log.debug("no list of API groups", e);
            return true;
        }
    }

    private final class CollectionHandler implements WatchListener {
        private final Kind kind;

        CollectionHandler(Kind kind) {
            this.kind = kind;
        }

        @Override
        public void changed(Map<String, SourceState> objects, List<Trigger> triggers) {
            Map<String, SourceState> changes = kind == Kind.NODE ? node(objects) : objects;
            loop.offer(changes, false, triggers);
        }

        /** A Node that was deleted has not taken the machine's addresses with it: the last one stays. */
        private Map<String, SourceState> node(Map<String, SourceState> objects) {
            Map<String, SourceState> there = new HashMap<>(objects);
            if (there.values().removeIf(SourceState.GONE::equals)) {
                loop.nodeExists(false);
            }
            if (!there.isEmpty()) {
                loop.nodeExists(true);
                if (nodeMissingSinceNanos != null) {
                    log.info("there is a Node {} now", nodeName);
                    settleNode();
                }
            }
            return there;
        }

        @Override
        public void listed(Resource resource) {
            if (resource.kind() == Kind.NODE && !loop.nodeExists()) {
                loop.nodeExists(false);
                if (!nodeSettled && !pace.nodeWait().isZero()) {
                    if (nodeMissingSinceNanos == null) {
                        log.warn(
                                "there is no Node {} yet; waiting for it, at most {} s",
                                nodeName,
                                pace.nodeWait().toSeconds());
                        nodeMissingSinceNanos = System.nanoTime();
                        // Health is told now that there is none.
                        loop.offer(Map.of(), false);
                    }
                    return;
                }
            }
            if (resource.kind() == Kind.NODE) {
                nodeSettled = true;
            }
            complete(resource.kind());
        }

        @Override
        public void waived(Resource resource) {
            complete(resource.kind());
        }

        @Override
        public void trouble(Resource resource, String server, String trouble) {
            synchronized (lock) {
                if (trouble.isEmpty()) {
                    Set<String> was = troubles.remove(resource.kind());
                    if (troubles.isEmpty()) {
                        log.info("everything is watched again, on {}", server);
                    } else if (!troubles.containsValue(was)) {
                        log.info("{}: watched again, on {}", resource.name(), server);
                    }
                    return;
                }
                // Four collections on one dead server are one piece of news, in whatever order the servers were tried.
                Set<String> parts = new HashSet<>(List.of(trouble.split("; |: (?=http)")));
                boolean known = troubles.containsValue(parts);
                troubles.put(resource.kind(), parts);
                if (!known) {
                    log.warn("{} cannot be watched: {}", resource.name(), trouble);
                }
            }
        }

        @Override
        public @Nullable Resource absent(Resource resource) {
            if (resource.kind() != Kind.ENDPOINT_SLICE || endpointsApi != EndpointsApi.AUTO) {
                return null;
            }
            if (hasEndpointSlices()) {
                return null;
            }
            log.info("the API server has no EndpointSlices: Endpoints are read instead");
            synchronized (lock) {
                if (waitingFor.remove(Kind.ENDPOINT_SLICE)) {
                    waitingFor.add(Kind.ENDPOINTS);
                }
            }
            return Resource.endpoints();
        }
    }

    /** The server tells every change. */
    @Override
    public void rescan() {}

    @Override
    public List<WatchStatus> watches() {
        boolean waits = nodeMissingSinceNanos != null;
        return watches.stream()
                .map(ListWatch::status)
                .map(status -> waits && status.resource().equals("nodes")
                        ? status.withMissingObject("there is no Node " + nodeName + " yet")
                        : status)
                .toList();
    }

    @Override
    public void close() {
        synchronized (lock) {
            closed = true;
            workers.forEach(Worker::stop);
        }
        events.close();
        retry.close();
        watches.forEach(ListWatch::close);
        client.close();
    }
}
