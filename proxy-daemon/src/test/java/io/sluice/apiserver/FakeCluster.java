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
 * Lists and watches as an API server serves them, from memory, and everything that can go wrong with them on demand. All
 * watches see every change in order; selectors work for what the proxy selects by.
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
    private long forgotten;
    private int minor = 34;
    private boolean silent;
    /** Requests whose address contains this are not answered for now; none where it is empty. */
    private String heldBack = "";

    private @Nullable HttpServer server;

    /** @param before the object as it was; null if it is new */
    private record Change(
            String path,
            long version,
            @Nullable ObjectNode before,
            @Nullable ObjectNode after) {}

    /** What the next requests that contain a text get instead of an answer. */
    private record Failure(int status, String headers, String body, int times, boolean unfinished) {}

    public FakeCluster start() throws IOException {
        return start(0);
    }

    /** Answers on loopback; a port other than 0 is one that it had before. */
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

    /** A connection that the JDK's server accepted while it stopped is never answered; a list waits three times as long. */
    static final ApiClient.Environment PATIENT_FOR_A_SECOND = new ApiClient.Environment(
            Duration.ofSeconds(5), Duration.ofSeconds(1), System::nanoTime, InetAddress::getAllByName);

    /** A client of these clusters that needs no credentials. */
    static ApiClient clientOf(FakeCluster... clusters) {
        try {
            List<String> urls = Stream.of(clusters).map(FakeCluster::url).toList();
            ApiOptions options = new ApiOptions(List.of(), "", urls, null, null, false);
            ApiAccess access = ApiAccess.find(options, Map.of(), Path.of("/nowhere"), Path.of("/nowhere"));
            return new ApiClient(access, PATIENT_FOR_A_SECOND);
        } catch (ApiAccessException e) {
            throw new AssertionError(e);
        }
    }

    ApiClient client() {
        return clientOf(this);
    }

    /** The way here, for a daemon. */
    public ApiAccess access() {
        try {
            ApiOptions options = new ApiOptions(List.of(), "", List.of(url()), null, null, false);
            return ApiAccess.find(options, Map.of(), Path.of("/nowhere"), Path.of("/nowhere"));
        } catch (ApiAccessException e) {
            throw new AssertionError(e);
        }
    }

    /** Cuts all connections; what it holds is kept. */
    @Override
    public void close() {
        breakWatches();
        requireNonNull(server).stop(0);
    }

    /** Objects as manifests: YAML, several documents. */
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
        tell(new Change(path, version, objects.put(path, object), object));
    }

    public synchronized void delete(String path) {
        ObjectNode before = requireNonNull(objects.remove(path)).deepCopy();
        ((ObjectNode) before.get("metadata")).put("resourceVersion", String.valueOf(++version));
        tell(new Change(path, version, before, null));
    }

    private void tell(Change change) {
        history.add(change);
        watchers.forEach(watcher -> watcher.send(change));
    }

    public synchronized Set<String> paths() {
        return new HashSet<>(objects.keySet());
    }

    public synchronized List<JsonNode> all() {
        return new ArrayList<>(objects.values());
    }

    /** Loses the history, so that no watch can go on from before. */
    public synchronized void compact() {
        history.clear();
        forgotten = version;
    }

    /** A state restored from a backup: resource versions start anew, lower than before. */
    public synchronized void rewind(long to) {
        version = to;
        compact();
    }

    /** Changes something behind everybody's back: as if it happened while no watch was open, and the history was lost. */
    public synchronized void changeUnseen(Runnable change) {
        List<Watcher> were = List.copyOf(watchers);
        watchers.clear();
        change.run();
        watchers.addAll(were);
    }

    public void endWatches() {
        watchers.forEach(watcher -> watcher.end(true));
    }

    /** As a connection that is reset. */
    public void breakWatches() {
        watchers.forEach(watcher -> watcher.end(false));
    }

    int watches() {
        return watchers.size();
    }

    /** Requests whose address contains the text wait for their answer until this is called with another one. */
    synchronized void holdBack(String text) {
        heldBack = text;
        notifyAll();
    }

    /** Whether it neither answers nor sends anything from now on. */
    public synchronized void silent(boolean now) {
        silent = now;
        notifyAll();
    }

    /** The next requests whose address contains the text fail. */
    public synchronized void fail(String text, int times, int status, String header, String body) {
        failures.put(text, new Failure(status, header, body, times, false));
    }

    /** Of what the next requests whose address contains the text are answered, only the beginning ever comes. */
    public synchronized void hang(String text, int times, int status) {
        failures.put(text, new Failure(status, "", "{\"kind\":", times, true));
    }

    public synchronized void succeed() {
        failures.clear();
    }

    synchronized void lack(String plural) {
        absent.add(plural);
    }

    synchronized void minor(int number) {
        minor = number;
    }

    /** Sends something to all watches of a collection as it is. */
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
            throw FakeApiServer.swallowedOtherwise(e);
        }
    }

    private void respond(HttpExchange exchange) throws IOException {
        Query query = Query.of(exchange);
        String address = exchange.getRequestURI().toString();
        requests.add(address);
        Failure failure = awaitAnswer(address);
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
            answer(exchange, failure.status(), failure.body());
        } else if (query.collection().equals("/apis")) {
            String slices = absent.contains("endpointslices")
                    ? ""
                    : "{\"name\":\"discovery.k8s.io\",\"versions\":[{\"version\":\"v1\"}]}";
            answer(exchange, 200, "{\"kind\":\"APIGroupList\",\"groups\":[" + slices + "]}");
        } else if (query.collection().equals("/version")) {
            answer(
                    exchange,
                    200,
                    "{\"major\":\"1\",\"minor\":\"" + minor + "+\",\"gitVersion\":\"v1." + minor + ".0\"}");
        } else if (absent.contains(plural)) {
            answer(exchange, 404, "{\"kind\":\"Status\",\"message\":\"the server could not find it\",\"code\":404}");
        } else if (exchange.getRequestMethod().equals("PATCH")) {
            patched.add(JSON.readTree(exchange.getRequestBody()));
            answer(exchange, 200, "{}");
        } else if (exchange.getRequestMethod().equals("POST")) {
            posted.add(JSON.readTree(exchange.getRequestBody()));
            answer(exchange, 201, "{}");
        } else if (query.get("watch").equals("true")) {
            watch(exchange, query);
        } else {
            list(exchange, query);
        }
        // Not after a failure: then the server cuts the connection, and what it answered stays unfinished.
        exchange.close();
    }

    private synchronized @Nullable Failure awaitAnswer(String address) {
        while (silent || (!heldBack.isEmpty() && address.contains(heldBack))) {
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

    private static void answer(HttpExchange exchange, int status, String text) throws IOException {
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
                // As in a real list, where the list says it for all.
                item.remove(List.of("kind", "apiVersion"));
                items.add(item);
                if (items.size() == limit) {
                    ((ObjectNode) list.get("metadata")).put("continue", entry.getKey());
                }
            }
        }
        answer(exchange, 200, list.toString());
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
            answer(exchange, 422, "{\"kind\":\"Status\",\"message\":\"sendInitialEvents is forbidden\",\"code\":422}");
            return;
        }
        Watcher watcher = new Watcher(exchange, query);
        synchronized (this) {
            String from = query.get("resourceVersion");
            long since = from.isEmpty() || initial ? version : Long.parseLong(from);
            if (since < forgotten) {
                answer(exchange, 410, "{\"kind\":\"Status\",\"message\":\"too old resource version\",\"code\":410}");
                return;
            }
            if (since > version) {
                answer(
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

    /** When servers began to send lists as watches. */
    private static final class ListWatchVersion {
        static final int SINCE = 32;
    }

    /** One open watch. Texts are queued, so that a slow reader holds up nobody else. */
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
                    awaitAnswer("");
                    out.write(text.getBytes(StandardCharsets.UTF_8));
                    out.flush();
                }
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            }
            if (clean) {
                out.close();
            } else {
                // Without the last chunk, the reader learns that something was cut off.
                throw new IOException("cut");
            }
        }
    }
}
