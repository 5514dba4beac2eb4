package io.sluice.apiserver;

import static java.util.Objects.requireNonNull;

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpHandler;
import com.sun.net.httpserver.HttpServer;
import io.sluice.document.StrictYaml;
import java.io.IOException;
import java.io.OutputStream;
import java.io.StringReader;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.URLDecoder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.Executors;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;
import tools.jackson.databind.node.ObjectNode;

/**
 * In-memory API server with lists and watches, and with faults on demand. All watches get every change in order.
 * Supports the selectors that the proxy uses.
 */
public final class FakeCluster implements HttpHandler, AutoCloseable {
    private static final JsonMapper JSON = JsonMapper.builder().build();

    private final Map<String, ObjectNode> objects = new TreeMap<>();
    private final List<Change> history = new ArrayList<>();
    private final List<Watcher> watchers = new CopyOnWriteArrayList<>();
    final List<String> requests = new CopyOnWriteArrayList<>();
    final List<JsonNode> posted = new CopyOnWriteArrayList<>();
    final List<JsonNode> patched = new CopyOnWriteArrayList<>();
    private final Map<String, Failure> failures = new HashMap<>();
    private final Set<String> absent = new HashSet<>();
    private long version = 100;
    private long compactedVersion;
    private int minor = 34;
    private boolean silent;
    /** Requests whose URL contains this get no response for now; empty for none. */
    private String delayedUrlPart = "";

    private @Nullable HttpServer server;

    /** A change of one object; {@code before} is null for a new object, {@code after} for a deleted one. */
    private record Change(
            String path,
            long version,
            @Nullable ObjectNode before,
            @Nullable ObjectNode after) {}

    /** The response that matching requests get instead of the regular one, this many times. */
    private record Failure(int status, String headers, String body, int times, boolean unfinished) {}

    public FakeCluster start() throws IOException {
        return start(0);
    }

    /** Starts to listen on loopback; port 0 for any port. */
    public FakeCluster start(int port) throws IOException {
        HttpServer opened = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), port), 0);
        opened.setExecutor(Executors.newCachedThreadPool(task -> {
            Thread thread = new Thread(task, "fake-cluster");
            thread.setDaemon(true);
            return thread;
        }));
        opened.createContext("/", this);
        opened.start();
        server = opened;
        return this;
    }

    public int port() {
        return requireNonNull(server).getAddress().getPort();
    }

    public String url() {
        return "http://127.0.0.1:" + port();
    }

    /** A short timeout, because a connection that the JDK's server accepted while it stopped never gets a response. */
    static final ApiClient.Environment ONE_SECOND_TIMEOUT = new ApiClient.Environment(
            Duration.ofSeconds(5), Duration.ofSeconds(1), System::nanoTime, InetAddress::getAllByName);

    /** A client of these clusters without credentials. */
    static ApiClient clientOf(FakeCluster... clusters) {
        try {
            List<String> urls = Stream.of(clusters).map(FakeCluster::url).toList();
            ApiOptions options = new ApiOptions(List.of(), "", urls, null, null, false);
            ApiAccess access = ApiAccess.find(options, Map.of(), Path.of("/nowhere"), Path.of("/nowhere"));
            return new ApiClient(access, ONE_SECOND_TIMEOUT);
        } catch (ApiAccessException e) {
            throw new AssertionError(e);
        }
    }

    ApiClient client() {
        return clientOf(this);
    }

    /** API access to this cluster, for a daemon. */
    public ApiAccess access() {
        try {
            ApiOptions options = new ApiOptions(List.of(), "", List.of(url()), null, null, false);
            return ApiAccess.find(options, Map.of(), Path.of("/nowhere"), Path.of("/nowhere"));
        } catch (ApiAccessException e) {
            throw new AssertionError(e);
        }
    }

    /** Closes all connections; objects are kept. */
    @Override
    public void close() {
        breakWatches();
        requireNonNull(server).stop(0);
    }

    /** Creates or replaces the objects of a manifest with one or several YAML documents. */
    public void apply(String manifests) {
        try (var parser = StrictYaml.parser(new StringReader(manifests))) {
            while (parser.nextToken() != null) {
                JsonNode node = parser.readValueAsTree();
                if (node.isObject()) {
                    put((ObjectNode) node);
                }
            }
        }
    }

    private static String pathOf(JsonNode object) {
        Resource resource = resourceOf(object.path("kind").stringValue(""));
        return requireNonNull(resource.pathOf(object));
    }

    private static Resource resourceOf(String kind) {
        return switch (kind) {
            case "Service" -> Resource.services("");
            case "EndpointSlice" -> Resource.endpointSlices();
            case "Endpoints" -> Resource.endpoints();
            case "Node" -> Resource.node("any");
            case "ServiceCIDR" -> Resource.serviceCidrs();
            default -> throw new IllegalArgumentException(kind);
        };
    }

    synchronized void put(ObjectNode object) {
        ObjectNode metadata = (ObjectNode) object.get("metadata");
        if (!metadata.has("namespace")
                && !resourceOf(object.path("kind").stringValue("")).kind().isClusterScoped()) {
            metadata.put("namespace", "default");
        }
        metadata.put("resourceVersion", String.valueOf(++version));
        String path = pathOf(object);
        publish(new Change(path, version, objects.put(path, object), object));
    }

    public synchronized void delete(String path) {
        ObjectNode before = requireNonNull(objects.remove(path)).deepCopy();
        ((ObjectNode) before.get("metadata")).put("resourceVersion", String.valueOf(++version));
        publish(new Change(path, version, before, null));
    }

    private void publish(Change change) {
        history.add(change);
        watchers.forEach(watcher -> watcher.send(change));
    }

    public synchronized Set<String> paths() {
        return new HashSet<>(objects.keySet());
    }

    public synchronized List<JsonNode> all() {
        return new ArrayList<>(objects.values());
    }

    /** Discards the history, so that no watch can resume from an earlier version. */
    public synchronized void compact() {
        history.clear();
        compactedVersion = version;
    }

    /** Sets the resource version back, as after a restore from a backup. */
    public synchronized void rewind(long to) {
        version = to;
        compact();
    }

    /** Makes changes that open watches do not get. */
    public synchronized void changeUnseen(Runnable change) {
        List<Watcher> were = List.copyOf(watchers);
        watchers.clear();
        change.run();
        watchers.addAll(were);
    }

    public void endWatches() {
        watchers.forEach(watcher -> watcher.end(true));
    }

    /** Breaks all watches off, as by a connection reset. */
    public void breakWatches() {
        watchers.forEach(watcher -> watcher.end(false));
    }

    int watches() {
        return watchers.size();
    }

    /** Delays responses to requests whose URL contains {@code text}, until the next call with another string. */
    synchronized void delayResponses(String text) {
        delayedUrlPart = text;
        notifyAll();
    }

    /** Whether to send no responses and no events. */
    public synchronized void silent(boolean now) {
        silent = now;
        notifyAll();
    }

    /** Fails the next requests whose URL contains {@code text}. */
    public synchronized void fail(String text, int times, int status, String header, String body) {
        failures.put(text, new Failure(status, header, body, times, false));
    }

    /** Sends only the start of the response to the next requests whose URL contains {@code text}. */
    public synchronized void hang(String text, int times, int status) {
        failures.put(text, new Failure(status, "", "{\"kind\":", times, true));
    }

    public synchronized void clearFailures() {
        failures.clear();
    }

    synchronized void omitCollection(String plural) {
        absent.add(plural);
    }

    synchronized void minor(int number) {
        minor = number;
    }

    /** Sends raw text to all watches of a collection. */
    public void send(String plural, String text) {
        watchers.stream()
                .filter(watcher -> watcher.query.collection().endsWith("/" + plural))
                .forEach(watcher -> watcher.write(text));
    }

    public void bookmark() {
        watchers.forEach(watcher -> watcher.bookmark(false));
    }

    private record Query(String collection, Map<String, String> parameters) {
        static Query of(HttpExchange exchange) {
            Map<String, String> parameters = new HashMap<>();
            String raw = exchange.getRequestURI().getRawQuery();
            for (String pair : raw == null ? new String[0] : raw.split("&")) {
                int equals = pair.indexOf('=');
                parameters.put(
                        pair.substring(0, Math.max(0, equals)),
                        URLDecoder.decode(pair.substring(equals + 1), StandardCharsets.UTF_8));
            }
            return new Query(exchange.getRequestURI().getPath(), parameters);
        }

        String get(String name) {
            return parameters.getOrDefault(name, "");
        }

        private boolean hasLabels(JsonNode object) {
            JsonNode labels = object.path("metadata").path("labels");
            return Stream.of(get("labelSelector").split(","))
                    .filter(part -> !part.isEmpty())
                    .allMatch(part -> part.startsWith("!")
                            ? !labels.has(part.substring(1))
                            : labels.path(part.split("=")[0]).stringValue("").equals(part.split("=")[1]));
        }

        boolean selects(String path, JsonNode object) {
            String plural = collection.substring(collection.lastIndexOf('/') + 1);
            String prefix = collection.substring(0, collection.lastIndexOf('/'));
            if (!path.startsWith(prefix + "/") || !path.matches(".*/" + plural + "/[^/]+")) {
                return false;
            }
            String fields = get("fieldSelector");
            return hasLabels(object)
                    && (!fields.startsWith("metadata.name=")
                            || path.endsWith("/" + fields.substring("metadata.name=".length())))
                    && (!fields.equals("spec.clusterIP!=None")
                            || !object.path("spec")
                                    .path("clusterIP")
                                    .stringValue("")
                                    .equals("None"));
        }
    }

    @Override
    public void handle(HttpExchange exchange) throws IOException {
        try {
            respond(exchange);
        } catch (RuntimeException e) {
            exchange.close();
            throw FakeApiServer.asError(e);
        }
    }

    private void respond(HttpExchange exchange) throws IOException {
        Query query = Query.of(exchange);
        String address = exchange.getRequestURI().toString();
        requests.add(address);
        Failure failure = awaitResponse(address);
        String plural = query.collection().substring(query.collection().lastIndexOf('/') + 1);
        if (failure != null) {
            if (!failure.headers().isEmpty()) {
                String[] header = failure.headers().split(": ");
                exchange.getResponseHeaders().set(header[0], header[1]);
            }
            if (failure.unfinished()) {
                exchange.sendResponseHeaders(failure.status(), 1_000);
                exchange.getResponseBody().write(failure.body().getBytes(StandardCharsets.UTF_8));
                exchange.getResponseBody().flush();
                return;
            }
            sendResponse(exchange, failure.status(), failure.body());
        } else if (query.collection().equals("/apis")) {
            String slices = absent.contains("endpointslices")
                    ? ""
                    : "{\"name\":\"discovery.k8s.io\",\"versions\":[{\"version\":\"v1\"}]}";
            sendResponse(exchange, 200, "{\"kind\":\"APIGroupList\",\"groups\":[" + slices + "]}");
        } else if (query.collection().equals("/version")) {
            sendResponse(
                    exchange,
                    200,
                    "{\"major\":\"1\",\"minor\":\"" + minor + "+\",\"gitVersion\":\"v1." + minor + ".0\"}");
        } else if (absent.contains(plural)) {
            sendResponse(
                    exchange, 404, "{\"kind\":\"Status\",\"message\":\"the server could not find it\",\"code\":404}");
        } else if (exchange.getRequestMethod().equals("PATCH")) {
            patched.add(JSON.readTree(exchange.getRequestBody()));
            sendResponse(exchange, 200, "{}");
        } else if (exchange.getRequestMethod().equals("POST")) {
            posted.add(JSON.readTree(exchange.getRequestBody()));
            sendResponse(exchange, 201, "{}");
        } else if (query.get("watch").equals("true")) {
            watch(exchange, query);
        } else {
            list(exchange, query);
        }
        // Not in a finally block: after an exception the server closes the connection with the response incomplete.
        exchange.close();
    }

    private synchronized @Nullable Failure awaitResponse(String address) {
        while (silent || (!delayedUrlPart.isEmpty() && address.contains(delayedUrlPart))) {
            try {
                wait();
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
                return null;
            }
        }
        for (Map.Entry<String, Failure> entry : List.copyOf(failures.entrySet())) {
            Failure failure = entry.getValue();
            if (address.contains(entry.getKey())) {
                if (failure.times() <= 1) {
                    failures.remove(entry.getKey());
                } else {
                    failures.put(
                            entry.getKey(),
                            new Failure(
                                    failure.status(),
                                    failure.headers(),
                                    failure.body(),
                                    failure.times() - 1,
                                    failure.unfinished()));
                }
                return failure;
            }
        }
        return null;
    }

    private static void sendResponse(HttpExchange exchange, int status, String text) throws IOException {
        byte[] bytes = text.getBytes(StandardCharsets.UTF_8);
        exchange.sendResponseHeaders(status, bytes.length);
        exchange.getResponseBody().write(bytes);
    }

    private void list(HttpExchange exchange, Query query) throws IOException {
        ObjectNode list = JSON.createObjectNode();
        synchronized (this) {
            list.put("kind", kindOf(query.collection()) + "List").put("apiVersion", "v1");
            list.putObject("metadata").put("resourceVersion", String.valueOf(version));
            var items = list.putArray("items");
            int limit = query.get("limit").isEmpty() ? Integer.MAX_VALUE : Integer.parseInt(query.get("limit"));
            String from = query.get("continue");
            for (Map.Entry<String, ObjectNode> entry : objects.entrySet()) {
                if (entry.getKey().compareTo(from) <= 0 || !query.selects(entry.getKey(), entry.getValue())) {
                    continue;
                }
                if (items.size() == limit) {
                    break;
                }
                ObjectNode item = entry.getValue().deepCopy();
                // Items of a real list have no kind and apiVersion.
                item.remove(List.of("kind", "apiVersion"));
                items.add(item);
                if (items.size() == limit) {
                    ((ObjectNode) list.get("metadata")).put("continue", entry.getKey());
                }
            }
        }
        sendResponse(exchange, 200, list.toString());
    }

    private static String kindOf(String collection) {
        return switch (collection.substring(collection.lastIndexOf('/') + 1)) {
            case "services" -> "Service";
            case "endpointslices" -> "EndpointSlice";
            case "endpoints" -> "Endpoints";
            case "nodes" -> "Node";
            default -> "ServiceCIDR";
        };
    }

    private void watch(HttpExchange exchange, Query query) throws IOException {
        boolean initial = query.get("sendInitialEvents").equals("true");
        if (initial && minor < ListWatchVersion.SINCE) {
            sendResponse(
                    exchange, 422, "{\"kind\":\"Status\",\"message\":\"sendInitialEvents is forbidden\",\"code\":422}");
            return;
        }
        Watcher watcher = new Watcher(exchange, query);
        synchronized (this) {
            String from = query.get("resourceVersion");
            long since = from.isEmpty() || initial ? version : Long.parseLong(from);
            if (since < compactedVersion) {
                sendResponse(
                        exchange, 410, "{\"kind\":\"Status\",\"message\":\"too old resource version\",\"code\":410}");
                return;
            }
            if (since > version) {
                sendResponse(
                        exchange,
                        504,
                        "{\"kind\":\"Status\",\"message\":\"Too large resource version: " + since + ", current: "
                                + version + "\",\"code\":504}");
                return;
            }
            exchange.sendResponseHeaders(200, 0);
            exchange.getResponseBody().flush();
            if (initial) {
                objects.forEach((path, object) -> watcher.send(new Change(path, version, null, object)));
                watcher.bookmark(true);
            }
            for (Change change : history) {
                if (change.version() > since) {
                    watcher.send(change);
                }
            }
            watchers.add(watcher);
        }
        watcher.run();
        watchers.remove(watcher);
    }

    /** First minor version with streaming lists. */
    private static final class ListWatchVersion {
        static final int SINCE = 32;
    }

    /** One open watch. Output is queued, so that a slow reader does not block other watches. */
    private final class Watcher {
        private final HttpExchange exchange;
        private final Query query;
        private final List<String> queue = new ArrayList<>();
        private boolean ended;
        private boolean clean;

        Watcher(HttpExchange exchange, Query query) {
            this.exchange = exchange;
            this.query = query;
        }

        void send(Change change) {
            boolean before = change.before() != null && query.selects(change.path(), change.before());
            boolean after = change.after() != null && query.selects(change.path(), change.after());
            if (before || after) {
                String type = !before ? "ADDED" : after ? "MODIFIED" : "DELETED";
                JsonNode object = change.after() == null ? requireNonNull(change.before()) : change.after();
                write(JSON.createObjectNode().put("type", type).set("object", object) + "\n");
            }
        }

        void bookmark(boolean initialEnd) {
            ObjectNode object = JSON.createObjectNode();
            ObjectNode metadata = object.putObject("metadata").put("resourceVersion", String.valueOf(version));
            if (initialEnd) {
                metadata.putObject("annotations").put("k8s.io/initial-events-end", "true");
            }
            write(JSON.createObjectNode().put("type", "BOOKMARK").set("object", object) + "\n");
        }

        synchronized void write(String text) {
            queue.add(text);
            notifyAll();
        }

        synchronized void end(boolean cleanly) {
            ended = true;
            clean = cleanly;
            notifyAll();
        }

        private synchronized @Nullable String next() throws InterruptedException {
            while (queue.isEmpty() && !ended) {
                wait();
            }
            return ended ? null : queue.remove(0);
        }

        void run() throws IOException {
            OutputStream out = exchange.getResponseBody();
            try {
                for (String text = next(); text != null; text = next()) {
                    awaitResponse("");
                    out.write(text.getBytes(StandardCharsets.UTF_8));
                    out.flush();
                }
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            }
            if (clean) {
                out.close();
            } else {
                // Without the last chunk, the response is recognizably truncated.
                throw new IOException("cut");
            }
        }
    }
}
