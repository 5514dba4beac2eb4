package io.sluice.daemon;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assumptions.assumeThat;
import static org.awaitility.Awaitility.await;

import io.sluice.config.Configuration;
import io.sluice.config.ConfigurationException;
import io.sluice.document.StrictYaml;
import io.sluice.model.Endpoint;
import io.sluice.model.IpAddress;
import io.sluice.model.Protocol;
import java.io.File;
import java.io.IOException;
import java.io.StringReader;
import java.net.DatagramPacket;
import java.net.DatagramSocket;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.net.URI;
import java.net.URLEncoder;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.TimeUnit;
import java.util.regex.MatchResult;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import tools.jackson.core.JsonParser;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/**
 * Tests the files in {@code deploy/monitoring} with a real Prometheus: the relabeling of the PodMonitor, the alerts, and
 * every query of the dashboard against the metrics of a daemon with traffic and failures.
 */
@Timeout(90)
@Tag("one-jdk")
final class MonitoringTest {
    private static final Path MONITORING = Path.of("../deploy/monitoring");
    private static final JsonMapper JSON = JsonMapper.shared();
    private static final String LOOPBACK = "127.0.0.1";
    /** The address of all Services, which differ in their port. */
    private static final String SERVICES = "127.96.13.1";

    /** Queries that contain one of these names have no result in this test, for this reason. */
    private static final Map<String, String> WITHOUT_RESULT = Map.of("sluice_watch_", "exist only with an API server");

    @TempDir
    private Path directory;

    private static void assumeInstalled(String program) {
        assumeThat(Stream.of(System.getenv("PATH").split(File.pathSeparator)))
                .as("%s is on the PATH", program)
                .anyMatch(each -> Files.isExecutable(Path.of(each, program)));
    }

    private static JsonNode yaml(String file) throws IOException {
        try (JsonParser parser = StrictYaml.parser(new StringReader(Files.readString(MONITORING.resolve(file))))) {
            parser.nextToken();
            return parser.readValueAsTree();
        }
    }

    private static JsonNode dashboard() throws IOException {
        return JSON.readTree(Files.readString(MONITORING.resolve("sluice-dashboard.json")));
    }

    /** Writes the groups of the PrometheusRule as a plain rule file, and returns its path. */
    private Path writeRules() throws IOException {
        return Files.writeString(
                directory.resolve("rules.yaml"),
                yaml("prometheus-rules.yaml").path("spec").toString());
    }

    private void run(String... command) throws Exception {
        Path out = directory.resolve("out.txt");
        Process process = new ProcessBuilder(command)
                .redirectErrorStream(true)
                .redirectOutput(out.toFile())
                .start();
        assertThat(process.waitFor(30, TimeUnit.SECONDS)).isTrue();
        assertThat(process.exitValue()).as(Files.readString(out)).isZero();
    }

    @Test
    void alertsPassTheirUnitTests() throws Exception {
        assumeInstalled("promtool");
        Path tests = directory.resolve("prometheus-rules-test.yaml");
        Files.copy(MONITORING.resolve(tests.getFileName()), tests);
        run("promtool", "check", "rules", writeRules().toString());
        run("promtool", "test", "rules", tests.toString());
    }

    @Test
    void everyAlertHasAUnitTestInWhichItFires() throws Exception {
        Set<String> alerts = yaml("prometheus-rules.yaml")
                .at("/spec/groups")
                .valueStream()
                .flatMap(group -> group.path("rules").valueStream())
                .map(rule -> rule.path("alert").stringValue())
                .collect(Collectors.toSet());
        Set<String> firing = yaml("prometheus-rules-test.yaml")
                .path("tests")
                .valueStream()
                .flatMap(test -> test.path("alert_rule_test").valueStream())
                .filter(test -> !test.path("exp_alerts").isEmpty())
                .map(test -> test.path("alertname").stringValue())
                .collect(Collectors.toSet());
        assertThat(alerts).hasSizeGreaterThan(5).isEqualTo(firing);
    }

    @Test
    void kustomizeIncludesAllFiles() throws Exception {
        assumeInstalled("kubectl");
        run("kubectl", "kustomize", MONITORING.toString());
        assertThat(Files.readString(directory.resolve("out.txt")))
                .contains("kind: PodMonitor", "kind: PrometheusRule", "kind: ConfigMap", "sluice-dashboard.json: |")
                .contains("namespace: kube-system");
    }

    /** Grafana imports a dashboard without questions only if it has no inputs and refers to variables alone. */
    @Test
    void dashboardDependsOnNoParticularDataSource() throws Exception {
        JsonNode dashboard = dashboard();
        assertThat(dashboard.path("__inputs").isEmpty()).isTrue();
        assertThat(dashboard.path("id").isNull()).isTrue();
        assertThat(dashboard.path("uid").stringValue()).isEqualTo("sluice");
        assertThat(dashboard.path("schemaVersion").intValue()).isBetween(36, 39);
        assertThat(dashboard.findValuesAsString("uid").stream().filter(uid -> !uid.equals("sluice")))
                .isNotEmpty()
                .containsOnly("${datasource}");
        assertThat(dashboard
                        .at("/templating/list")
                        .valueStream()
                        .map(each -> each.path("name").stringValue()))
                .containsExactly("datasource", "instance", "namespace", "service");
        List<Integer> ids = dashboard
                .path("panels")
                .valueStream()
                .map(panel -> panel.path("id").intValue())
                .toList();
        assertThat(ids).hasSizeGreaterThan(30).doesNotHaveDuplicates();
    }

    /** Returns each query of the dashboard, with its variables replaced. */
    private static Map<String, String> queries(String instance) throws IOException {
        Map<String, String> queries = new LinkedHashMap<>();
        for (JsonNode panel : dashboard().path("panels")) {
            for (JsonNode target : panel.path("targets")) {
                String name = panel.path("title").stringValue() + " "
                        + target.path("refId").stringValue();
                queries.put(name, target.path("expr").stringValue());
            }
        }
        Pattern labelValues = Pattern.compile("label_values\\((.+), (\\w+)\\)");
        for (JsonNode variable : dashboard().at("/templating/list")) {
            Matcher matcher = labelValues.matcher(variable.path("definition").stringValue(""));
            if (matcher.matches()) {
                queries.put(
                        "variable " + variable.path("name").stringValue(),
                        "count by (" + matcher.group(2) + ") (" + matcher.group(1) + ")");
            }
        }
        queries.replaceAll((name, query) -> {
            String replaced = query.replace("$instance", instance)
                    .replaceAll("\\$(namespace|service)\\b", ".*")
                    .replace("$__rate_interval", "10s");
            assertThat(replaced).as(name).doesNotContain("$");
            return replaced;
        });
        return queries;
    }

    private static boolean hasNoResult(String query) {
        return WITHOUT_RESULT.keySet().stream().anyMatch(query::contains);
    }

    @Test
    @Tag("end-to-end")
    void everyQueryOfTheDashboardReturnsData() throws Exception {
        assumeInstalled("prometheus");
        try (Traffic traffic = new Traffic(directory.resolve("feed.yaml"));
                Daemon daemon = daemon()) {
            daemon.start();
            InetSocketAddress metrics = daemon.ports().metrics().orElseThrow();
            await().until(() -> daemon.syncLoop().snapshot().size() == Traffic.SERVICE_PORTS);
            try (Prometheus prometheus = new Prometheus(directory, metrics.getPort(), writeRules())) {
                String instance = LOOPBACK + ":" + metrics.getPort();
                Map<String, String> queries = queries(instance);
                Map<String, String> missing = new LinkedHashMap<>(queries);
                missing.values().removeIf(MonitoringTest::hasNoResult);
                assertThat(missing).hasSizeGreaterThan(60);
                await().atMost(Duration.ofSeconds(60)).untilAsserted(() -> {
                    traffic.next();
                    missing.values().removeIf(query -> !prometheus.query(query).isEmpty());
                    assertThat(missing)
                            .as(() -> "queries without data; targets: " + prometheus.get("targets"))
                            .isEmpty();
                });
                queries.forEach((name, query) -> assertThat(
                                hasNoResult(query) && !prometheus.query(query).isEmpty())
                        .as("%s has a result and must be removed from the list: %s", name, query)
                        .isFalse());
                assertThat(prometheus
                                .query("up{job=\"sluice\", instance=\"" + instance + "\", node=\"node-a\"} == 1")
                                .size())
                        .isOne();
                // A label that the target and a metric have is that of the metric.
                assertThat(prometheus
                                .query("sluice_sessions_active{namespace=\"shop\", exported_namespace=\"\"}")
                                .size())
                        .isPositive();
                prometheus.awaitHealthyRules();
            }
        }
    }

    private Daemon daemon() throws ConfigurationException {
        Configuration configuration = Configuration.load(
                null,
                Map.of(
                        "SLUICE_FEED",
                        directory.resolve("feed.yaml").toString(),
                        "SLUICE_HEALTHZ_BIND_ADDRESS",
                        "off",
                        "SLUICE_METRICS_BIND_ADDRESS",
                        LOOPBACK + ":0"),
                Map.of());
        return new Daemon(configuration.settings(), configuration.toMap(), null);
    }

    /** A Prometheus process with the relabeling of the PodMonitor. */
    private static final class Prometheus implements AutoCloseable {
        private static final Pattern LISTENING = Pattern.compile("Listening on\" address=(\\S+)");

        private final HttpClient http = HttpClient.newHttpClient();
        private final Process process;
        private final URI api;

        Prometheus(Path directory, int metricsPort, Path rules) throws IOException {
            Path config = Files.writeString(
                    directory.resolve("prometheus.yaml"), JSON.writeValueAsString(config(metricsPort, rules)));
            Path log = directory.resolve("prometheus.log");
            process = new ProcessBuilder(
                            "prometheus",
                            "--config.file=" + config,
                            "--storage.tsdb.path=" + directory.resolve("tsdb"),
                            "--web.listen-address=" + LOOPBACK + ":0")
                    .redirectErrorStream(true)
                    .redirectOutput(log.toFile())
                    .start();
            await().atMost(Duration.ofSeconds(30))
                    .untilAsserted(() -> assertThat(Files.readString(log)).containsPattern(LISTENING));
            api = URI.create("http://"
                    + LISTENING
                            .matcher(Files.readString(log))
                            .results()
                            .findFirst()
                            .map(MatchResult::group)
                            .orElseThrow()
                            .replaceAll(".*=", "")
                    + "/api/v1/");
        }

        private static Map<String, Object> config(int metricsPort, Path rules) throws IOException {
            JsonNode endpoint = yaml("podmonitor.yaml").at("/spec/podMetricsEndpoints/0");
            // As the Prometheus operator converts it, but with the port that the daemon uses.
            String relabeling = endpoint.path("relabelings")
                    .toString()
                    .replace("sourceLabels", "source_labels")
                    .replace("targetLabel", "target_label")
                    .replace("10249", Integer.toString(metricsPort));
            Map<String, String> pod = Map.of(
                    "__meta_kubernetes_pod_ip", LOOPBACK,
                    "__meta_kubernetes_pod_phase", "Running",
                    "__meta_kubernetes_pod_node_name", "node-a",
                    "namespace", "kube-system");
            return Map.of(
                    "global", Map.of("scrape_interval", "500ms", "evaluation_interval", "1s"),
                    "rule_files", List.of(rules.toString()),
                    "scrape_configs",
                            List.of(Map.of(
                                    "job_name", "sluice",
                                    "honor_labels", endpoint.path("honorLabels").booleanValue(),
                                    "metrics_path", endpoint.path("path").stringValue(),
                                    "params", Map.of("timings", List.of("service")),
                                    "relabel_configs", JSON.readTree(relabeling),
                                    "static_configs", List.of(target(pod, "sluice"), target(pod, "init")))));
        }

        /** Returns the target that Prometheus discovers for a container without ports. */
        private static Map<String, Object> target(Map<String, String> pod, String container) {
            Map<String, String> labels = new LinkedHashMap<>(pod);
            labels.put("__meta_kubernetes_pod_container_name", container);
            return Map.of("targets", List.of(LOOPBACK), "labels", labels);
        }

        private JsonNode get(String path) {
            try {
                // A request that is stuck is repeated with the next check.
                HttpRequest request = HttpRequest.newBuilder(api.resolve(path))
                        .timeout(Duration.ofSeconds(5))
                        .build();
                JsonNode response = JSON.readTree(
                        http.send(request, BodyHandlers.ofString()).body());
                assertThat(response.path("status").stringValue())
                        .as("%s: %s", path, response)
                        .isEqualTo("success");
                return response.path("data");
            } catch (Exception e) {
                throw new AssertionError(path, e);
            }
        }

        JsonNode query(String expression) {
            return get("query?query=" + URLEncoder.encode(expression, StandardCharsets.UTF_8))
                    .path("result");
        }

        void awaitHealthyRules() {
            await().untilAsserted(() -> {
                List<JsonNode> rules = get("rules")
                        .path("groups")
                        .valueStream()
                        .flatMap(group -> group.path("rules").valueStream())
                        .toList();
                assertThat(rules)
                        .hasSizeGreaterThan(5)
                        .allSatisfy(rule -> assertThat(rule.path("health").stringValue())
                                .as(rule.toString())
                                .isEqualTo("ok"));
            });
        }

        @Override
        public void close() {
            process.destroyForcibly().onExit().join();
        }
    }

    /** Services whose connections and flows succeed and fail in different ways, and their clients. */
    private static final class Traffic implements AutoCloseable {
        static final int SERVICE_PORTS = 7;

        private final Peers endpoints = new Peers();
        private final Path feed;
        private final Map<String, Integer> ports = new LinkedHashMap<>();
        private final int served;
        private final int closed;
        private final ServerSocket silent = new ServerSocket(0, 500, InetAddress.getLoopbackAddress());
        private final DatagramSocket flow = new DatagramSocket();
        private int rounds;

        Traffic(Path feed) throws IOException {
            this.feed = feed;
            served = NameServer.freePort(LOOPBACK);
            endpoints.serve(Protocol.TCP, endpoint(served));
            endpoints.serve(Protocol.UDP, endpoint(served));
            closed = NameServer.freePort(LOOPBACK);
            Set<Integer> used = new TreeSet<>();
            for (String service : List.of("web", "broken", "silent", "dns", "dead", "private", "private-udp")) {
                int port = NameServer.freePort(SERVICES);
                while (!used.add(port)) {
                    port = NameServer.freePort(SERVICES);
                }
                ports.put(service, port);
            }
            write(served);
        }

        private static Endpoint endpoint(int port) {
            return new Endpoint(Objects.requireNonNull(IpAddress.parse(LOOPBACK)), port);
        }

        private void write(int dnsEndpoint) throws IOException {
            String objects = String.join(
                    "",
                    service("web", "TCP", "", served, closed),
                    service("broken", "TCP", "", closed),
                    service("silent", "TCP", "", silent.getLocalPort()),
                    service("dns", "UDP", "", dnsEndpoint),
                    service("dead", "UDP", "", closed),
                    service("private", "TCP", "loadBalancerSourceRanges: [198.18.0.0/15],", served),
                    service("private-udp", "UDP", "loadBalancerSourceRanges: [198.18.0.0/15],", served));
            Path next = Files.writeString(feed.resolveSibling("next"), objects);
            Files.move(next, feed, StandardCopyOption.ATOMIC_MOVE);
        }

        private String service(String name, String protocol, String fields, int... endpointPorts) {
            String address = fields.isEmpty()
                    ? "clusterIP: " + SERVICES + ","
                    : "type: LoadBalancer, clusterIP: 127.96.13.2, " + fields;
            StringBuilder objects = new StringBuilder("""
                    ---
                    apiVersion: v1
                    kind: Service
                    metadata: {name: %1$s, namespace: shop}
                    spec: {%2$s ports: [{port: %3$d, protocol: %4$s}]}
                    """.formatted(name, address, ports.get(name), protocol));
            if (!fields.isEmpty()) {
                objects.append("status: {loadBalancer: {ingress: [{ip: " + SERVICES + "}]}}\n");
            }
            for (int port : endpointPorts) {
                objects.append("""
                        ---
                        apiVersion: discovery.k8s.io/v1
                        kind: EndpointSlice
                        metadata: {name: %1$s-%2$d, namespace: shop, labels: {kubernetes.io/service-name: %1$s}}
                        addressType: IPv4
                        ports: [{port: %2$d, protocol: %3$s}]
                        endpoints: [{addresses: [%4$s]}]
                        """.formatted(name, port, protocol, LOOPBACK));
            }
            return objects.toString();
        }

        private InetSocketAddress address(String service) {
            return new InetSocketAddress(SERVICES, Objects.requireNonNull(ports.get(service)));
        }

        /** Opens connections and flows of each kind. In the third round, the endpoint of a flow is removed. */
        void next() throws IOException {
            rounds++;
            if (rounds == 3) {
                int other = NameServer.freePort(LOOPBACK);
                endpoints.serve(Protocol.UDP, endpoint(other));
                write(other);
            }
            IpAddress client = Objects.requireNonNull(IpAddress.parse(LOOPBACK));
            for (int i = 0; i < 2; i++) {
                assertThat(Peers.overTcp(client, address("web"))).isEqualTo(LOOPBACK + ":" + served);
            }
            assertThat(Peers.overTcp(client, address("broken"))).isEqualTo(Peers.NO_ANSWER);
            assertThat(Peers.overTcp(client, address("private"))).isEqualTo(Peers.NO_ANSWER);
            try (Socket reset = new Socket()) {
                reset.connect(address("silent"), 10_000);
                reset.setSoLinger(true, 0);
                reset.getOutputStream().write(1);
            }
            for (String service : List.of("dns", "dead", "private-udp")) {
                flow.send(new DatagramPacket(new byte[1], 1, address(service)));
            }
        }

        @Override
        public void close() throws IOException {
            flow.close();
            silent.close();
            endpoints.close();
        }
    }
}
