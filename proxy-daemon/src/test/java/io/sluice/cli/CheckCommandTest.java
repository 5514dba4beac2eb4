package io.sluice.cli;

import static org.assertj.core.api.Assertions.assertThat;

import io.sluice.apiserver.FakeCluster;
import java.io.ByteArrayInputStream;
import java.io.InputStream;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import picocli.CommandLine;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/** {@code sluice check} with manifests in files. */
@Tag("end-to-end")
final class CheckCommandTest {
    @TempDir
    private Path directory;

    private final StringWriter out = new StringWriter();
    private final StringWriter err = new StringWriter();

    @BeforeEach
    void writeFeed() throws Exception {
        Files.writeString(directory.resolve("web.yaml"), """
                apiVersion: v1
                kind: Service
                metadata: {name: web, namespace: shop}
                spec:
                  clusterIP: 127.96.0.10
                  sessionAffinity: ClientIP
                  ports: [{name: http, port: 80, protocol: TCP}]
                ---
                apiVersion: discovery.k8s.io/v1
                kind: EndpointSlice
                metadata: {name: web-1, namespace: shop, labels: {kubernetes.io/service-name: web}}
                addressType: IPv4
                ports: [{name: http, port: 8080, protocol: TCP}]
                endpoints:
                - {addresses: ["10.0.0.1"], conditions: {ready: true}}
                - {addresses: ["10.0.0.2"], conditions: {ready: true}}
                """);
    }

    private int check(String... more) {
        CommandLine line = Main.commandLine(Map.of("SLUICE_FEED", directory.toString()), InputStream.nullInputStream());
        line.setOut(new PrintWriter(out)).setErr(new PrintWriter(err));
        String[] args = new String[more.length + 1];
        args[0] = "check";
        System.arraycopy(more, 0, args, 1, more.length);
        return line.execute(args);
    }

    @Test
    void printsATableAndASummary() {
        assertThat(check()).isZero();
        assertThat(out.toString().lines())
                .containsExactly(
                        "SERVICE        ADDRESS             AFFINITY     ENDPOINTS",
                        "shop/web:http  127.96.0.10:80/tcp  ClientIP 3h  2: 10.0.0.1:8080, 10.0.0.2:8080",
                        "",
                        "1 service, 1 address; 0 errors, 0 warnings, 0 notes");
        assertThat(err.toString()).isEmpty();
    }

    @Test
    void choosesEndpointsForTheGivenNode() throws Exception {
        Files.writeString(directory.resolve("web.yaml"), """
                {apiVersion: v1, kind: Node, metadata: {name: n1, labels: {topology.kubernetes.io/zone: z1}}}
                ---
                apiVersion: v1
                kind: Service
                metadata: {name: near}
                spec: {clusterIP: 127.96.0.11, internalTrafficPolicy: Local, ports: [{port: 80}]}
                ---
                apiVersion: v1
                kind: Service
                metadata: {name: web}
                spec: {clusterIP: 127.96.0.10, ports: [{port: 80}]}
                ---
                apiVersion: discovery.k8s.io/v1
                kind: EndpointSlice
                metadata: {name: near-1, labels: {kubernetes.io/service-name: near}}
                addressType: IPv4
                ports: [{port: 8080}]
                endpoints: [{addresses: [10.0.0.1], nodeName: n2}]
                ---
                apiVersion: discovery.k8s.io/v1
                kind: EndpointSlice
                metadata: {name: web-1, labels: {kubernetes.io/service-name: web}}
                addressType: IPv4
                ports: [{port: 8080}]
                endpoints:
                - {addresses: [10.0.0.2], hints: {forZones: [{name: z1}]}}
                - {addresses: [10.0.0.3], hints: {forZones: [{name: z2}]}}
                """);
        assertThat(check("--node-name=n1")).isZero();
        assertThat(out.toString().lines())
                .contains(
                        "default/near  127.96.0.11:80/tcp  -         no local endpoint: dropped",
                        "default/web   127.96.0.10:80/tcp  -         1: 10.0.0.2:8080");
        out.getBuffer().setLength(0);
        assertThat(check("--node-name=n2")).isZero();
        assertThat(out.toString().lines())
                .contains(
                        "default/near  127.96.0.11:80/tcp  -         1: 10.0.0.1:8080",
                        "default/web   127.96.0.10:80/tcp  -         2: 10.0.0.2:8080, 10.0.0.3:8080");
    }

    @Test
    void printsNodePortAddressesAndTheirSource() throws Exception {
        Files.writeString(directory.resolve("node.yaml"), """
                apiVersion: v1
                kind: Node
                metadata: {name: n1}
                status: {addresses: [{type: InternalIP, address: 198.18.0.1}]}
                ---
                apiVersion: v1
                kind: Service
                metadata: {name: np}
                spec: {type: NodePort, clusterIP: 127.96.0.11, ports: [{port: 80, nodePort: 30080}]}
                """);
        String[] node = {"--node-name=n1", "--nodeport-addresses=all"};
        assertThat(check(node)).isZero();
        // The node is not this machine, so the interfaces of this machine do not matter.
        assertThat(out.toString())
                .contains("NodePorts are served on:\n  198.18.0.1, an address of Node n1\n\n", "198.18.0.1:30080/tcp");
        out.getBuffer().setLength(0);
        assertThat(check(node[0], node[1], "--mode=node", "-o=json")).isZero();
        assertThat(out.toString())
                .contains("\"198.18.0.1\" : \"an address of Node n1\"", "\"address\" : \"0.0.0.0:30080/tcp\"");
        out.getBuffer().setLength(0);
        assertThat(check("--node-ip=198.18.0.2")).isZero();
        assertThat(out.toString()).contains("  198.18.0.2, given by --node-ip\n");
    }

    @Test
    void printsMappedAddresses() {
        assertThat(check("--map-frontends=127.96.0.0/12=127.112.0.0/12")).isZero();
        assertThat(out.toString()).contains("127.112.0.10:80/tcp");
    }

    @Test
    void printsErrorsAndTheValidServices() throws Exception {
        Files.writeString(directory.resolve("bad.yaml"), """
                apiVersion: v1
                kind: Service
                metadata: {name: bad, namespace: shop}
                spec:
                  clusterIP: 10.96.0.11
                  ports: [{port: 70000, protocol: TCP}]
                """);
        assertThat(check()).isEqualTo(1);
        assertThat(out.toString()).contains("shop/web:http", "error    ", "bad.yaml", "shop/bad", "70000", "1 error,");
    }

    @Test
    void printsJson() {
        assertThat(check("-o", "json")).isZero();
        JsonNode json = JsonMapper.shared().readTree(out.toString());
        assertThat(json.at("/services/0/service").stringValue()).isEqualTo("web");
        assertThat(json.at("/services/0/addresses/0/address").stringValue()).isEqualTo("127.96.0.10:80/tcp");
        assertThat(json.at("/services/0/addresses/0/endpoints").valueStream().map(JsonNode::stringValue))
                .containsExactly("10.0.0.1:8080", "10.0.0.2:8080");
        assertThat(json.at("/problems").isEmpty()).isTrue();
    }

    @Test
    void jsonHasTheEndpointsOfEachAddress() throws Exception {
        Path web = directory.resolve("web.yaml");
        Files.writeString(
                web,
                Files.readString(web)
                        .replace(
                                "clusterIP: 127.96.0.10",
                                "clusterIP: 127.96.0.10\n  clusterIPs: [127.96.0.10, '::1']"));
        assertThat(check("-o", "json")).isZero();
        JsonNode addresses = JsonMapper.shared().readTree(out.toString()).at("/services/0/addresses");
        assertThat(addresses.at("/0/endpoints").size()).isEqualTo(2);
        assertThat(addresses.at("/1/address").stringValue()).isEqualTo("[::1]:80/tcp");
        assertThat(addresses.at("/1/endpoints").isEmpty()).isTrue();
    }

    @Test
    void reportsNonLocalAddressesAsANoteInBindMode() throws Exception {
        Path web = directory.resolve("web.yaml");
        Files.writeString(web, Files.readString(web).replace("127.96.0.10", "198.51.100.7"));
        assertThat(check()).isZero();
        assertThat(out.toString())
                .contains("note     " + directory
                        + ": 'sluice run' cannot listen on 1 of 1 address on this machine, for example: ")
                .contains("--map-frontends 198.48.0.0/12=127.48.0.0/12")
                .endsWith("; 0 errors, 0 warnings, 1 note\n");
        out.getBuffer().setLength(0);
        assertThat(check("-o", "json")).isZero();
        JsonNode problem = JsonMapper.shared().readTree(out.toString()).at("/problems/0");
        assertThat(problem.at("/severity").stringValue()).isEqualTo("note");
        assertThat(problem.at("/message").stringValue()).contains("198.51.100.7 is not an address of this machine");
        out.getBuffer().setLength(0);
        assertThat(check("--mode=node")).isZero();
        assertThat(out.toString())
                .as("in node mode, rules redirect packets to any address")
                .doesNotContain("cannot listen");
    }

    @Test
    void rejectsAnUnknownOutputFormat() {
        assertThat(check("-o", "xml")).isEqualTo(2);
        assertThat(err.toString()).contains("table", "json");
    }

    @Test
    void readsManifestsFromStandardInput() throws Exception {
        byte[] manifests = Files.readAllBytes(directory.resolve("web.yaml"));
        CommandLine line = Main.commandLine(Map.of(), new ByteArrayInputStream(manifests));
        line.setOut(new PrintWriter(out)).setErr(new PrintWriter(err));
        assertThat(line.execute("check", "-f", "-")).isZero();
        assertThat(out.toString())
                .contains("127.96.0.10:80/tcp")
                .endsWith("1 service, 1 address; 0 errors, 0 warnings, 0 notes\n");
        out.getBuffer().setLength(0);
        line = Main.commandLine(Map.of(), new ByteArrayInputStream(new byte[] {(byte) 0xff}));
        line.setOut(new PrintWriter(out)).setErr(new PrintWriter(err));
        assertThat(line.execute("check", "--feed=-")).isEqualTo(1);
        assertThat(out.toString()).startsWith("error    standard input: cannot be read: ");
    }

    @Test
    void listsTheObjectsOfAnApiServerOnce() throws Exception {
        try (FakeCluster cluster = new FakeCluster().start()) {
            cluster.apply(Files.readString(directory.resolve("web.yaml")));
            assertThat(sluice("check", "--master=" + cluster.url())).isZero();
            assertThat(out.toString())
                    .contains("127.96.0.10:80/tcp", "10.0.0.1:8080")
                    .endsWith("1 service, 1 address; 0 errors, 0 warnings, 0 notes\n");
            cluster.fail("/services", 1, 403, "", "{\"message\": \"services is forbidden\"}");
            assertThat(sluice("check", "--master=" + cluster.url())).isEqualTo(1);
        }
        assertThat(sluice("check", "--master=http://127.0.0.1:1", "--feed=x")).isEqualTo(2);
        assertThat(err.toString().lines().toList())
                .hasSize(2)
                .satisfies(lines -> assertThat(lines.get(0))
                        .startsWith("sluice: cannot read the Services: http://127.0.0.1:")
                        .endsWith("list services: 403 services is forbidden"));
    }

    @Test
    void aSourceGivenByFlagsOverridesTheConfigurationOfTheDaemon(@TempDir Path other) throws Exception {
        String header = "apiVersion: sluice.io/v1alpha1\nkind: SluiceConfiguration\n";
        String api = "--config="
                + Files.writeString(other.resolve("api.yaml"), header + "kubeconfig: /none\ncontext: prod\n");
        String feed = "--config=" + Files.writeString(other.resolve("feed.yaml"), header + "feed: /none\n");
        assertThat(sluice("check", api, "-f", directory.toString())).isZero();
        assertThat(sluice("trace", api, "-f", directory.toString(), "--from=10.0.0.1", "--to=127.96.0.10:80/tcp"))
                .isZero();
        try (FakeCluster cluster = new FakeCluster().start()) {
            assertThat(sluice("check", feed, "--master=" + cluster.url())).isZero();
        }
        assertThat(err.toString()).isEmpty();
        assertThat(sluice("check", api, "-f", directory.toString(), "--kubeconfig=/other"))
                .isEqualTo(2);
        assertThat(err)
                .hasToString(
                        "sluice: --feed cannot be combined with --kubeconfig; use either a feed or an API server\n");
    }

    private int sluice(String... args) {
        CommandLine line = Main.commandLine(Map.of(), InputStream.nullInputStream());
        line.setOut(new PrintWriter(out)).setErr(new PrintWriter(err));
        return line.execute(args);
    }
}
