package io.sluice.daemon;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import io.sluice.config.Configuration;
import io.sluice.rules.PolicyKey;
import java.io.IOException;
import java.io.InputStream;
import java.net.DatagramPacket;
import java.net.DatagramSocket;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.net.StandardProtocolFamily;
import java.net.URI;
import java.net.UnixDomainSocketAddress;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.ByteBuffer;
import java.nio.channels.Channels;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;
import tools.jackson.dataformat.yaml.YAMLMapper;

/** The admin API of a daemon with traffic: every response has exactly the fields that the OpenAPI file describes. */
final class AdminApiTest {
    private static final JsonMapper JSON = JsonMapper.shared();
    private static final Path DOCS = Path.of("../deploy/docs");
    private static final JsonNode OPENAPI = new YAMLMapper().readTree(DOCS.resolve("openapi.yaml"));

    @TempDir
    private Path directory;

    private final HttpClient http = HttpClient.newHttpClient();
    private ServerSocket endpoint;
    private Daemon daemon;
    private int port;
    private int closedPort;

    @BeforeEach
    void start() throws Exception {
        endpoint = new ServerSocket(0, 50, InetAddress.getLoopbackAddress());
        port = NameServer.freePort("127.96.2.9");
        closedPort = NameServer.freePort("127.0.0.1");
        Files.writeString(directory.resolve("feed.yaml"), """
                {apiVersion: v1, kind: Service, metadata: {name: web, namespace: shop, annotations: {
                  service.sluice.io/max-connections: "1000", service.sluice.io/idle-timeout: 60m}}, spec: {clusterIP: 127.96.2.9,
                  sessionAffinity: ClientIP, ports: [{name: http, port: %1$d}]}}
                ---
                {apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, addressType: IPv4,
                  metadata: {name: web-1, namespace: shop, labels: {kubernetes.io/service-name: web}},
                  ports: [{name: http, port: %2$d}], endpoints: [{addresses: [127.0.0.1]}]}
                ---
                {apiVersion: v1, kind: Service, metadata: {name: broken, namespace: shop}, spec: {clusterIP: 127.96.2.9,
                  ports: [{port: %4$d}]}}
                ---
                {apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, addressType: IPv4,
                  metadata: {name: broken-1, namespace: shop, labels: {kubernetes.io/service-name: broken}},
                  ports: [{port: %3$d}], endpoints: [{addresses: [127.0.0.1]}]}
                ---
                {apiVersion: v1, kind: Service, metadata: {name: dns, namespace: shop}, spec: {clusterIP: 127.96.2.9,
                  ports: [{port: %1$d, protocol: UDP}]}}
                ---
                {apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, addressType: IPv4,
                  metadata: {name: dns-1, namespace: shop, labels: {kubernetes.io/service-name: dns}},
                  ports: [{port: %3$d, protocol: UDP}], endpoints: [{addresses: [127.0.0.1]}]}
                """.formatted(
                        port, endpoint.getLocalPort(), closedPort, port == 65_535 ? port - 1 : port + 1));
        Configuration configuration = Configuration.load(
                null,
                Map.of(
                        "SLUICE_FEED", directory.resolve("feed.yaml").toString(),
                        "SLUICE_HEALTHZ_BIND_ADDRESS", "off",
                        "SLUICE_METRICS_BIND_ADDRESS", "off",
                        "SLUICE_ADMIN_BIND_ADDRESS", "127.0.0.1:0",
                        "SLUICE_ADMIN_SOCKET", directory.resolve("s").toString()),
                Map.of());
        daemon = new Daemon(configuration.settings(), configuration.toMap(), null);
        daemon.start();
        await().until(() -> get("/api/v1/status").path("ready").asBoolean());
    }

    @AfterEach
    void stop() throws IOException {
        daemon.close();
        endpoint.close();
    }

    private HttpResponse<String> request(String path) throws IOException, InterruptedException {
        InetSocketAddress admin = daemon.ports().admin().orElseThrow();
        URI uri = URI.create("http://127.0.0.1:" + admin.getPort() + path);
        return http.send(HttpRequest.newBuilder(uri).build(), BodyHandlers.ofString());
    }

    private JsonNode get(String path) throws IOException, InterruptedException {
        HttpResponse<String> response = request(path);
        assertThat(response.statusCode()).as(path + ": " + response.body()).isEqualTo(200);
        return JSON.readTree(response.body());
    }

    /** Sends a request over the Unix socket; returns the status code and the body. */
    private Map.Entry<Integer, JsonNode> change(String method, String path, String body) throws IOException {
        try (SocketChannel socket = SocketChannel.open(StandardProtocolFamily.UNIX)) {
            socket.connect(UnixDomainSocketAddress.of(directory.resolve("s")));
            socket.write(ByteBuffer.wrap((method + " " + path + " HTTP/1.1\r\nHost: sluice\r\nConnection: close\r\n"
                            + "Content-Length: " + body.length() + "\r\n\r\n" + body)
                    .getBytes(StandardCharsets.US_ASCII)));
            InputStream in = Channels.newInputStream(socket);
            String response = new String(in.readAllBytes(), StandardCharsets.UTF_8);
            return Map.entry(
                    Integer.parseInt(response.substring(9, 12)),
                    JSON.readTree(response.substring(response.indexOf("\r\n\r\n") + 4)));
        }
    }

    /** Opens a connection to each Service, and a flow. */
    private List<Socket> traffic() throws IOException {
        List<Socket> open = new ArrayList<>();
        open.add(new Socket("127.96.2.9", port));
        open.add(endpoint.accept());
        try (Socket broken = new Socket("127.96.2.9", port == 65_535 ? port - 1 : port + 1)) {
            // The reset may arrive before or after connect returns.
            assertThat(broken.getInputStream().read()).isNegative();
        } catch (IOException reset) {
            assertThat(reset).hasMessageContaining("reset");
        }
        try (DatagramSocket client = new DatagramSocket();
                DatagramSocket server = new DatagramSocket(closedPort, InetAddress.getLoopbackAddress())) {
            client.send(new DatagramPacket(new byte[10], 10, InetAddress.getByName("127.96.2.9"), port));
            server.receive(new DatagramPacket(new byte[10], 10));
        }
        return open;
    }

    @Test
    void everyResponseMatchesTheOpenApiFile() throws Exception {
        List<Socket> open = traffic();
        await().until(() -> get("/api/v1/events?kind=failure").path("items").size() > 0);
        Set<String> checked = new HashSet<>();
        for (Map.Entry<String, JsonNode> path : OPENAPI.path("paths").properties()) {
            JsonNode operation = path.getValue().path("get");
            if (operation.isMissingNode()) {
                continue;
            }
            String url = path.getKey().replace("{namespace}", "shop").replace("{name}", "web");
            if (url.endsWith("/trace")) {
                url += "?from=127.0.0.1&to=127.96.2.9:" + port + "/tcp";
            }
            JsonNode response = get(url);
            JsonNode schema = operation.at("/responses/200/content/application~1json/schema");
            assertThat(mismatches(response, schema, path.getKey())).isEmpty();
            if (schema.path("$ref").asString("").endsWith("List")) {
                assertThat(response.path("items"))
                        .as(path.getKey() + " has items")
                        .isNotEmpty();
            }
            checked.add(path.getKey());
        }
        assertThat(checked).hasSizeGreaterThan(10);
        for (Socket socket : open) {
            socket.close();
        }
    }

    @Test
    void policyHasTheKeysThatDiffer() throws Exception {
        assertThat(get("/api/v1/services/shop/web").at("/ports/0/policy")).isEqualTo(JSON.readTree("""
                        {"balance": "round-robin", "affinityTimeoutSeconds": 10800, "max-connections": "1000",
                         "idle-timeout": "1h"}"""));
        assertThat(get("/api/v1/services/shop/dns").at("/ports/0/policy"))
                .isEqualTo(JSON.readTree("{\"balance\": \"round-robin\", \"affinityTimeoutSeconds\": 0}"));
        JsonNode properties =
                OPENAPI.at("/components/schemas/ServiceDetails/properties/ports/items/properties/policy/properties");
        assertThat(properties.propertyNames())
                .containsAll(PolicyKey.values().stream().map(PolicyKey::name).toList());
    }

    /** The differences between a value and its schema. A property that the schema does not have is one. */
    private static List<String> mismatches(JsonNode value, JsonNode schemaOrReference, String at) {
        JsonNode schema = schemaOrReference;
        while (schema.has("$ref")) {
            schema = OPENAPI.at(schema.path("$ref").asString().substring(1));
        }
        List<String> found = new ArrayList<>();
        if (value.isNull()) {
            if (!schema.path("nullable").asBoolean(false)) {
                found.add(at + " is null");
            }
            return found;
        }
        String type = schema.path("type").asString();
        boolean matches = switch (type) {
            case "object" -> value.isObject();
            case "array" -> value.isArray();
            case "string" -> value.isString();
            case "boolean" -> value.isBoolean();
            case "integer" -> value.isIntegralNumber();
            case "number" -> value.isNumber();
            default -> false;
        };
        if (!matches) {
            found.add(at + " is not of type " + type + ": " + value);
            return found;
        }
        if (schema.has("enum")
                && schema.path("enum")
                        .valueStream()
                        .noneMatch(each -> each.asString().equals(value.asString()))) {
            found.add(at + " is not in the list: " + value);
        }
        for (JsonNode item : value.isArray() ? value : List.<JsonNode>of()) {
            found.addAll(mismatches(item, schema.path("items"), at + "[]"));
        }
        if (value.isObject() && (schema.has("properties") || schema.has("additionalProperties"))) {
            for (JsonNode required : schema.path("required")) {
                if (!value.has(required.asString())) {
                    found.add(at + " has no " + required);
                }
            }
            for (Map.Entry<String, JsonNode> property : value.properties()) {
                JsonNode expected = schema.path("properties").path(property.getKey());
                expected = expected.isMissingNode() ? schema.path("additionalProperties") : expected;
                String name = at + "." + property.getKey();
                if (expected.isMissingNode()) {
                    found.add(name + " is not documented");
                } else {
                    found.addAll(mismatches(property.getValue(), expected, name));
                }
            }
        }
        return found;
    }

    /** The examples in the text have the same fields as the schema. */
    @Test
    void theExamplesInTheTextMatchTheOpenApiFile() throws Exception {
        String text = Files.readString(DOCS.resolve("admin-api.md"));
        Matcher sections = Pattern.compile("### `(GET|POST|PUT) (/api/v1/[^`]*)`(.*?)(?=\n##|\\z)", Pattern.DOTALL)
                .matcher(text);
        int examples = 0;
        while (sections.find()) {
            Matcher example =
                    Pattern.compile("```json\n(.*?)```", Pattern.DOTALL).matcher(sections.group(3));
            if (example.find()) {
                String path = sections.group(2).replace("NAMESPACE/NAME", "{namespace}/{name}");
                path = path.replace("ADDRESS:PORT/ACTION", "{address}/drain");
                JsonNode schema = OPENAPI.path("paths")
                        .path(path)
                        .path(sections.group(1).toLowerCase(Locale.ROOT))
                        .at("/responses/200/content/application~1json/schema");
                assertThat(mismatches(JSON.readTree(example.group(1)), schema, path))
                        .filteredOn(mismatch -> !mismatch.contains(" has no "))
                        .isEmpty();
                examples++;
            }
        }
        assertThat(examples).isGreaterThanOrEqualTo(7);
    }

    @Test
    void rejectsInvalidParameters() throws Exception {
        assertThat(request("/api/v1/connections?servic=x").body()).contains("servic");
        for (String path : List.of(
                "/api/v1/connections?service=web",
                "/api/v1/connections?client=10.1.1",
                "/api/v1/connections?endpoint=10.1.1.1:99999",
                "/api/v1/connections?frontend=10.1.1.1:80",
                "/api/v1/connections?limit=0",
                "/api/v1/connections?limit=5001",
                "/api/v1/connections?after=x",
                "/api/v1/endpoints?state=broken",
                "/api/v1/events?after=x",
                "/api/v1/trace?from=x&to=10.1.1.1:1/tcp",
                "/api/v1/trace?from=10.1.1.1")) {
            HttpResponse<String> response = request(path);
            assertThat(response.statusCode()).as(path).isEqualTo(400);
            assertThat(JSON.readTree(response.body()).path("error").asString()).isNotEmpty();
        }
        assertThat(request("/api/v1/services/shop/none").statusCode()).isEqualTo(404);
        assertThat(request("/api/v1/services/shop").statusCode()).isEqualTo(404);
    }

    @Test
    void pagesServicesAndEndpoints() throws Exception {
        List<String> names = new ArrayList<>();
        String after = "";
        do {
            JsonNode page = get("/api/v1/services?limit=1" + after);
            page.path("items").forEach(item -> names.add(item.path("service").asString()));
            after = "&after=" + page.path("next").asString("");
        } while (!after.equals("&after="));
        assertThat(names).containsExactly("shop/broken", "shop/dns", "shop/web");
        JsonNode first = get("/api/v1/endpoints?limit=2");
        assertThat(first.path("items")).hasSize(2);
        JsonNode rest =
                get("/api/v1/endpoints?limit=2&after=" + first.path("next").asString());
        assertThat(rest.path("items")).hasSize(1);
        assertThat(rest.path("next").isNull()).isTrue();
    }

    @Test
    void startsAnUpgradeOnlyOnTheSocketAndWithAHandoverSocket() throws Exception {
        String path = "/api/v1/upgrade";
        InetSocketAddress admin = daemon.ports().admin().orElseThrow();
        HttpRequest post = HttpRequest.newBuilder(URI.create("http://127.0.0.1:" + admin.getPort() + path))
                .POST(HttpRequest.BodyPublishers.noBody())
                .build();
        assertThat(http.send(post, BodyHandlers.ofString()).statusCode()).isEqualTo(405);
        assertThat(change("POST", path + "?timeout=2h", "").getKey()).isEqualTo(400);
        Map.Entry<Integer, JsonNode> rejected = change("POST", path, "");
        assertThat(rejected.getKey()).isEqualTo(409);
        assertThat(rejected.getValue().path("error").asString()).startsWith("--handover-socket is not set");
        assertThat(get(path)).isEqualTo(JSON.readTree("{\"state\": \"none\", \"pid\": null, \"reason\": \"\"}"));
        assertThat(get("/api/v1/status").path("handover").isNull()).isTrue();
    }

    @Test
    void changesAnEndpointOnlyOnTheSocket() throws Exception {
        String path = "/api/v1/endpoints/shop/web/127.0.0.1:" + endpoint.getLocalPort() + "/drain";
        InetSocketAddress admin = daemon.ports().admin().orElseThrow();
        HttpRequest post = HttpRequest.newBuilder(URI.create("http://127.0.0.1:" + admin.getPort() + path))
                .POST(HttpRequest.BodyPublishers.noBody())
                .build();
        assertThat(http.send(post, BodyHandlers.ofString()).statusCode()).isEqualTo(405);
        assertThat(change("POST", path, "").getKey()).isEqualTo(409);
        Map.Entry<Integer, JsonNode> drained = change("POST", path + "?force=true&for=10m", "");
        assertThat(drained.getKey()).isEqualTo(200);
        JsonNode schema = OPENAPI.at(
                "/paths/~1api~1v1~1endpoints~1{namespace}~1{name}~1{address}~1drain/post/responses/200/content/application~1json/schema");
        assertThat(mismatches(drained.getValue(), schema, path)).isEmpty();
        assertThat(drained.getValue().path("state").asString()).isEqualTo("draining");
        assertThat(get("/api/v1/endpoints?state=draining").path("items")).hasSize(1);
        JsonNode trace = get("/api/v1/trace?from=127.0.0.1&to=127.96.2.9:" + port + "/tcp");
        assertThat(trace.path("verdict").asString()).isEqualTo("REJECT");
        assertThat(trace.path("endpoints")).isEmpty();
        assertThat(trace.at("/details/states/0").asString()).endsWith("draining: gets no new connections");
        try (Socket refused = new Socket("127.96.2.9", port)) {
            assertThat(refused.getInputStream().read()).isNegative();
        } catch (IOException reset) {
            assertThat(reset).hasMessageContaining("reset");
        }
        await().untilAsserted(() -> {
            assertThat(get("/api/v1/services/shop/web").path("failed").asInt()).isEqualTo(1);
            assertThat(get("/api/v1/status").at("/totals/connectionsFailed").asInt())
                    .isEqualTo(1);
        });
        assertThat(get("/api/v1/events?kind=change&service=shop/web").path("items"))
                .anySatisfy(event ->
                        assertThat(event.path("reason").asString()).startsWith("drained by an operator until "));
        assertThat(change("POST", path.replace("/drain", "/enable"), "").getKey())
                .isEqualTo(200);
        assertThat(get("/api/v1/endpoints?state=draining").path("items")).isEmpty();
        assertThat(change("POST", "/api/v1/endpoints/shop/web/127.0.0.1:1/drain", "")
                        .getKey())
                .isEqualTo(404);
        assertThat(change("POST", "/api/v1/endpoints/shop/web/x/drain", "").getKey())
                .isEqualTo(404);
        assertThat(change("POST", path + "?for=x", "").getKey()).isEqualTo(400);
    }

    @Test
    void changesTheLogLevel() throws Exception {
        String before = get("/api/v1/log-level").path("level").asString();
        try {
            assertThat(change("PUT", "/api/v1/log-level", "warn")
                            .getValue()
                            .path("previous")
                            .asString())
                    .isEqualTo(before);
            assertThat(get("/api/v1/log-level").path("level").asString()).isEqualTo("warn");
            assertThat(change("PUT", "/api/v1/log-level", "{\"level\": \"error\"}")
                            .getKey())
                    .isEqualTo(200);
            assertThat(change("PUT", "/api/v1/log-level?level=info", "").getKey())
                    .isEqualTo(200);
            assertThat(change("PUT", "/api/v1/log-level", "loud").getKey()).isEqualTo(400);
            assertThat(change("PUT", "/api/v1/log-level", "{").getKey()).isEqualTo(400);
        } finally {
            assertThat(change("PUT", "/api/v1/log-level?level=" + before, "").getKey())
                    .isEqualTo(200);
        }
    }
}
