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
 * Passes objects from an API server to the {@link SyncLoop}: Services, EndpointSlices (or Endpoints), ServiceCIDRs and
 * this node's Node.
 *
 * <p>When the API server is unreachable, the last known objects stay applied.
 */
public final class KubernetesReflector implements Reflector {
    private static final Logger log = LoggerFactory.getLogger(KubernetesReflector.class);

    /** First Kubernetes 1.x minor version whose API server can stream a list as a watch (WatchList). */
    private static final int WATCH_LIST_MINOR = 32;

    private final ApiClient client;
    private final SyncLoop loop;
    private final WatchTimeouts timeouts;
    private final SharedBackoff retry;
    private final EventRecorder events;
    private final List<Resource> resources = new ArrayList<>();
    private final EndpointsApi endpointsApi;
    private final String proxyName;
    private final String nodeName;
    private final Object lock = new Object();
    // Guarded by the lock.
    private final Set<Kind> notListed = new HashSet<>();
    private final Map<Kind, Set<String>> troubles = new HashMap<>();
    private final List<Worker> workers = new ArrayList<>();
    private boolean closed;

    /** Number of watches already started; guarded by the lock. */
    private int startedWatches;

    private volatile List<ListWatch> watches = List.of();

    /** Whether startup no longer waits for this node's Node. */
    private volatile boolean nodeSettled;

    /** Time at which the Node was first found missing while startup waits for it; null if startup does not wait. */
    private volatile @Nullable Long nodeMissingSinceNanos;

    /** API from which endpoints are read. */
    public enum EndpointsApi {
        /** EndpointSlices, or Endpoints if the server does not have the EndpointSlice API. */
        AUTO,
        ENDPOINTSLICES,
        ENDPOINTS
    }

    /**
     * Creates a reflector for the servers of {@code api}. Without a node name in the options, no Node is watched.
     *
     * @param nodeWait maximum time that the initial sync waits for this node's Node object
     */
    public static KubernetesReflector of(
            ApiAccess api, BuildOptions options, EndpointsApi endpointsApi, Duration nodeWait, SyncLoop loop) {
        WatchTimeouts timeouts = WatchTimeouts.DEFAULT.withNodeWait(nodeWait);
        return new KubernetesReflector(new ApiClient(api), options, endpointsApi, timeouts, loop);
    }

    KubernetesReflector(
            ApiClient client, BuildOptions options, EndpointsApi endpointsApi, WatchTimeouts timeouts, SyncLoop loop) {
        nodeName = options.nodeName();
        proxyName = options.serviceProxyName();
        this.client = client;
        this.loop = loop;
        this.timeouts = timeouts;
        this.retry = new SharedBackoff(
                timeouts.initialBackOff(),
                timeouts.maxBackOff(),
                timeouts.resumeSpread(),
                System::nanoTime,
                new Random());
        this.endpointsApi = endpointsApi;
        this.events = new EventRecorder(client, nodeName, Clock.systemUTC(), System::nanoTime);
        resources.addAll(resources(options, endpointsApi));
        resources.forEach(resource -> notListed.add(resource.kind()));
    }

    /**
     * Lists all objects once, without watching them, and returns them by path.
     *
     * @throws IOException if a list fails or takes too long; the message names the server and the reason
     */
    public static Map<String, SourceState> list(ApiAccess api, BuildOptions options, EndpointsApi endpointsApi)
            throws IOException, InterruptedException {
        try (ApiClient client = new ApiClient(api)) {
            return OneTimeList.of(client, options, endpointsApi);
        }
    }

    /** The recorder that sends Events to these API servers. Closed together with this reflector. */
    public EventRecorder events() {
        return events;
    }

    @Override
    public void start(Supervisor supervisor) {
        events.start(supervisor);
        Worker starter = supervisor.once("sluice-api", () -> startWatches(supervisor));
        Worker watchdog = supervisor.scheduled("sluice-api-watchdog", timeouts.checkInterval(), this::checkTimeouts);
        synchronized (lock) {
            workers.add(starter);
            workers.add(watchdog);
        }
    }

    /** Starts the watches. Can be called again after a failure; does not start any watch twice. */
    private void startWatches(Supervisor supervisor) {
        if (watches.isEmpty()) {
            boolean watchList = hasWatchList();
            watches = resources.stream()
                    .map(resource -> new ListWatch(
                            client,
                            resource,
                            proxyName,
                            watchList,
                            timeouts,
                            retry,
                            new CollectionHandler(resource.kind())))
                    .toList();
        }
        synchronized (lock) {
            while (!closed && startedWatches < watches.size()) {
                String name = "sluice-watch-" + resources.get(startedWatches).plural();
                workers.add(supervisor.loop(name, watches.get(startedWatches)::run));
                startedWatches++;
            }
        }
    }

    private void checkTimeouts() {
        watches.forEach(ListWatch::checkIdle);
        client.probeSilentServers(timeouts.serverSilence(), timeouts.probe());
        Long since = nodeMissingSinceNanos;
        if (since != null && System.nanoTime() - since >= timeouts.nodeWait().toNanos()) {
            log.warn("Node {} still does not exist; starting without it", nodeName);
            stopWaitingForNode();
        }
    }

    /** Ends the wait for the Node. */
    private void stopWaitingForNode() {
        nodeSettled = true;
        nodeMissingSinceNanos = null;
        complete(Kind.NODE);
    }

    private void complete(Kind kind) {
        boolean complete;
        synchronized (lock) {
            complete = notListed.remove(kind) && notListed.isEmpty();
        }
        if (complete) {
            loop.offer(Map.of(), true);
        }
    }

    /** Whether the server can stream a list as a watch. An older server would never mark the list as complete. */
    private boolean hasWatchList() {
        try (ApiResponse response = client.get("/version")) {
            JsonNode version = ApiLimits.JSON.readTree(response.bytes(ApiLimits.MAX_VERSION_BYTES, timeouts.probe()));
            String minor = version.path("minor").stringValue("").replaceAll("[^0-9].*", "");
            log.info(
                    "API server {}, Kubernetes {}",
                    response.server(),
                    Problem.oneLine(version.path("gitVersion").stringValue("version unknown")));
            return version.path("major").stringValue("").equals("1")
                    && !minor.isEmpty()
                    && minor.length() < 5
                    && Integer.parseInt(minor) >= WATCH_LIST_MINOR;
        } catch (IOException | JacksonException e) {
            log.debug("cannot read the version of the API server; using plain lists", e);
            return false;
        }
    }

    /**
     * Whether the server has the EndpointSlice API. Reads the list of API groups, because a 404 may come from a proxy
     * in front of the server. True if the list is unavailable.
     */
    private boolean hasEndpointSlices() {
        try (ApiResponse response = client.get("/apis")) {
            JsonNode groups = ApiLimits.JSON
                    .readTree(response.bytes(ApiLimits.MAX_API_GROUPS_BYTES, timeouts.probe()))
                    .path("groups");
            if (response.status() != 200 || !groups.isArray()) {
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
            log.debug("cannot read the list of API groups; assuming that EndpointSlices exist", e);
            return true;
        }
    }

    /** The collections from which Sluice reads its objects. */
    static List<Resource> resources(BuildOptions options, EndpointsApi endpointsApi) {
        List<Resource> resources = new ArrayList<>();
        resources.add(Resource.services(options.serviceProxyName()));
        resources.add(endpointsApi == EndpointsApi.ENDPOINTS ? Resource.endpoints() : Resource.endpointSlices());
        if (!options.nodeName().isEmpty()) {
            resources.add(Resource.node(options.nodeName()));
        }
        resources.add(Resource.serviceCidrs());
        return resources;
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

        /** Keeps the last known Node when it is deleted, because the machine keeps its addresses. */
        private Map<String, SourceState> node(Map<String, SourceState> objects) {
            Map<String, SourceState> present = new HashMap<>(objects);
            if (present.values().removeIf(SourceState.GONE::equals)) {
                loop.nodeExists(false);
            }
            if (!present.isEmpty()) {
                loop.nodeExists(true);
                if (nodeMissingSinceNanos != null) {
                    log.info("Node {} exists now", nodeName);
                    stopWaitingForNode();
                }
            }
            return present;
        }

        @Override
        public void listed(Resource resource) {
            if (resource.kind() == Kind.NODE && !loop.nodeExists()) {
                loop.nodeExists(false);
                if (!nodeSettled && !timeouts.nodeWait().isZero()) {
                    if (nodeMissingSinceNanos == null) {
                        log.warn(
                                "Node {} does not exist yet; waiting up to {} s for it",
                                nodeName,
                                timeouts.nodeWait().toSeconds());
                        nodeMissingSinceNanos = System.nanoTime();
                        // Makes the node's health reflect the missing Node.
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
        public void unavailable(Resource resource) {
            complete(resource.kind());
        }

        @Override
        public void trouble(Resource resource, String server, String trouble) {
            synchronized (lock) {
                if (trouble.isEmpty()) {
                    Set<String> previous = troubles.remove(resource.kind());
                    if (troubles.isEmpty()) {
                        log.info("all watches re-established (API server {})", server);
                    } else if (!troubles.containsValue(previous)) {
                        log.info("watch of {} re-established (API server {})", resource.name(), server);
                    }
                    return;
                }
                // One failed server fails all watches; log this only once, regardless of the order in which the servers
                // were tried.
                Set<String> parts = new HashSet<>(List.of(trouble.split("; |: (?=http)")));
                boolean known = troubles.containsValue(parts);
                troubles.put(resource.kind(), parts);
                if (!known) {
                    log.warn("cannot watch {}: {}; retrying; the applied state stays active", resource.name(), trouble);
                }
            }
        }

        @Override
        public @Nullable Resource fallbackFor(Resource resource) {
            if (resource.kind() != Kind.ENDPOINT_SLICE || endpointsApi != EndpointsApi.AUTO) {
                return null;
            }
            if (hasEndpointSlices()) {
                return null;
            }
            log.info("the API server does not support EndpointSlices; reading Endpoints instead");
            synchronized (lock) {
                if (notListed.remove(Kind.ENDPOINT_SLICE)) {
                    notListed.add(Kind.ENDPOINTS);
                }
            }
            return Resource.endpoints();
        }
    }

    /** Does nothing: watches report every change. */
    @Override
    public void rescan() {}

    @Override
    public List<WatchStatus> watches() {
        boolean waits = nodeMissingSinceNanos != null;
        return watches.stream()
                .map(ListWatch::status)
                .map(status -> waits && status.resource().equals("nodes")
                        ? status.withMissingObject("Node " + nodeName + " does not exist yet")
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
