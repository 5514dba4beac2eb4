package io.sluice.rules;

import static org.assertj.core.api.Assertions.assertThat;

import io.sluice.document.Problem;
import io.sluice.feed.ManifestReader;
import io.sluice.feed.ManifestReader.Manifest;
import io.sluice.model.HealthCheck;
import io.sluice.rules.ObjectStore.SourceState;
import java.io.IOException;
import java.io.StringReader;
import java.util.Map;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;

/** Which Services have a health check port and what it counts; test cases of kube-proxy. */
final class HealthChecksTest {
    private final ProblemTracker problems = new ProblemTracker();
    private final ObjectStore store = new ObjectStore(problems);
    private final SnapshotBuilder builder = new SnapshotBuilder(BuildOptions.on("test-node"), store, problems);

    private Map<String, HealthCheck> checks(String... objects) throws IOException {
        Manifest manifest = ManifestReader.read("a", "", new StringReader(String.join("\n---\n", objects)));
        assertThat(manifest.problems().stream().filter(p -> p.severity() == Problem.Severity.ERROR))
                .isEmpty();
        store.replace("a", new SourceState(manifest.objects(), manifest.problems()));
        return builder.build().context().healthChecks();
    }

    private Map<String, Integer> ports(String... objects) throws IOException {
        return checks(objects).entrySet().stream()
                .collect(Collectors.toMap(
                        Map.Entry::getKey, check -> check.getValue().port()));
    }

    private Map<String, Integer> counts(String... objects) throws IOException {
        return checks(objects).entrySet().stream()
                .collect(Collectors.toMap(
                        Map.Entry::getKey, check -> check.getValue().localEndpoints()));
    }

    private static String service(String name, String spec) {
        return "{apiVersion: v1, kind: Service, metadata: {namespace: somewhere, name: " + name + "}, spec: {" + spec
                + "}}";
    }

    private static String onlyLocal(String name) {
        return service(
                name,
                "type: LoadBalancer, clusterIP: 172.30.55.12, externalTrafficPolicy: Local, healthCheckNodePort: 345,"
                        + " ports: [{name: p, port: 8677, protocol: UDP}, {name: q, port: 8678, protocol: UDP}]");
    }

    private static String slice(String name, String service, String ports, String... endpoints) {
        return "{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, addressType: IPv4, metadata: {namespace:"
                + " somewhere, name: " + name + ", labels: {kubernetes.io/service-name: " + service + "}}, ports: ["
                + ports + "], endpoints: [" + String.join(", ", endpoints) + "]}";
    }

    private static String endpoint(String address, String node, String conditions) {
        return "{addresses: [" + address + "], nodeName: " + node + ", conditions: {" + conditions + "}}";
    }

    /** TestBuildServiceMapAddRemove. */
    @Test
    void onlyLoadBalancersWithALocalPolicyHaveAHealthCheck() throws IOException {
        assertThat(ports(
                        service("cluster-ip", "clusterIP: 172.30.55.4, ports: [{name: p, port: 1234, protocol: UDP}]"),
                        service(
                                "node-port",
                                "type: NodePort, clusterIP: 172.30.55.10, ports: [{name: p, port: 345, protocol: UDP}]"),
                        service(
                                "load-balancer",
                                "type: LoadBalancer, clusterIP: 172.30.55.11, ports: [{name: p, port: 8675, protocol: UDP}]"),
                        onlyLocal("only-local-load-balancer")))
                .containsExactly(Map.entry("somewhere/only-local-load-balancer", 345));
        assertThat(ports(
                        service("cluster-ip", "clusterIP: 172.30.55.4, ports: [{name: p, port: 1234, protocol: UDP}]")))
                .isEmpty();
    }

    @Test
    void headlessAndExternalNameServicesHaveNoHealthCheck() throws IOException {
        String more = "externalTrafficPolicy: Local, healthCheckNodePort: 345, ports: [{port: 80}]";
        assertThat(ports(
                        service("headless", "clusterIP: None, " + more),
                        service(
                                "name",
                                "type: ExternalName, externalName: example.com, clusterIP: 172.30.1.1, " + more)))
                .isEmpty();
    }

    /** TestBuildServiceMapServiceUpdate. */
    @Test
    void updatesWhenTheServiceTypeChanges() throws IOException {
        String plain = service("web", "clusterIP: 172.30.55.12, ports: [{name: p, port: 8677, protocol: UDP}]");
        assertThat(ports(plain)).isEmpty();
        assertThat(ports(onlyLocal("web"))).containsExactly(Map.entry("somewhere/web", 345));
        var before = builder.build();
        assertThat(ports(onlyLocal("web"))).hasSize(1);
        assertThat(builder.build()).isSameAs(before);
        assertThat(ports(plain)).isEmpty();
    }

    /** TestHealthCheckNodePortWhenTerminating. */
    @Test
    void doesNotCountTerminatingEndpoints() throws IOException {
        String port = "{name: p, port: 80, protocol: UDP}";
        assertThat(counts(
                        onlyLocal("web"),
                        slice(
                                "a",
                                "web",
                                port,
                                endpoint("10.0.1.1", "test-node", "ready: true"),
                                endpoint("10.0.1.2", "test-node", "ready: true"),
                                endpoint("10.0.1.3", "test-node", "ready: true"),
                                endpoint("10.0.1.4", "test-node", "ready: false"))))
                .containsExactly(Map.entry("somewhere/web", 3));
        assertThat(counts(
                        onlyLocal("web"),
                        slice(
                                "a",
                                "web",
                                port,
                                endpoint("10.0.1.1", "test-node", "ready: false, serving: true, terminating: true"),
                                endpoint("10.0.1.2", "test-node", "ready: false, serving: true, terminating: true"),
                                endpoint("10.0.1.3", "test-node", "ready: false, serving: false, terminating: true"),
                                endpoint("10.0.1.4", "test-node", "ready: false, serving: false, terminating: true"))))
                .containsExactly(Map.entry("somewhere/web", 0));
    }

    /** TestGetLocalEndpointIPs. */
    @Test
    void countsAnAddressWithSeveralPortsOnce() throws IOException {
        String p = "{name: p, port: 11, protocol: UDP}";
        String q = "{name: q, port: 12, protocol: UDP}";
        assertThat(counts(onlyLocal("web"))).containsValue(0);
        assertThat(counts(onlyLocal("web"), slice("a", "web", p, endpoint("1.1.1.1", "other", ""))))
                .containsValue(0);
        assertThat(counts(
                        onlyLocal("web"),
                        slice(
                                "a",
                                "web",
                                p + ", " + q,
                                endpoint("1.1.1.1", "other", ""),
                                endpoint("1.1.1.2", "test-node", "")),
                        slice("b", "web", q, endpoint("1.1.1.2", "test-node", ""))))
                .containsValue(1);
    }
}
