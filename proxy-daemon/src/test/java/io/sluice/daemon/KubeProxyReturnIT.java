package io.sluice.daemon;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * Tests Sluice beside rules like those of kube-proxy, in nftables and iptables mode, and the change between both. Sluice
 * forwards to {@code pod}, and kube-proxy's rules to {@code two}, so the endpoint shows which of them served a connection.
 */
@Tag("netns")
@Timeout(300)
@NeedsRoot
@Tag("one-jdk")
final class KubeProxyReturnIT {
    @TempDir
    private static Path directory;

    @SuppressWarnings("NullAway.Init") // made before all tests
    private static NodeLab lab;

    @SuppressWarnings("NullAway.Init") // made before all tests
    private static NodeCases cases;

    @SuppressWarnings("NullAway.Init") // made before each test
    private SluiceProcess sluice;

    private static final Map<String, List<String>> SERVICES = Map.of(
            "plain", List.of("10.96.0.11", "fd00:96::11"),
            "kept", List.of("10.96.0.12", "fd00:96::12"),
            "empty", List.of("10.96.0.13", "fd00:96::13"),
            // Not allocated, but in the ServiceCIDR.
            "unallocated", List.of("10.96.0.99", "fd00:96::99"));

    /** {@code out} has no address in the ranges of pods, so kube-proxy masquerades its connections. */
    private static final List<String> CLIENTS = List.of("one", "far", "node", "out");

    private static final String CONNTRACK_OFF = "";

    /** Connection tracking without NAT, as for a firewall. */
    private static final String CONNTRACK_FILTER = """
            table inet firewall {
              chain input { type filter hook input priority 0; ct state established,related accept; }
            }
            """;

    /** NAT rules of a CNI. */
    private static final String CONNTRACK_NAT = """
            table inet cni {
              chain postrouting {
                type nat hook postrouting priority srcnat;
                ip saddr 10.244.0.0/16 ip daddr != { 10.244.0.0/16, 10.96.0.0/16 } masquerade
              }
            }
            """;

    /** The rules of kube-proxy's nftables mode for one family. */
    private static final String NFTABLES = """
            table FAMILY kube-proxy {
              map service-ips {
                type FAMILYv_addr . inet_proto . inet_service : verdict
                elements = { ELEMENTS }
              }
              chain mark-for-masquerade { meta mark set meta mark or 0x4000; }
              chain service-plain { FAMILY saddr != PODS jump mark-for-masquerade; meta l4proto { tcp, udp } dnat to TARGET8080; }
              chain service-kept { FAMILY saddr != PODS jump mark-for-masquerade; meta l4proto { tcp, udp } dnat to TARGET8082; }
              chain services { FAMILY daddr . meta l4proto . th dport vmap @service-ips; }
              chain nat-prerouting { type nat hook prerouting priority dstnat; jump services; }
              chain nat-output { type nat hook output priority -100; jump services; }
              chain nat-postrouting {
                type nat hook postrouting priority srcnat;
                meta mark and 0x4000 != 0 meta mark set meta mark xor 0x4000 masquerade fully-random
              }
              chain cluster-ips-check { FAMILY daddr CLUSTER-IPS drop; }
              chain filter-input { type filter hook input priority 0; ct state invalid drop; }
              chain filter-forward { type filter hook forward priority 0; ct state new jump cluster-ips-check; }
              chain filter-output { type filter hook output priority 0; ct state new jump cluster-ips-check; }
            }
            """;

    /** The rules of kube-proxy's iptables mode for one family, as iptables-nft loads them. */
    private static final String IPTABLES = """
            table FAMILY nat {
              chain KUBE-MARK-MASQ { counter meta mark set meta mark or 0x4000; }
              chain KUBE-SVC-PLAIN { FAMILY saddr != PODS counter jump KUBE-MARK-MASQ; meta l4proto { tcp, udp } counter dnat to TARGET8080; }
              chain KUBE-SVC-KEPT { FAMILY saddr != PODS counter jump KUBE-MARK-MASQ; meta l4proto { tcp, udp } counter dnat to TARGET8082; }
              chain KUBE-SERVICES {
                meta l4proto tcp FAMILY daddr CLUSTER-IP-1 tcp dport 80 counter jump KUBE-SVC-PLAIN
                meta l4proto udp FAMILY daddr CLUSTER-IP-1 udp dport 80 counter jump KUBE-SVC-PLAIN
                meta l4proto tcp FAMILY daddr CLUSTER-IP-2 tcp dport 80 counter jump KUBE-SVC-KEPT
                meta l4proto udp FAMILY daddr CLUSTER-IP-2 udp dport 80 counter jump KUBE-SVC-KEPT
              }
              chain KUBE-POSTROUTING {
                meta mark and 0x4000 != 0 counter meta mark set meta mark xor 0x4000 masquerade fully-random
              }
              chain PREROUTING { type nat hook prerouting priority dstnat; counter jump KUBE-SERVICES; }
              chain OUTPUT { type nat hook output priority -100; counter jump KUBE-SERVICES; }
              chain POSTROUTING { type nat hook postrouting priority srcnat; counter jump KUBE-POSTROUTING; }
            }
            """;

    @BeforeAll
    static void build() throws IOException {
        lab = NodeLab.oneNode();
        cases = new NodeCases(lab, SERVICES);
        cases.serve(8080, "pod", "two");
        cases.echo(8082, "pod");
        Files.writeString(
                directory.resolve("feed.yaml"),
                NodeLab.NODES
                        + cases.service("plain").endpoints("pod")
                        + cases.service("kept").slice(80, 8082, "pod")
                        + cases.service("empty"));
        assertThat(lab.tell("node", "healthz 127.0.0.1 10256")).isEqualTo("ok");
    }

    @AfterAll
    static void remove() throws IOException {
        if (lab != null) {
            lab.close();
        }
    }

    @BeforeEach
    void reset() throws IOException {
        NodeLab.in("node", "nft flush ruleset");
        NodeLab.in("node", "conntrack -F");
    }

    @AfterEach
    void stop() throws IOException {
        for (String client : CLIENTS) {
            lab.tell(client, "release");
        }
        if (sluice != null) {
            sluice.close();
        }
    }

    private static SluiceProcess start() throws IOException {
        return NodeLab.sluice(
                directory,
                "node",
                "--cluster-cidr=10.244.0.0/16,fd00:10::/32",
                "--service-cidr=10.96.0.0/16,fd00:96::/112");
    }

    private static void load(String rules) throws IOException {
        Path file = directory.resolve("rules.nft");
        Files.writeString(file, rules);
        NodeLab.in("node", "nft -f " + file);
    }

    private static String kubeProxy(String template) {
        return ofFamily(template, 0) + ofFamily(template, 1);
    }

    private static String ofFamily(String template, int family) {
        String two = cases.addresses("two").get(family);
        String plain = cases.addresses("plain").get(family);
        String kept = cases.addresses("kept").get(family);
        String elements = Stream.of("tcp", "udp")
                .flatMap(protocol -> Stream.of(
                        plain + " . " + protocol + " . 80 comment \"default/plain\" : goto service-plain",
                        kept + " . " + protocol + " . 80 comment \"default/kept\" : goto service-kept"))
                .collect(Collectors.joining(", "));
        return template.replace("FAMILYv", family == 0 ? "ipv4" : "ipv6")
                .replace("FAMILY", family == 0 ? "ip" : "ip6")
                .replace("ELEMENTS", elements)
                .replace("PODS", family == 0 ? "10.244.0.0/16" : "fd00:10::/32")
                .replace("CLUSTER-IPS", family == 0 ? "10.96.0.0/16" : "fd00:96::/112")
                .replace("CLUSTER-IP-1", plain)
                .replace("CLUSTER-IP-2", kept)
                .replace("TARGET", family == 0 ? two + ":" : "[" + two + "]:");
    }

    static Stream<Arguments> combinations() {
        Map<String, String> tracking = new LinkedHashMap<>();
        tracking.put("off", CONNTRACK_OFF);
        tracking.put("filter", CONNTRACK_FILTER);
        tracking.put("nat", CONNTRACK_NAT);
        return tracking.keySet().stream()
                .flatMap(conntrack -> Stream.of("nftables", "iptables")
                        .map(mode -> Arguments.of(
                                conntrack,
                                mode,
                                tracking.get(conntrack),
                                mode.equals("nftables") ? NFTABLES : IPTABLES)));
    }

    /** Checks the connections and flows that Sluice has established, and opens them first. */
    private static void keep(Map<String, String> flows, String when) throws IOException {
        for (String client : CLIENTS) {
            for (String family : List.of("4", "6")) {
                String address = cases.addresses("kept").get(family.equals("4") ? 0 : 1);
                assertThat(lab.tell(client, "keep " + address + " 80"))
                        .as("connection of %s over IPv%s %s", client, family, when)
                        .isEqualTo("ok");
                String flow = "again " + family + " " + client + " plain:80";
                String response = cases.responses(flow);
                assertThat(response).as("%s %s", flow, when).isEqualTo(flows.getOrDefault(flow, response));
                flows.put(flow, response);
            }
        }
    }

    private static void servedBySluice() {
        cases.checkAll(
                "one plain:80 pod=one",
                "far plain:80 pod=far",
                "node plain:80 pod=node",
                "out plain:80 pod=node",
                "one empty:80 REFUSED");
    }

    private static void servedByKubeProxy() {
        cases.checkAll(
                "one plain:80 two=one", "far plain:80 two=far", "node plain:80 two=node", "out plain:80 two=node");
    }

    @ParameterizedTest(name = "connection tracking: {0}, kube-proxy mode: {1}")
    @MethodSource("combinations")
    void leavesNewTrafficToKubeProxyAndKeepsEstablished(
            String conntrack, String mode, String tracking, String kubeProxy) throws Exception {
        load(tracking);
        sluice = start();
        servedBySluice();
        Map<String, String> flows = new LinkedHashMap<>();
        keep(flows, "alone");
        load(kubeProxy(kubeProxy));
        keep(flows, "beside kube-proxy");
        servedBySluice();
        keep(flows, "beside kube-proxy, after other connections");
        // The rules may change once Sluice notices connection tracking.
        await().atMost(RunIT.TIMEOUT)
                .until(() -> NodeLab.in("node", "nft list table inet sluice").contains("chain bypass-nat"));
        keep(flows, "with connection tracking");
        servedBySluice();
        sluice.signal("TERM");
        await().atMost(RunIT.TIMEOUT).until(() -> sluice.err().contains("open connection"));
        assertThat(sluice.err()).contains("kube-proxy is healthy and has rules for [10.96.0.12:80/tcp");
        servedByKubeProxy();
        keep(flows, "after the release");
        assertThat(NodeLab.in("node", "nft list table inet sluice")).contains("chain bypass-nat");
        for (String client : CLIENTS) {
            assertThat(lab.tell(client, "release")).isEqualTo("ok");
        }
        assertThat(sluice.exitCode()).isZero();
        assertThat(NodeLab.in("node", "nft list tables")).doesNotContain("sluice");
        servedByKubeProxy();
    }

    @ParameterizedTest(name = "connection tracking: {0}, kube-proxy mode: {1}")
    @MethodSource("combinations")
    void servesNewTrafficBesideKubeProxy(String conntrack, String mode, String tracking, String kubeProxy)
            throws Exception {
        load(tracking);
        load(kubeProxy(kubeProxy).replace("8082", "8080"));
        servedByKubeProxy();
        String flow = "again 4 one plain:80";
        assertThat(cases.responses(flow)).isEqualTo("two=one");
        sluice = start();
        servedBySluice();
        assertThat(cases.responses(flow)).as("an existing flow of kube-proxy").isEqualTo("two=one");
        NodeLab.in("node", "nft delete table ip " + (mode.equals("nftables") ? "kube-proxy" : "nat"));
        NodeLab.in("node", "nft delete table ip6 " + (mode.equals("nftables") ? "kube-proxy" : "nat"));
        servedBySluice();
        assertThat(cases.responses(flow)).as("an existing flow of kube-proxy").isEqualTo("two=one");
    }

    @Test
    void rejectsNewTrafficIfKubeProxyDoesNotServeTheServices() throws Exception {
        sluice = start();
        load(kubeProxy(NFTABLES).replaceAll("elements = .*", ""));
        String address = cases.addresses("kept").get(0);
        assertThat(lab.tell("one", "keep " + address + " 80")).isEqualTo("ok");
        sluice.signal("TERM");
        await().atMost(RunIT.TIMEOUT).until(() -> sluice.err().contains("open connection"));
        assertThat(sluice.err())
                .contains("rejecting new connections and flows while draining: nft lists no rules of kube-proxy");
        cases.checkAll("one plain:80 REFUSED");
        assertThat(lab.tell("one", "keep " + address + " 80")).isEqualTo("ok");
        assertThat(Objects.requireNonNull(lab.tell("one", "release"))).isEqualTo("ok");
        assertThat(sluice.exitCode()).isZero();
    }
}
