package io.sluice.cli;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.io.Writer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import picocli.CommandLine;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/** Output formats of {@code sluice trace}. The scenarios test the verdicts. */
@Tag("end-to-end")
final class TraceCommandTest {
    @TempDir
    private Path directory;

    private final StringWriter out = new StringWriter();
    private final StringWriter err = new StringWriter();

    @BeforeEach
    void writeFeed() throws Exception {
        Files.writeString(directory.resolve("cluster.yaml"), """
                {apiVersion: v1, kind: Node, metadata: {name: n1, labels: {topology.kubernetes.io/zone: z1}}, status: {addresses: [{type: InternalIP, address: 192.168.0.2}]}}
                ---
                apiVersion: v1
                kind: Service
                metadata: {name: web, namespace: shop}
                spec:
                  type: LoadBalancer
                  clusterIP: 10.96.0.10
                  externalTrafficPolicy: Local
                  healthCheckNodePort: 31000
                  loadBalancerSourceRanges: [203.0.113.0/24]
                  ports: [{name: http, port: 80, nodePort: 30080}]
                status: {loadBalancer: {ingress: [{ip: 198.51.100.7}]}}
                ---
                apiVersion: discovery.k8s.io/v1
                kind: EndpointSlice
                metadata: {name: web-1, namespace: shop, labels: {kubernetes.io/service-name: web}}
                addressType: IPv4
                ports: [{name: http, port: 8080}]
                endpoints:
                - {addresses: [10.244.1.5], nodeName: n1, hints: {forZones: [{name: z1}]}}
                - {addresses: [10.244.2.7], nodeName: n2, hints: {forZones: [{name: z2}]}}
                - {addresses: [10.244.2.8], nodeName: n2, conditions: {ready: false, serving: true, terminating: true}}
                - {addresses: [10.244.2.9], nodeName: n2, conditions: {ready: false}}
                """);
    }

    private int trace(String input, String... more) {
        CommandLine line = Main.commandLine(
                Map.of("SLUICE_FEED", directory.toString()),
                new ByteArrayInputStream(input.getBytes(StandardCharsets.UTF_8)));
        line.setOut(new PrintWriter(out)).setErr(new PrintWriter(err));
        List<String> args = new ArrayList<>(List.of("trace", "--node-name=n1", "--cluster-cidr=10.244.0.0/16"));
        args.addAll(List.of(more));
        return line.execute(args.toArray(String[]::new));
    }

    @Test
    void printsEveryStepAsText() {
        assertThat(trace("", "--from=10.244.1.9", "--to=10.96.0.10:80/tcp")).isZero();
        assertThat(out).hasToString("""
                10.244.1.9 -> 10.96.0.10:80/tcp
                  client     10.244.1.9, a pod (in 10.244.0.0/16)
                  frontend   10.96.0.10:80/tcp, ClusterIP of shop/web:http
                  policy     internalTrafficPolicy Cluster: endpoints on any node
                  endpoints  10.244.1.5:8080  used: ready
                             10.244.2.7:8080  not used: hinted for other zones
                             10.244.2.8:8080  not used: terminating while others are ready
                             10.244.2.9:8080  not used: not ready
                  source     CLIENT: preserved for pods
                  verdict    FORWARD: to 1 endpoint
                """);
        assertThat(err.toString()).isEmpty();
    }

    @Test
    void printsThePathIfSocketLbIsOn() {
        String[] on = {"--mode=node", "--socket-lb=auto"};
        assertThat(trace("", "--from=10.244.1.9", "--to=10.96.0.10:80/tcp", on[0], on[1]))
                .isZero();
        assertThat(out.toString()).contains("""
                  source     CLIENT: the client itself connects to the endpoint
                  path       socket
                             no connect failover, and no bytes in the metrics
                  verdict    FORWARD: to 1 endpoint
                """);
        out.getBuffer().setLength(0);
        // Hairpin traffic, which needs source NAT only if the forwarder connects.
        trace("", "--from=10.244.1.5", "--to=10.96.0.10:80/tcp", on[0], on[1], "-o", "json");
        assertThat(out.toString())
                .contains("\"sourceAddress\":\"CLIENT\"")
                .contains("1 of 4 endpoints; source address CLIENT: the client itself connects to the endpoint\"")
                .contains("\"path\":\"socket\",\"pathReason\":\"\"}");
        out.getBuffer().setLength(0);
        trace("", "--from=10.244.1.9", "--to=10.96.0.10:80/tcp", on[0], on[1], "--masquerade-all");
        trace("", "--from=203.0.113.9", "--to=10.96.0.10:80/tcp", on[0], on[1]);
        trace("", "--from=203.0.113.9", "--to=192.168.0.2:30080/tcp", on[0], on[1], "-o", "json");
        trace("", "--from=10.244.1.9", "--to=10.96.0.10:443/tcp", on[0], on[1]);
        assertThat(out.toString().lines().filter(line -> line.contains("path")).toList())
                .hasSize(3)
                .startsWith("  path       proxy (masquerade-all)", "  path       proxy (client on another machine)")
                .last()
                .asString()
                .contains("\"path\":\"proxy\",\"pathReason\":\"NodePort\"");
    }

    @Test
    void printsTheTrafficPolicy() throws IOException {
        String web = Files.readString(directory.resolve("cluster.yaml"));
        Files.writeString(
                directory.resolve("cluster.yaml"),
                web.replaceFirst(
                        "metadata: \\{name: web, namespace: shop",
                        "metadata: {name: web, namespace: shop, annotations: {service.sluice.io/balance: maglev,"
                                + " service.sluice.io/source-ranges: '10.244.0.0/16,10.0.0.0/24',"
                                + " service.sluice.io/accept-proxy-protocol-from: 192.0.2.1/32}"));
        assertThat(trace("", "--from=10.244.1.9", "--to=10.96.0.10:80/tcp")).isZero();
        assertThat(out.toString()).contains("""
                  policy     internalTrafficPolicy Cluster: endpoints on any node
                             balance: maglev
                             accept-proxy-protocol-from: 192.0.2.1/32
                             source-ranges: 10.244.0.0/16, 10.0.0.0/24
                             10.244.1.9 is in an allowed source range
                """);
        out.getBuffer().setLength(0);
        assertThat(trace("", "--from=192.0.2.1", "--to=10.96.0.10:80/tcp")).isZero();
        assertThat(out.toString())
                .contains("a PROXY protocol header is required from 192.0.2.1: source ranges, session affinity and"
                        + " limits apply to the address in the header\n")
                .contains("  verdict    FORWARD: ");
        out.getBuffer().setLength(0);
        trace("", "--from=192.0.2.2", "--to=10.96.0.10:80/tcp");
        assertThat(out.toString())
                .contains("  policy     balance: maglev\n")
                .contains("  verdict    DROP: 192.0.2.2 is not in source-ranges 10.244.0.0/16, 10.0.0.0/24\n");
    }

    @Test
    void printsEndpointsThatDoNotSeeTheClientAddress() {
        assertThat(trace("", "--from=10.244.1.9", "--to=10.96.0.10:80/tcp", "--node-ip=192.168.0.2,10.244.1.5"))
                .isZero();
        assertThat(out.toString())
                .contains(
                        "  source     CLIENT: preserved for pods\n             except 10.244.1.5:8080: it has an address of this node,"
                                + " so its replies would bypass Sluice, and it sees the node's address (--mode node)\n");
    }

    @Test
    void printsOneLineOfJson() {
        assertThat(trace("", "--from=203.0.113.9", "--to=192.168.0.2:30080/tcp", "-o", "json"))
                .isZero();
        assertThat(out)
                .hasToString("{\"verdict\":\"FORWARD\",\"frontend\":\"192.168.0.2:30080/tcp\","
                        + "\"service\":\"shop/web:http\",\"endpoints\":[\"10.244.1.5:8080\"],"
                        + "\"sourceAddress\":\"CLIENT\",\"reason\":\"NodePort of shop/web:http, 1 of 4 endpoints;"
                        + " source address CLIENT: preserved by externalTrafficPolicy Local\"}\n");
    }

    @Test
    void printsBatchResultsInOrderWithErrorsInPlace() {
        assertThat(trace("""
                        198.18.0.1 198.51.100.7:80/tcp
                        what 10.96.0.10:80/tcp
                        10.244.1.9 10.96.0.10:443/TCP

                        fd00::1 [fd00::2]:80/tcp
                        10.244.1.9 10.96.0.99:53/udp
                        10.244.1.9 10.96.0.10:80/quic
                        10.244.1.9 10.96.0.10:80/sctp
                        10.244.1.5 10.96.0.10:80/tcp
                        1.2.3.4 192.168.0.2:31000/tcp
                        """, "--batch", "--service-cidr=10.96.0.0/12")).isZero();
        JsonMapper json = JsonMapper.shared();
        List<JsonNode> answers = out.toString().lines().map(json::readTree).toList();
        assertThat(answers)
                .extracting(answer -> answer.has("error")
                        ? "error"
                        : answer.get("verdict").stringValue() + " "
                                + answer.get("sourceAddress").stringValue())
                .containsExactly(
                        "DROP CLIENT",
                        "error",
                        "REJECT CLIENT",
                        "error",
                        "PASS CLIENT",
                        "DROP CLIENT",
                        "error",
                        "REJECT CLIENT",
                        "FORWARD NODE",
                        "PASS CLIENT");
        assertThat(answers.get(0).get("reason").stringValue())
                .isEqualTo("198.18.0.1 is not in loadBalancerSourceRanges 203.0.113.0/24");
        assertThat(answers.get(1))
                .hasToString("{\"error\":\"from: 'what' is invalid; must be an IPv4 or IPv6 address\"}");
        assertThat(answers.get(6).get("error").stringValue()).startsWith("to: '10.96.0.10:80/quic' is invalid");
        assertThat(answers.get(7).get("reason").stringValue()).startsWith("SCTP is not supported");
        assertThat(answers.get(9).get("reason").stringValue()).contains("health check port of shop/web");
    }

    @Test
    void batchEndsWhenTheReaderOfTheResultsExits() {
        String packet = "10.244.1.9 10.96.0.10:80/tcp\n";
        ByteArrayInputStream packets =
                new ByteArrayInputStream(packet.repeat(10_000).getBytes(StandardCharsets.UTF_8));
        CommandLine line = Main.commandLine(Map.of("SLUICE_FEED", directory.toString()), packets);
        line.setOut(new PrintWriter(new ClosedPipe())).setErr(new PrintWriter(err));
        assertThat(line.execute("trace", "--batch")).isZero();
        assertThat(packets.available()).isPositive();
    }

    /** Output whose reader has exited. */
    private static final class ClosedPipe extends Writer {
        @Override
        public void write(char[] characters, int from, int length) throws IOException {
            throw new IOException("Broken pipe");
        }

        @Override
        public void flush() {}

        @Override
        public void close() {}
    }

    @Test
    void mentionsErrorsInTheFeed() throws Exception {
        Files.writeString(directory.resolve("bad.yaml"), "{apiVersion: v1, kind: Service, metadata: {name: BAD}}");
        assertThat(trace("", "--from=10.244.1.9", "--to=10.96.0.10:80/tcp")).isZero();
        assertThat(err).hasToString("sluice: the feed has 1 error; 'sluice check' lists them\n");
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "--from=10.0.0.1",
                "--to=10.0.0.1:80/tcp",
                "--batch --from=10.0.0.1 --to=10.0.0.1:80/tcp",
                "--batch -f -",
                "--from=10.0.0.1 --to=10.0.0.1:80",
                "--from=10.0.0.1 --to=fd00::1:80/tcp",
                "--from=10.0.0.1 --to=[10.0.0.1]:0/tcp",
                "--from=10.0.0.300 --to=10.0.0.1:80/tcp",
                "--from=10.0.0.1 --to=10.0.0.1:80/tcp --cluster-cidr=10.0.0.0",
                "--from=10.0.0.1 --to=10.0.0.1:80/tcp --nodeport-addresses=some",
                "--from=10.0.0.1 --to=10.0.0.1:80/tcp --detect-local-mode=BridgeInterface",
                "--from=10.0.0.1 --to=10.0.0.1:80/tcp --masquerade-all=maybe",
                "--from=10.0.0.1 --to=10.0.0.1:80/tcp -o xml"
            })
    void reportsInvalidUsageInOneLine(String flags) {
        assertThat(trace("", flags.split(" "))).isEqualTo(Main.USAGE);
        assertThat(out.toString()).isEmpty();
        assertThat(err.toString().lines().filter(line -> !line.startsWith("Try ")))
                .hasSize(1);
    }
}
