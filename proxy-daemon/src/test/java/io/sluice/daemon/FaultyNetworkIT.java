package io.sluice.daemon;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * Tests Sluice with packet loss and vanishing peers. Sluice runs on {@code node}, clients on {@code out} and endpoints
 * on {@code far}; each is a network namespace.
 */
@Tag("netns")
@Timeout(300)
@NeedsRoot
@Tag("one-jdk")
final class FaultyNetworkIT {
    private static final String ONE_ENDPOINT = "198.19.0.1";
    private static final String TWO_ENDPOINTS = "198.19.0.2";
    private static final String SLOW = "198.19.0.3";
    /** These Services are served with short timeouts, which would end slow connections to the other Services. */
    private static final String ECHO = "198.19.0.4";

    private static final String VANISHING = "198.19.0.5";

    /** The port of both echo servers. */
    private static final int ECHO_PORT = 8080;

    private static final int SLOW_PORT = 8081;
    /** More than all buffers on the path hold. */
    private static final int TRANSFER_BYTES = 64 << 20;

    private static final Duration TIMEOUT = Duration.ofSeconds(60);

    private static final String NODE = "198.18.2.1";
    private static final int METRICS_PORT = 9100;
    private static final int SHORT_METRICS_PORT = 9101;

    private static final List<SluiceProcess> STARTED = new ArrayList<>();

    @TempDir
    private static Path directory;

    @SuppressWarnings("NullAway.Init") // made before all tests
    private static NodeLab lab;

    @BeforeAll
    static void build() throws IOException {
        lab = NodeLab.endpointsBehindALink(ONE_ENDPOINT, TWO_ENDPOINTS, SLOW, ECHO, VANISHING);
        for (String endpoint : NodeLab.BEHIND_THE_LINK) {
            assertThat(lab.tell("far", "echo " + endpoint + " " + ECHO_PORT)).isEqualTo("ok");
        }
        assertThat(lab.tell("far", "slow 198.18.1.2 " + SLOW_PORT)).isEqualTo("ok");
        // The kernel limits how often it reports an unreachable port.
        NodeLab.in("far", "sysctl -qw net.ipv4.icmp_ratelimit=0");
        String first = "{addresses: [198.18.1.2]}";
        String second = "{addresses: [198.18.1.3]}";
        serve(
                service("one", ONE_ENDPOINT, ECHO_PORT, first)
                        + service("two", TWO_ENDPOINTS, ECHO_PORT, first + ", " + second)
                        + service("slow", SLOW, SLOW_PORT, first),
                METRICS_PORT);
        serve(
                service("echo", ECHO, ECHO_PORT, first) + service("vanishing", VANISHING, ECHO_PORT, second),
                SHORT_METRICS_PORT,
                "--tcp-keepalive-time=1s",
                "--tcp-keepalive-interval=1s",
                "--tcp-keepalive-probes=3",
                "--stalled-timeout=2s");
    }

    private static void serve(String feed, int metricsPort, String... args) throws IOException {
        Path own = Files.createTempDirectory(directory, "sluice");
        Files.writeString(own.resolve("feed.yaml"), feed);
        List<String> options = new ArrayList<>(List.of(args));
        options.add("--metrics-bind-address=" + NODE + ":" + metricsPort);
        STARTED.add(NodeLab.launchInBindMode(own, "node", options.toArray(String[]::new)));
    }

    /** Endpoints are not ejected, so that connections continue to meet the faults. */
    private static String service(String name, String address, int port, String endpoints) {
        return """
                ---
                apiVersion: v1
                kind: Service
                metadata: {name: %1$s, namespace: it, annotations: {service.sluice.io/eject-after: 'off'}}
                spec: {clusterIP: %2$s, ports: [{name: t, port: 80}]}
                ---
                apiVersion: discovery.k8s.io/v1
                kind: EndpointSlice
                metadata: {name: %1$s-1, namespace: it, labels: {kubernetes.io/service-name: %1$s}}
                addressType: IPv4
                ports: [{name: t, port: %3$d}]
                endpoints: [%4$s]
                """.formatted(name, address, port, endpoints);
    }

    @AfterAll
    static void remove() throws IOException {
        if (lab != null) {
            STARTED.forEach(SluiceProcess::close);
            lab.close();
        }
    }

    @AfterEach
    void removeFaults() throws IOException {
        NodeLab.in("far", "nft flush ruleset");
        NodeLab.in("out", "nft flush ruleset");
        lab.tell("out", "release");
    }

    /** Applies a rule to TCP packets for the echo servers. */
    private static void rules(String sets, String rule) throws IOException {
        Path rules = Files.createTempFile(directory, "rules", ".nft");
        Files.writeString(rules, """
                table ip faults {
                  %s
                  chain input {
                    type filter hook input priority filter;
                    tcp dport %d %s
                  }
                }
                """.formatted(sets, ECHO_PORT, rule));
        NodeLab.in("far", "nft -f " + rules);
    }

    private static void assertSomeWereDropped() throws IOException {
        assertThat(NodeLab.in("far", "nft list ruleset")).containsPattern("packets [1-9]\\d* .*drop");
    }

    /** Opens connections and returns how many were answered. */
    private static int answered(String address, int port, int connections, int atOnce) throws IOException {
        return Integer.parseInt(lab.tell("out", "crowd " + address + " " + port + " " + connections + " " + atOnce));
    }

    private static int metric(int port, String name) throws IOException {
        return Integer.parseInt(lab.tell("node", "metric " + NODE + " " + port + " sluice_" + name));
    }

    /**
     * Drops the first, third and so on SYN of each attempt. Dropping every second SYN overall could drop several of one
     * attempt.
     */
    @ParameterizedTest
    @ValueSource(strings = {ONE_ENDPOINT, TWO_ENDPOINTS})
    void connectsAlthoughEverySecondSynIsLost(String service) throws Exception {
        rules("set lost { type ipv4_addr . inet_service . ipv4_addr; flags dynamic; }", """
                tcp flags & (syn | ack) == syn jump second
                  }
                  chain second {
                    ip saddr . tcp sport . ip daddr @lost delete @lost { ip saddr . tcp sport . ip daddr } accept
                    add @lost { ip saddr . tcp sport . ip daddr } counter drop
                """);
        int retried = metric(METRICS_PORT, "connect_retries_total");
        assertThat(answered(service, 80, 24, 24)).isEqualTo(24);
        assertSomeWereDropped();
        // After a single lost SYN, Sluice does not try another endpoint.
        assertThat(metric(METRICS_PORT, "connect_retries_total")).isEqualTo(retried);
    }

    @ParameterizedTest
    @ValueSource(strings = {ONE_ENDPOINT, TWO_ENDPOINTS})
    void answersAlthoughThreePercentOfPacketsAreLost(String service) throws Exception {
        rules("", "numgen random mod 100 < 3 counter drop");
        assertThat(answered(service, 80, 300, 50)).isEqualTo(300);
        assertSomeWereDropped();
    }

    @ParameterizedTest
    @CsvSource({
        "tcp reset, connect_failures_total:refused",
        "icmp type host-unreachable, connect_failures_total:unreachable"
    })
    void triesTheNextEndpointImmediatelyAfterARejection(String rejection, String counter) throws Exception {
        rules("", "ip daddr 198.18.1.2 reject with " + rejection);
        int rejected = metric(METRICS_PORT, counter);
        int timeouts = metric(METRICS_PORT, "connect_failures_total:timeout");
        assertThat(answered(TWO_ENDPOINTS, 80, 20, 5)).isEqualTo(20);
        assertThat(metric(METRICS_PORT, counter)).isGreaterThanOrEqualTo(rejected + 5);
        assertThat(metric(METRICS_PORT, "connect_failures_total:timeout")).isEqualTo(timeouts);
    }

    /** The server has a backlog of 5 and pauses between connections. */
    @Test
    void servesAsManyClientsOfAFullAcceptQueueAsWithoutSluice() throws Exception {
        int direct = answered("198.18.1.2", SLOW_PORT, 60, 60);
        int before = overflows();
        assertThat(answered(SLOW, 80, 60, 60)).isGreaterThanOrEqualTo(direct);
        assertThat(overflows()).isGreaterThan(before);
    }

    /** The number of SYNs that endpoints dropped because of a full accept queue. */
    private static int overflows() throws IOException {
        return Integer.parseInt(NodeLab.in("far", "nstat -asz TcpExtListenOverflows | awk '/Overflows/ {print $2}'")
                .trim());
    }

    /** Drops all packets from and to an address, as if its machine had lost power. */
    private static void isolate(String namespace, String address) throws IOException {
        Path rules = Files.createTempFile(directory, "vanish", ".nft");
        Files.writeString(rules, """
                table ip gone {
                  chain input { type filter hook input priority filter; ip daddr %1$s drop; }
                  chain output { type filter hook output priority filter; ip saddr %1$s drop; }
                }
                """.formatted(address));
        NodeLab.in(namespace, "nft -f " + rules);
    }

    private static String sendOnKeptConnection(String service) throws IOException {
        return lab.tell("out", "keep " + service + " 80");
    }

    /** Sluice's connections to an address, with the kernel's details about each. */
    private static String connectionsTo(String address) throws IOException {
        return NodeLab.in("node", "ss -tnHiO state established dst " + address);
    }

    private static void awaitNoConnectionTo(String address) {
        await().atMost(TIMEOUT).until(() -> connectionsTo(address).isBlank());
    }

    @Test
    void closesAnIdleConnectionToAVanishedEndpoint() throws Exception {
        int lost = metric(SHORT_METRICS_PORT, "sessions_aborted_total:endpoint_lost");
        assertThat(sendOnKeptConnection(VANISHING)).isEqualTo("ok");
        isolate("far", "198.18.1.3");
        awaitNoConnectionTo("198.18.1.3");
        assertThat(sendOnKeptConnection(VANISHING)).contains("reset");
        assertThat(metric(SHORT_METRICS_PORT, "sessions_aborted_total:endpoint_lost"))
                .isEqualTo(lost + 1);
    }

    @Test
    void closesAnIdleConnectionOfAVanishedClient() throws Exception {
        int lost = metric(SHORT_METRICS_PORT, "sessions_aborted_total:client_lost");
        assertThat(sendOnKeptConnection(ECHO)).isEqualTo("ok");
        isolate("out", "198.18.2.2");
        awaitNoConnectionTo("198.18.2.2");
        awaitNoConnectionTo("198.18.1.2");
        assertThat(metric(SHORT_METRICS_PORT, "sessions_aborted_total:client_lost"))
                .isEqualTo(lost + 1);
    }

    @Test
    void closesAConnectionWithUnacknowledgedDataToAVanishedEndpoint() throws Exception {
        int lost = metric(SHORT_METRICS_PORT, "sessions_aborted_total:endpoint_lost");
        assertThat(sendOnKeptConnection(VANISHING)).isEqualTo("ok");
        isolate("far", "198.18.1.3");
        assertThat(sendOnKeptConnection(VANISHING)).isEqualTo("DROP");
        awaitNoConnectionTo("198.18.1.3");
        assertThat(sendOnKeptConnection(VANISHING)).contains("reset");
        assertThat(metric(SHORT_METRICS_PORT, "sessions_aborted_total:endpoint_lost"))
                .isEqualTo(lost + 1);
    }

    /** The reader acknowledges the kernel's window probes, whose interval grows. */
    @Test
    void keepsAConnectionWhoseReaderStoppedBeyondTheStalledTimeout() throws Exception {
        int lost = metric(SHORT_METRICS_PORT, "sessions_aborted_total:client_lost");
        assertThat(lab.tell("out", "pour " + ECHO + " 80 " + TRANSFER_BYTES)).isEqualTo("ok");
        // 6 s after the window closed; the last two probes are 3 s apart.
        await().atMost(TIMEOUT).until(() -> connectionsTo("198.18.2.2").matches("(?s).*\\bbackoff:([5-9]|\\d\\d).*"));
        assertThat(lab.tell("out", "drain")).isEqualTo(String.valueOf(TRANSFER_BYTES));
        assertThat(metric(SHORT_METRICS_PORT, "sessions_aborted_total:client_lost"))
                .isEqualTo(lost);
    }
}
