package io.sluice.daemon;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * Tests the keys of the traffic policy that depend on the rules of the kernel or on transparent sockets, with real
 * packets to one daemon. Each test has its own Services, which it changes in the feed of the daemon.
 */
@Tag("netns")
@Timeout(120)
@NeedsRoot
@Tag("one-jdk")
final class TrafficPolicyIT {
    /** The Services; the last digits of their addresses are their index in this list. */
    private static final List<String> SERVICES =
            List.of("held", "empty", "held-local", "trusted", "trusted-local", "announced", "reset", "kept", "limited");

    private static final String METRICS = "127.0.0.1 9100 ";
    /** A client in {@link #RANGES}, which is behind the trusted peer {@code out}, by family. */
    private static final List<String> INSIDE = List.of("198.18.1.9", "2001:db8:18::9");
    /** A client outside of {@link #RANGES}, by family. */
    private static final List<String> OUTSIDE = List.of("198.18.200.9", "2001:db8:200::9");

    private static final String RANGES = "198.18.1.0/24, 2001:db8:18::/64";
    private static final String TRUSTED = "198.51.100.7/32, 2001:db8:51::7/128, 10.244.2.11/32, fd00:10:2::11/128";

    private static final Map<String, ServiceManifest> FEED = new LinkedHashMap<>();

    @TempDir
    private static Path directory;

    @SuppressWarnings("NullAway.Init") // made before all tests
    private static NodeLab lab;

    @SuppressWarnings("NullAway.Init") // made before all tests
    private static SluiceProcess sluice;

    @SuppressWarnings("NullAway.Init") // made before all tests
    private static NodeCases cases;

    @BeforeAll
    static void build() throws IOException {
        lab = NodeLab.oneNode();
        Map<String, List<String>> services = new LinkedHashMap<>();
        for (int i = 0; i < SERVICES.size(); i++) {
            services.put(SERVICES.get(i), List.of("198.19.0.1" + i, "2001:db8:96::1" + i));
            services.put(SERVICES.get(i) + "-ext", List.of("198.19.1.1" + i, "2001:db8:97::1" + i));
        }
        cases = new NodeCases(lab, services);
        cases.serve(8080, "pod");
        cases.readHeaders(8081, "pod", "far");
        cases.echo(8082, "pod", "far");
        set(
                held(),
                cases.service("empty"),
                cases.service("held-local")
                        .policy("hold", "60s")
                        .spec("internalTrafficPolicy: Local")
                        .endpoints("far"),
                trusted("trusted", 30080).slice(80, 8081, "pod", "far"),
                trusted("trusted-local", 30081)
                        .spec("externalTrafficPolicy: Local")
                        .slice(80, 8081, "pod", "far"),
                cases.service("announced")
                        .nodePort(30082)
                        .policy("proxy-protocol", "v2")
                        .slice(80, 8081, "pod", "far"),
                removed("reset", "reset").slice(80, 8082, "pod"),
                removed("kept", "keep").slice(80, 8082, "pod"),
                cases.service("limited")
                        .policy("max-connections-per-client", "1")
                        .slice(80, 8082, "pod"));
        sluice = NodeLab.sluice(
                directory,
                "node",
                "--cluster-cidr=10.244.0.0/16,fd00:10::/32",
                "--service-cidr=198.19.0.0/24,2001:db8:96::/112",
                "--nodeport-addresses=primary,localhost",
                "--metrics-bind-address=127.0.0.1:9100");
    }

    @AfterAll
    static void remove() throws IOException {
        if (lab != null) {
            sluice.close();
            lab.close();
        }
    }

    private static ServiceManifest held() {
        return cases.service("held").policy("hold", "60s");
    }

    private static ServiceManifest trusted(String name, int nodePort) {
        return cases.service(name)
                .port("TCP", 80, nodePort)
                .policy("accept-proxy-protocol-from", TRUSTED)
                .policy("source-ranges", RANGES)
                .policy("proxy-protocol", "v2");
    }

    private static ServiceManifest removed(String name, String value) {
        return cases.service(name).policy("on-endpoint-removed", value);
    }

    /** Adds or replaces Services in the feed. */
    private static void set(ServiceManifest... services) throws IOException {
        for (ServiceManifest service : services) {
            FEED.put(service.name(), service);
        }
        Path next = directory.resolve("next");
        Files.writeString(
                next,
                NodeLab.NODES + FEED.values().stream().map(Object::toString).collect(Collectors.joining()));
        Files.move(next, directory.resolve("feed.yaml"), StandardCopyOption.ATOMIC_MOVE);
    }

    private static String tell(String name, String line) {
        try {
            return lab.tell(name, line);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private static long metric(String name) {
        return Long.parseLong(tell("node", "metric " + METRICS + name));
    }

    private static String address(String service, int family) {
        return cases.addresses(service).get(family);
    }

    private static CompletableFuture<String> ask(String client, int family) {
        String line = "ask tcp - " + address("held", family) + " 80 10 60000";
        return CompletableFuture.supplyAsync(() -> cases.symbols(tell(client, line)));
    }

    @Test
    void connectionsWaitForTheFirstEndpoint() throws Exception {
        CompletableFuture<String> fromPod = ask("one", 0);
        CompletableFuture<String> fromOtherPod = ask("two", 1);
        Cluster.eventually().until(() -> metric("sluice_sessions_holding") == 2);
        for (String family : List.of("4", "6")) {
            cases.check("udp " + family + " pod held:80 REFUSED");
            cases.check("tcp " + family + " pod empty:80 REFUSED");
            cases.check("tcp " + family + " pod held-local:80 DROP");
        }
        assertThat(metric("sluice_sessions_holding")).isEqualTo(2);
        assertThat(fromPod).isNotDone();
        assertThat(fromOtherPod).isNotDone();
        set(held().endpoints("pod"));
        assertThat(fromPod.get(60, TimeUnit.SECONDS)).isEqualTo("pod=one");
        assertThat(fromOtherPod.get(60, TimeUnit.SECONDS)).isEqualTo("pod=two");
        assertThat(metric("sluice_sessions_holding")).isZero();
        cases.check("tcp 4 one held:80 pod=one");
    }

    /** The kernel admits trusted peers, and the address in the header is checked instead of theirs. */
    @ParameterizedTest
    @ValueSource(ints = {0, 1})
    void sourceRangesApplyToTheClientOfATrustedPeer(int family) throws IOException {
        String ip = family == 0 ? "4" : "6";
        String inside = INSIDE.get(family);
        String behind = family == 0 ? "198.18.1.7" : "2001:db8:18::7";
        for (String to : List.of("trusted:80", "trusted-ext:80", "node:30080")) {
            cases.check("tcp:" + inside + " " + ip + " out " + to + " pod=node," + inside + " far=node," + inside);
            cases.check("tcp:" + OUTSIDE.get(family) + " " + ip + " out " + to + " RESET");
            // Dropped by the kernel: Sluice would accept the connection before it resets it.
            cases.check("tcp:" + inside + " " + ip + " stranger " + to + " DROP");
            cases.check("tcp " + ip + " behind " + to + " pod=node," + behind + " far=node," + behind);
        }
        String ofOtherFamily = INSIDE.get(1 - family);
        assertThat(cases.responses("tcp:" + ofOtherFamily + " " + ip + " out trusted:80"))
                .endsWith("=node," + ofOtherFamily);
    }

    /** Routes that preserve the client's address preserve that of the peer. */
    @ParameterizedTest
    @ValueSource(ints = {0, 1})
    void neverUsesTheAddressInAHeaderAsSource(int family) throws IOException {
        String client = INSIDE.get(family);
        String request = "tcp:" + client + (family == 0 ? " 4 " : " 6 ");
        cases.check(request + "out trusted-local-ext:80 pod=out," + client);
        cases.check(request + "out node:30081 pod=out," + client);
        cases.check(request + "one trusted:80 pod=one," + client + " far=one," + client);
        cases.check(request + "one trusted-ext:80 pod=node," + client + " far=node," + client);
    }

    @Test
    void headersHaveTheClientBehindSourceNat() throws IOException {
        List<String> lines = NodeCases.eachWay(List.of(
                "one announced:80     pod=one,one far=one,one",
                "one announced-ext:80 pod=node,one far=node,one",
                "node announced:80    pod=node,node far=node,node",
                "out announced:80     pod=node,out far=node,out",
                "out node:30082       pod=node,out far=node,out"));
        // One after the other, because the checks share a round-robin position.
        for (String line : lines) {
            cases.check(line);
        }
        // Each datagram of a flow has a header, also one that is larger than the MTU.
        String first = cases.responses("again 4 one announced:80");
        assertThat(first).endsWith(",one");
        assertThat(cases.responses("again 4 one announced:80")).isEqualTo(first);
        cases.check("udp 4 out announced:80 pod=node,out far=node,out", 30_000);
        cases.check("udp 6 one announced:80 pod=one,one far=one,one", 30_000);
    }

    @Test
    void resetsConnectionsOfARemovedEndpoint() throws IOException {
        keep("reset", "ok");
        keep("kept", "ok");
        set(
                removed("reset", "reset").slice(80, 8082, "far"),
                removed("kept", "keep").slice(80, 8082, "far"));
        keep("reset", "java.net.SocketException");
        keep("kept", "ok");
        for (int family : List.of(0, 1)) {
            assertThat(tell("two", "fetch " + address("reset", family) + " 80 10"))
                    .isEqualTo("10");
        }
        tell("one", "release");
    }

    /** Uses an open connection of the pod {@code one} in each family until the result is as expected. */
    private static void keep(String service, String expected) {
        for (int family : List.of(0, 1)) {
            String line = "keep " + address(service, family) + " 80";
            Cluster.eventually()
                    .untilAsserted(() -> assertThat(tell("one", line)).startsWith(expected));
        }
    }

    @Test
    void limitsTheConnectionsOfEachClient() {
        keep("limited", "ok");
        for (int family : List.of(0, 1)) {
            String fetch = "fetch " + address("limited", family) + " 80 10";
            String ofOtherFrontend = "fetch " + address("limited-ext", family) + " 80 10";
            assertThat(tell("one", fetch)).startsWith("java.net.SocketException");
            assertThat(tell("one", ofOtherFrontend)).startsWith("java.net.SocketException");
            assertThat(tell("two", fetch)).isEqualTo("10");
        }
        tell("one", "release");
        for (int family : List.of(0, 1)) {
            String fetch = "fetch " + address("limited", family) + " 80 10";
            Cluster.eventually()
                    .untilAsserted(() -> assertThat(tell("one", fetch)).isEqualTo("10"));
        }
    }
}
