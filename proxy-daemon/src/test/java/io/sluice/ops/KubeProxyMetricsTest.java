package io.sluice.ops;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import io.prometheus.metrics.model.registry.PrometheusRegistry;
import io.sluice.feed.FileReflector;
import io.sluice.feed.SyncLoop;
import io.sluice.model.IpAddress;
import io.sluice.rules.BuildOptions;
import io.sluice.rules.NodePortAddresses;
import io.sluice.thread.Supervisor;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Instant;
import java.util.List;
import java.util.Objects;
import java.util.Optional;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Metrics with kube-proxy's names, from a feed to the scraped text. */
final class KubeProxyMetricsTest {
    private static final Instant APPLIED = Instant.ofEpochMilli(1_767_000_000_500L);

    @TempDir
    private Path directory;

    private final PrometheusRegistry registry = new PrometheusRegistry();
    private final SyncState sync = new SyncState(
            false,
            Optional.empty(),
            Optional.of(APPLIED),
            Optional.of(APPLIED.plusSeconds(1)),
            Optional.empty(),
            List.of());
    private final KubeProxyMetrics kubeProxy = new KubeProxyMetrics(registry, () -> sync, () -> this.loop.snapshot());
    private final SyncLoop loop = new SyncLoop(
            new BuildOptions(
                    "test-hostname",
                    List.of(Objects.requireNonNull(IpAddress.parse("192.0.2.1"))),
                    List.of(),
                    false,
                    List.of(),
                    NodePortAddresses.DEFAULT,
                    false,
                    List.of(),
                    "",
                    false),
            kubeProxy::applied,
            (problem, appeared) -> {},
            kubeProxy::round);
    private FileReflector reflector;

    @BeforeEach
    void start() {
        reflector = new FileReflector(directory, BuildOptions.on("test-hostname"), loop);
        loop.start(new Supervisor());
    }

    @AfterEach
    void close() {
        reflector.close();
        loop.close();
    }

    private void feed(String file, String text) throws IOException {
        Path written = Files.writeString(directory.resolve("." + file), text);
        Files.move(written, directory.resolve(file + ".yaml"), java.nio.file.StandardCopyOption.REPLACE_EXISTING);
    }

    private static String service(String more) {
        return """
                apiVersion: v1
                kind: Service
                metadata: {name: web, namespace: ns}
                spec:
                  type: NodePort
                  clusterIP: 172.30.1.1
                  ports: [{port: 80, nodePort: 123, protocol: TCP}]
                """ + more;
    }

    private static String slice(String... nodes) {
        StringBuilder text = new StringBuilder("""
                apiVersion: discovery.k8s.io/v1
                kind: EndpointSlice
                metadata: {name: web-1, namespace: ns, labels: {kubernetes.io/service-name: web}}
                addressType: IPv4
                ports: [{name: '', port: 80, protocol: TCP}]
                endpoints:
                """);
        for (int i = 0; i < nodes.length; i++) {
            text.append("- {addresses: [10.0.1.")
                    .append(i + 1)
                    .append("], nodeName: ")
                    .append(nodes[i])
                    .append("}\n");
        }
        return nodes.length == 0 ? text.toString().replace("endpoints:", "endpoints: []") : text.toString();
    }

    /** Corresponds to kube-proxy's TestNoEndpointsMetric. */
    @ParameterizedTest
    @CsvSource(
            nullValues = "-",
            value = {
                "Local, -, test-hostname, 0, 0",
                "-, Local, test-hostname, 0, 0",
                "Local, Local, test-hostname, 0, 0",
                "Local, -, remote, 1, 0",
                "-, Local, remote, 0, 1",
                "Local, Local, remote, 1, 1",
                "Local, Local, -, 0, 0"
            })
    void countsPortsWithoutLocalEndpoints(String internal, String external, String node, int noInternal, int noExternal)
            throws Exception {
        feed(
                "a",
                service((internal == null ? "" : "  internalTrafficPolicy: " + internal + "\n")
                                + (external == null ? "" : "  externalTrafficPolicy: " + external + "\n"))
                        + "---\n" + (node == null ? slice() : slice(node)));
        reflector.start(new Supervisor());
        await().until(() -> loop.snapshot().size() == 1);
        String name = "kubeproxy_sync_proxy_rules_no_local_endpoints_total{ip_family=";
        assertThat(MetricsTest.scrape(registry, ""))
                .contains(name + "\"IPv4\",traffic_policy=\"internal\"} " + noInternal + ".0\n")
                .contains(name + "\"IPv4\",traffic_policy=\"external\"} " + noExternal + ".0\n")
                .contains(name + "\"IPv6\",traffic_policy=\"internal\"} 0.0\n")
                .contains(name + "\"IPv6\",traffic_policy=\"external\"} 0.0\n");
    }

    private void awaitChanges(int services, int endpoints) {
        await().untilAsserted(() -> assertThat(MetricsTest.scrape(registry, ""))
                .contains("kubeproxy_sync_proxy_rules_service_changes_total " + services + ".0\n")
                .contains("kubeproxy_sync_proxy_rules_endpoint_changes_total " + endpoints + ".0\n"));
    }

    @Test
    void countsChangesWhenTheyAreApplied() throws Exception {
        feed("service", service(""));
        feed("slice", slice("n1"));
        reflector.start(new Supervisor());
        awaitChanges(1, 1);
        feed("slice", slice("n1", "n2"));
        awaitChanges(1, 2);
        feed("service", service("  sessionAffinity: ClientIP\n"));
        awaitChanges(2, 2);
        Files.delete(directory.resolve("service.yaml"));
        awaitChanges(3, 3);
    }

    @Test
    void recordsSyncDurationsForBothFamilies() throws Exception {
        kubeProxy.round(3_000_000, List.of());
        kubeProxy.round(20_000_000_000L, List.of());
        String text = MetricsTest.scrape(registry, "");
        for (String family : List.of("IPv4", "IPv6")) {
            String series = "kubeproxy_sync_proxy_rules_duration_seconds_bucket{ip_family=\"" + family + "\",le=\"";
            assertThat(text)
                    .contains(series + "0.001\"} 0\n")
                    .contains(series + "0.002\"} 0\n")
                    .contains(series + "0.004\"} 1\n")
                    .contains(series + "16.384\"} 1\n")
                    .contains(series + "+Inf\"} 2\n")
                    .contains("kubeproxy_sync_proxy_rules_last_timestamp_seconds{ip_family=\"" + family
                            + "\"} 1.7670000005E9\n")
                    .contains("kubeproxy_sync_proxy_rules_last_queued_timestamp_seconds{ip_family=\"" + family
                            + "\"} 1.7670000015E9\n");
            assertThat(text.lines().filter(line -> line.startsWith(series))).hasSize(16);
        }
    }
}
