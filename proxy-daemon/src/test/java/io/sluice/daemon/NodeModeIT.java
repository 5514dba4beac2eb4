package io.sluice.daemon;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.MethodOrderer;
import org.junit.jupiter.api.Order;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestMethodOrder;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * Tests kube-proxy's verdict table with real packets: what pods, the node and external clients get from each kind of address,
 * and which address the endpoint sees, in both families, over TCP and UDP. Also tests rules after a restart, a kill, a
 * handover and a removal by another process.
 */
@Tag("netns")
@TestMethodOrder(MethodOrderer.OrderAnnotation.class)
@Timeout(300)
@NeedsRoot
@Tag("one-jdk")
final class NodeModeIT {
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
        // The table and the lab must agree on the addresses of hosts.
        lab.addresses()
                .forEach((name, addresses) -> assertThat(PacketTable.ADDRESSES.getOrDefault(name, List.of()))
                        .as(name)
                        .isEqualTo(addresses));
        cases = new NodeCases(lab, PacketTable.ADDRESSES);
        cases.serve(8080, "pod", "two", "far");
        cases.serve(8086, "pod", "far");
        cases.echo(8082, "pod");
        for (String address : cases.addresses("cache")) {
            NodeLab.in("node", "ip addr add " + address + " dev lo");
        }
        for (Map.Entry<String, List<String>> each : PacketTable.interfaces().entrySet()) {
            String listed = NodeLab.in("node", "ip -o addr show dev " + each.getKey());
            assertThat(each.getValue()).allMatch(address -> listed.contains(" " + address + "/"));
        }
        for (String process : PacketTable.processes()) {
            assertThat(lab.tell("node", process)).isEqualTo("ok");
        }
        Files.writeString(directory.resolve("feed.yaml"), feed());
        sluice = start();
    }

    @AfterAll
    static void remove() throws IOException {
        if (lab != null) {
            sluice.close();
            lab.close();
        }
    }

    private static SluiceProcess start(String... more) throws IOException {
        return NodeLab.sluice(directory, "node", args(more));
    }

    private static String[] args(String... more) {
        List<String> args = new ArrayList<>(PacketTable.FLAGS);
        args.addAll(List.of(more));
        return args.toArray(String[]::new);
    }

    private static String feed() {
        return PacketTable.feed();
    }

    static List<String> cells() {
        return PacketTable.cells();
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("cells")
    @Order(1)
    void matchesTheTable(String cell) throws IOException {
        cases.check(cell);
    }

    @Test
    @Order(2)
    void servesTcpPortsThatAProcessHasOnAllAddresses() throws IOException {
        for (String family : List.of("4", "6")) {
            cases.check("tcp " + family + " out node:8090 node=out");
        }
        // Also a process that starts later.
        assertThat(lab.tell("node", "listen :: 8091")).isEqualTo("ok");
        cases.check("tcp 4 out node:8091 node=out");
        cases.check("tcp 4 out shared:8091 pod=node");
        assertThat(sluice.err()).doesNotContain("shared:t8090");
    }

    @Test
    @Order(2)
    void selfProbeFindsNoProblem() {
        assertThat(sluice.err()).doesNotContain("might not reach Sluice");
    }

    /** Fragments are reassembled with and without connection tracking. */
    @Test
    @Order(2)
    void forwardsFragmentedDatagrams() throws IOException {
        cases.check("udp 4 one plain:80 pod=one far=one", 30_000);
        cases.check("udp 6 out plain:80 pod=node far=node", 30_000);
        cases.check("udp 4 node plain:80 pod=node far=node", 30_000);
    }

    @Test
    @Order(2)
    void leavesConnectionTrackingOff() throws IOException {
        cases.check("udp 4 one plain:80 pod=one far=one");
        assertThat(NodeLab.in("node", "cat /proc/sys/net/netfilter/nf_conntrack_count"))
                .isEqualTo("0\n");
    }

    /** A router sends "packet too big" to the Service's address, which is not an address of the node. */
    @ParameterizedTest
    @ValueSource(ints = {0, 1})
    @Order(2)
    void tcpResponsesFollowThePathMtu(int family) throws IOException {
        assertThat(lab.tell("behind", "fetch " + cases.addresses("large").get(family) + " 80 300000"))
                .isEqualTo("300000");
    }

    @ParameterizedTest
    @ValueSource(ints = {0, 1})
    @Order(2)
    void udpRepliesFollowThePathMtu(int family) throws IOException {
        String volley = "volley " + cases.addresses("large").get(family) + " 80 1400";
        // In IPv6 the first datagrams are lost, until the kernel knows the path MTU.
        await().atMost(RunIT.TIMEOUT)
                .untilAsserted(() -> assertThat(lab.tell("behind", volley)).isEqualTo("5"));
    }

    /** The other proxy has a transparent wildcard socket, which matches packets to any address. */
    @Test
    @Order(2)
    void doesNotRedirectPacketsToAnotherTransparentProxy() throws Exception {
        cases.serve(15_001, "far");
        List<String> command = new ArrayList<>(NodeLab.exec("node"));
        command.addAll(List.of(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "-cp",
                System.getProperty("java.class.path"),
                SinkServer.class.getName(),
                "15001"));
        Process other = new ProcessBuilder(command)
                .redirectError(ProcessBuilder.Redirect.DISCARD)
                .start();
        try {
            BufferedReader output = other.inputReader(StandardCharsets.UTF_8);
            for (String line = ""; !line.equals("listening"); line = output.readLine()) {
                assertThat(line).isNotNull();
            }
            for (String protocol : List.of("tcp", "udp")) {
                cases.check(protocol + " 4 one far:15001 far=one");
                cases.check(protocol + " 4 one plain:80 pod=one far=one");
            }
        } finally {
            other.destroyForcibly();
        }
    }

    /** The endpoint sends the ICMP error to the client's address, which is not an address of the node. */
    @ParameterizedTest
    @ValueSource(ints = {0, 1})
    @Order(2)
    void movesAFlowFromAnEndpointWithAClosedPort(int family) {
        String way = "again " + (family == 0 ? 4 : 6) + " ";
        // One of two clients gets the closed endpoint first.
        for (String client : List.of("one", "two")) {
            await().atMost(RunIT.TIMEOUT).untilAsserted(() -> cases.check(way + client + " closed:80 far=" + client));
        }
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("sysctlSettings")
    @Order(3)
    void worksWithSysctls(String sysctls) throws IOException {
        NodeLab.in("node", "sysctl -qw " + sysctls);
        for (String protocol : List.of("tcp", "udp")) {
            cases.check(protocol + " 4 one plain:80 pod=one far=one");
            cases.check(protocol + " 4 pod plain:80 pod=node far=pod");
            cases.check(protocol + " 4 node plain:80 pod=node far=node");
            cases.check(protocol + " 4 out local-ext:80 pod=out");
            cases.check(protocol + " 6 one plain:80 pod=one far=one");
            cases.check(protocol + " 4 one bridged:80 two=node");
        }
    }

    static List<String> sysctlSettings() {
        List<String> all = new ArrayList<>(List.of(
                "net.ipv4.conf.all.rp_filter=1 net.ipv4.conf.cni0.rp_filter=1 net.ipv4.conf.v-pod.rp_filter=1",
                "net.ipv4.conf.all.rp_filter=2 net.ipv4.conf.cni0.rp_filter=2",
                "net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.cni0.rp_filter=0",
                "net.ipv4.tcp_fwmark_accept=1",
                "net.ipv4.tcp_fwmark_accept=0"));
        if (Files.exists(Path.of("/proc/sys/net/bridge/bridge-nf-call-iptables"))) {
            all.add("net.bridge.bridge-nf-call-iptables=1 net.bridge.bridge-nf-call-ip6tables=1");
            all.add("net.bridge.bridge-nf-call-iptables=0 net.bridge.bridge-nf-call-ip6tables=0");
        }
        return all;
    }

    @Test
    @Order(4)
    void restoresRulesThatAnotherProcessRemoves() throws IOException {
        NodeLab.in("node", "nft flush ruleset");
        NodeLab.in("node", "ip rule del priority 119");
        NodeLab.in("node", "ip -6 route flush table 19019");
        await().atMost(Duration.ofSeconds(15)).untilAsserted(() -> cases.check("tcp 4 one plain:80 pod=one far=one"));
        cases.check("udp 6 one plain:80 pod=one far=one");
        assertThat(sluice.err()).containsOnlyOnce("removed by another process; restoring it");
    }

    @Test
    @Order(6)
    void retriesUntilRulesAreRestored() throws IOException {
        NodeLab.in("node", "ip link set lo down");
        await().atMost(Duration.ofSeconds(15)).until(() -> sluice.err().contains("cannot restore the rules"));
        NodeLab.in("node", "ip link set lo up");
        await().atMost(Duration.ofSeconds(15)).until(() -> sluice.err().contains("rules restored"));
        cases.check("tcp 4 one plain:80 pod=one far=one");
        cases.check("udp 6 one plain:80 pod=one far=one");
    }

    @Test
    @Order(5)
    void rejectsWhileKilledAndServesAfterARestart() throws Exception {
        sluice.signal("KILL");
        assertThat(sluice.exitCode()).isNotZero();
        cases.check("tcp 4 one plain:80 REFUSED");
        cases.check("tcp 4 node plain:80 REFUSED");
        cases.check("udp 4 one plain:80 REFUSED");
        cases.check("udp 6 node plain:80 REFUSED");
        cases.check("tcp 4 one internal:80 DROP");
        sluice = start();
        cases.check("tcp 4 one plain:80 pod=one far=one");
    }

    @Test
    @Order(6)
    void appliesChangesOfTheFeed() throws IOException {
        String before = feed();
        write(before + cases.service("added").endpoints("pod"));
        await().atMost(RunIT.TIMEOUT).untilAsserted(() -> cases.check("tcp 4 one added:80 pod=one"));
        write(before);
        await().atMost(RunIT.TIMEOUT).untilAsserted(() -> cases.check("tcp 4 one added:80 DROP"));
        write(before.replace("nodeName: n2", "nodeName: n1"));
        await().atMost(RunIT.TIMEOUT).untilAsserted(() -> cases.check("tcp 4 out local-ext:80 far=out pod=out"));
        write(before);
        await().atMost(RunIT.TIMEOUT).untilAsserted(() -> cases.check("tcp 4 out local-ext:80 pod=out"));
    }

    @Test
    @Order(6)
    void continuesAFlowAfterAPolicyChangeThatDropsNewFlows() throws IOException {
        String before = feed();
        write(before.replace("10.244.1.10'], nodeName: n1", "10.244.1.10'], nodeName: n2"));
        String again = "again 4 one plain:80";
        String first = cases.responses(again);
        assertThat(first).isIn("pod=one", "far=one");
        write(before.replace("10.244.1.10'], nodeName: n1", "10.244.1.10'], nodeName: n2")
                .replace(
                        "type: NodePort, clusterIP: '10.96.0.11',",
                        "internalTrafficPolicy: Local, type: NodePort, clusterIP: '10.96.0.11',"));
        await().atMost(RunIT.TIMEOUT).untilAsserted(() -> cases.check("udp 4 one plain:80 DROP"));
        assertThat(cases.responses(again)).isEqualTo(first);
        write(before);
        await().atMost(RunIT.TIMEOUT).untilAsserted(() -> cases.check("udp 4 one plain:80 pod=one far=one"));
    }

    @Test
    @Order(6)
    void continuesAConnectionAfterItsServiceIsRemoved() throws IOException {
        String before = feed();
        write(before + cases.service("kept").slice(80, 8082, "pod"));
        keepFrom("one", "node");
        write(before);
        await().atMost(RunIT.TIMEOUT).untilAsserted(() -> cases.check("tcp 4 node kept:80 DROP"));
        keepFrom("one", "node");
        NodeLab.in("node", "nft delete table inet sluice");
        await().atMost(RunIT.TIMEOUT)
                .until(() -> NodeLab.in("node", "nft list tables").contains("sluice"));
        keepFrom("one", "node");
    }

    /** The flow's datagrams are rejected, and not delivered to a socket that is closed. */
    @Test
    @Order(6)
    void rejectsAFlowOfTheNodeWithoutEndpoints() throws IOException {
        String before = feed();
        write(before + cases.service("added").endpoints("pod"));
        String again = "again 4 node added:80";
        await().atMost(RunIT.TIMEOUT).untilAsserted(() -> cases.check(again + " pod=node"));
        write(before + cases.service("added"));
        await().atMost(RunIT.TIMEOUT).untilAsserted(() -> cases.check(again + " REFUSED"));
        write(before);
    }

    /** A CNI creates its bridge with the first pod. */
    @Test
    @Order(6)
    void noticesANewBridgeWithTheFirstEndpointOnIt() throws IOException {
        String before = feed();
        NodeLab.in("node", "ip link add cni1 type bridge");
        NodeLab.in("node", "ip addr add 10.244.3.1/24 dev cni1");
        NodeLab.in("node", "ip link set cni1 up");
        for (String pod : List.of("one", "two")) {
            NodeLab.in(
                    "node",
                    "ip link add w-" + pod + " master cni1 type veth peer name eth1 netns "
                            + NodeLab.exec(pod).get(3));
            NodeLab.in("node", "ip link set w-" + pod + " up");
            NodeLab.in(pod, "ip addr add 10.244.3.1" + (pod.equals("one") ? 1 : 2) + "/24 dev eth1");
            NodeLab.in(pod, "ip link set eth1 up");
        }
        NodeLab.in("one", "ip route add " + cases.addresses("added").get(0) + " via 10.244.3.1");
        assertThat(lab.tell("two", "serve 10.244.3.12 8080")).isEqualTo("ok");
        write(before + cases.service("added").endpoints("two").toString().replace("10.244.2.12", "10.244.3.12"));
        // Sooner than the regular refresh of interfaces. Until then the bridge switches the reply past the node.
        await().atMost(Duration.ofSeconds(4))
                .untilAsserted(() -> assertThat(lab.tell(
                                "one", "ask tcp - " + cases.addresses("added").get(0) + " 80 10"))
                        .isEqualTo("two 10.244.3.1"));
        write(before);
        NodeLab.in("node", "ip link del cni1");
        await().atMost(RunIT.TIMEOUT).untilAsserted(() -> cases.check("tcp 4 one added:80 DROP"));
        NodeLab.in("one", "ip link del eth1");
        NodeLab.in("two", "ip link del eth1");
    }

    private static void keepFrom(String... clients) {
        String keep = "keep " + cases.addresses("kept").get(0) + " 80";
        for (String client : clients) {
            await().atMost(RunIT.TIMEOUT)
                    .untilAsserted(
                            () -> assertThat(lab.tell(client, keep)).as(client).isEqualTo("ok"));
        }
    }

    /**
     * Rules like those of kube-proxy's nftables mode with another Service, including checks that would drop packets of Sluice:
     * for kube-proxy, the ClusterIPs of Sluice are unallocated addresses in the ServiceCIDR.
     */
    private static final String KUBE_PROXY = """
            table ip kube-proxy {
              chain services {
                ip daddr 10.97.0.10 tcp dport 80 dnat to 10.244.9.20:8080
              }
              chain nat-prerouting { type nat hook prerouting priority -100; jump services; }
              chain nat-output { type nat hook output priority -100; jump services; }
              chain masquerading { type nat hook postrouting priority 100; meta mark & 0x4000 != 0 masquerade; }
              chain check { ip daddr { 10.96.0.0/15 } drop; }
              chain filter-forward { type filter hook forward priority 0; ct state new jump check; }
              chain filter-input { type filter hook input priority 0; ct state invalid drop; }
              chain filter-output { type filter hook output priority 0; ct state invalid drop; ct state new jump check; }
            }
            """;

    @Test
    @Order(6)
    void worksBesideKubeProxy() throws IOException {
        Path rules = directory.resolve("kube-proxy.nft");
        Files.writeString(rules, KUBE_PROXY);
        NodeLab.in("node", "nft -f " + rules);
        try {
            for (String protocol : List.of("tcp", "udp")) {
                cases.check(protocol + " 4 one plain:80 pod=one far=one");
                cases.check(protocol + " 4 node plain:80 pod=node far=node");
                cases.check(protocol + " 4 out local-ext:80 pod=out");
                cases.check(protocol + " 4 one node:30081 pod=node far=node");
            }
            cases.check("tcp 4 one kube:80 far=one");
            cases.check("tcp 4 node kube:80 far=node");
            cases.check("tcp 4 node plain:81 REFUSED");
        } finally {
            NodeLab.in("node", "nft delete table ip kube-proxy");
        }
    }

    private static void write(String feed) throws IOException {
        Path next = directory.resolve("next");
        Files.writeString(next, feed);
        Files.move(next, directory.resolve("feed.yaml"), StandardCopyOption.ATOMIC_MOVE);
    }

    @Test
    @Order(7)
    void drainsAndRemovesRulesOnGracefulShutdown() throws Exception {
        keepFrom("one", "node");
        // More than the client's receive buffer, less than the send buffer.
        assertThat(lab.tell("out", "post " + cases.addresses("large").get(0) + " 80 20000"))
                .isEqualTo("ok");
        sluice.signal("TERM");
        await().atMost(RunIT.TIMEOUT).until(() -> sluice.err().contains("draining"));
        // Logged before the rules change, which takes a while on a slow machine.
        await().atMost(RunIT.TIMEOUT).untilAsserted(() -> cases.check("tcp 4 one plain:80 REFUSED"));
        for (String protocol : List.of("tcp", "udp")) {
            cases.check(protocol + " 4 one plain:80 REFUSED");
            cases.check(protocol + " 6 node plain:80 REFUSED");
            cases.check(protocol + " 4 one unallocated:80 DROP");
        }
        keepFrom("one", "node");
        assertThat(lab.tell("one", "release") + lab.tell("node", "release")).isEqualTo("okok");
        // The connection is closed, but the kernel still has data that the client has not read.
        await().atMost(RunIT.TIMEOUT)
                .untilAsserted(() -> assertThat(sluice.err()).contains("have acknowledged all data"));
        assertThat(lab.tell("out", "collect")).isEqualTo("20000");
        assertThat(sluice.exitCode()).isZero();
        assertThat(NodeLab.in("node", "nft list tables")).doesNotContain("sluice");
        assertThat(NodeLab.in("node", "ip rule show") + NodeLab.in("node", "ip -6 rule show"))
                .doesNotContain("fwmark");
    }

    @Test
    @Order(8)
    void rejectsWithRulesThatAreKeptOnExit() throws Exception {
        sluice = start("--keep-rules-on-exit");
        sluice.signal("TERM");
        assertThat(sluice.exitCode()).isZero();
        cases.check("tcp 4 one plain:80 REFUSED");
        cases.check("tcp 6 out local-ext:80 REFUSED");
    }

    /** The kernel's connection tracking continues to redirect connections after kube-proxy's rules are removed. */
    @Test
    @Order(9)
    void leavesEstablishedConnectionsOfKubeProxyAlone() throws Exception {
        NodeLab.in("node", "nft flush ruleset");
        String address = cases.addresses("kept").get(0);
        Path rules = directory.resolve("kube-proxy.nft");
        Files.writeString(rules, """
                table ip kube-proxy {
                  chain services { ip daddr %1$s tcp dport 80 dnat to %2$s:8082; ip daddr %1$s udp dport 80 dnat to %2$s:8080; }
                  chain nat-prerouting { type nat hook prerouting priority -100; jump services; }
                }
                """.formatted(address, cases.addresses("pod").get(0)));
        NodeLab.in("node", "nft -f " + rules);
        try {
            keepFrom("one");
            String again = "again 4 one kept:80";
            assertThat(cases.responses(again)).isEqualTo("pod=one");
            NodeLab.in("node", "nft flush chain ip kube-proxy services");
            write(feed() + cases.service("kept").slice(80, 8080, "far"));
            sluice = start();
            keepFrom("one");
            cases.check("tcp 4 one kept:80 far=one");
            assertThat(cases.responses(again)).isEqualTo("pod=one");
            cases.check("udp 4 one kept:80 far=one");
            assertThat(lab.tell("one", "release")).isEqualTo("ok");
            sluice.signal("TERM");
            assertThat(sluice.exitCode()).isZero();
        } finally {
            NodeLab.in("node", "nft delete table ip kube-proxy");
            write(feed());
        }
    }

    @Test
    @Order(9)
    void doesNotStartWithResourcesOfOtherPrograms() throws Exception {
        NodeLab.in("node", "sysctl -qw net.ipv4.conf.all.src_valid_mark=1");
        assertThat(startupError("--rule-priority=119"))
                .contains("cannot start: net.ipv4.conf.all.src_valid_mark is on", "set it to 0");
        NodeLab.in("node", "sysctl -qw net.ipv4.conf.all.src_valid_mark=0");
        NodeLab.in("node", "ip rule add priority 7 lookup 42");
        NodeLab.in("node", "ip route add 203.0.113.77/32 dev lo table 4242");
        assertThat(startupError("--rule-priority=7"))
                .contains(
                        "cannot start: routing rule priority 7 is used by another program (7:",
                        "choose a different --rule-priority");
        NodeLab.in("node", "ip rule add priority 5210 fwmark 0x80000/0xff0000 lookup 52");
        assertThat(startupError("--mark-bit=19"))
                .contains(
                        "cannot start: bit 19 of packet marks is used by another program (5210:",
                        "choose a different --mark-bit");
        assertThat(startupError("--routing-table=4242"))
                .contains("routing table 4242 is used by another program (203.0.113.77 dev lo");
    }

    @Test
    @Order(10)
    void replacesTheRoutingRuleOfAnEarlierProcessWithAnotherMark() throws Exception {
        NodeLab.in("node", "ip rule del priority 7");
        sluice = start("--mark-bit=24");
        cases.check("tcp 4 one plain:80 pod=one far=one");
        assertThat(NodeLab.in("node", "ip rule show priority 119").lines())
                .singleElement()
                .asString()
                .contains("fwmark 0x1000000/0x1000000");
    }

    @Test
    @Order(11)
    void handsOverSocketsAndRules() throws Exception {
        sluice.signal("TERM");
        assertThat(sluice.exitCode()).isZero();
        String socket = "--handover-socket=" + directory.resolve("handover.sock");
        sluice = start(socket);
        String again = "again 6 one plain:80";
        String flow = cases.responses(again);
        AtomicBoolean done = new AtomicBoolean();
        List<String> answers = new CopyOnWriteArrayList<>();
        CompletableFuture<Void> requests = CompletableFuture.runAsync(() -> {
            // To another Service than the checks below, which depend on the round-robin position.
            String request = "ask tcp " + cases.addresses("out").get(0) + " "
                    + cases.addresses("local-ext").get(0) + " 80 10 10000";
            while (!done.get()) {
                try {
                    answers.add(cases.symbols(lab.tell("out", request)));
                } catch (IOException e) {
                    throw new UncheckedIOException(e);
                }
            }
        });
        for (int i = 0; i < 3; i++) {
            SluiceProcess before = sluice;
            sluice = start(socket);
            assertThat(before.exitCode()).as(before.err()).isZero();
            assertThat(cases.responses(again)).isEqualTo(flow);
            cases.check("udp 6 one plain:80 pod=one far=one");
            cases.check("tcp 4 node plain:80 pod=node far=node");
            cases.check("tcp 4 one empty:80 REFUSED");
        }
        done.set(true);
        requests.get(20, TimeUnit.SECONDS);
        // A handover may delay a connection until the SYN is retransmitted, but no longer.
        assertThat(answers).isNotEmpty().containsOnly("pod=out");
        assertThat(sluice.err()).contains(" from the old process").doesNotContain("removed by another process");
    }

    /** The new process copies the set of replied flows to its table. */
    @Test
    @Order(12)
    void continuesAFlowAcrossAHandoverWhileNewFlowsAreDropped() throws Exception {
        String before = feed();
        String movedEndpoint = before.replace("10.244.1.10'], nodeName: n1", "10.244.1.10'], nodeName: n2");
        write(movedEndpoint);
        String again = "again 4 one plain:80";
        String first = cases.responses(again);
        assertThat(first).isIn("pod=one", "far=one");
        write(movedEndpoint.replace(
                "type: NodePort, clusterIP: '10.96.0.11',",
                "internalTrafficPolicy: Local, type: NodePort, clusterIP: '10.96.0.11',"));
        await().atMost(RunIT.TIMEOUT).untilAsserted(() -> cases.check("udp 4 one plain:80 DROP"));
        SluiceProcess oldProcess = sluice;
        sluice = start("--handover-socket=" + directory.resolve("handover.sock"));
        assertThat(oldProcess.exitCode()).as(oldProcess.err()).isZero();
        assertThat(cases.responses(again)).isEqualTo(first);
        write(before);
        await().atMost(RunIT.TIMEOUT).untilAsserted(() -> cases.check("udp 4 one plain:80 pod=one far=one"));
    }

    @Test
    @Order(14)
    void removesTheOldRoutingRuleInAHandoverWithAnotherMark() throws Exception {
        String socket = "--handover-socket=" + directory.resolve("handover.sock");
        for (String mark : List.of("13", "12")) {
            SluiceProcess before = sluice;
            sluice = start(socket, "--mark-bit=" + mark, "--rule-priority=1" + mark);
            assertThat(before.exitCode()).as(before.err()).isZero();
            assertThat(NodeLab.in("node", "ip rule").lines().filter(line -> line.contains("lookup 19019")))
                    .singleElement()
                    .asString()
                    .startsWith("1" + mark + ":");
            cases.check("tcp 4 one plain:80 pod=one far=one");
        }
    }

    @Test
    @Order(13)
    void keepsTheRulesOfTheOldProcessWhenAWaitingProcessEnds() throws Exception {
        Path empty = Files.createDirectories(directory.resolve("nothing"));
        SluiceProcess waiting =
                NodeLab.launch(empty, "node", args("--handover-socket=" + directory.resolve("handover.sock")));
        await().atMost(RunIT.TIMEOUT)
                .untilAsserted(() -> assertThat(waiting.err()).contains("another process is serving"));
        waiting.signal("TERM");
        assertThat(waiting.exitCode()).as(waiting.err()).isZero();
        assertThat(NodeLab.in("node", "nft list tables")).contains("table inet sluice");
        cases.check("tcp 4 one plain:80 pod=one far=one");
        cases.check("udp 6 node plain:80 pod=node far=node");
        assertThat(sluice.err()).doesNotContain("removed by another process");
    }

    @Test
    @Order(15)
    void servesOtherServicesIfTheKernelRejectsTheRulesOfOne() throws Exception {
        sluice.signal("TERM");
        assertThat(sluice.exitCode()).isZero();
        Path programs = Files.createDirectory(directory.resolve("programs"));
        Path nft = programs.resolve("nft");
        Files.writeString(nft, """
                #!/bin/sh
                PATH=%s
                rules=$(cat)
                case $rules in *'%s . tcp'*) echo "Error: none of that"; exit 1;; esac
                printf '%%s\n' "$rules" | nft "$@"
                """.formatted(
                        System.getenv("PATH"), cases.addresses("internal").get(0)));
        assertThat(nft.toFile().setExecutable(true)).isTrue();
        sluice = NodeLab.launch(directory, "node", Map.of("PATH", programs + ":" + System.getenv("PATH")), args());
        await().atMost(RunIT.TIMEOUT).until(() -> sluice.err().contains("synced: "));
        await().atMost(RunIT.TIMEOUT)
                .untilAsserted(() -> assertThat(sluice.err())
                        .containsOnlyOnce(
                                "frontend " + cases.addresses("internal").get(0)
                                        + ":80/tcp failed (default/internal:t80): the kernel rejects its rules: nft -f -: Error:"
                                        + " none of that"));
        cases.check("tcp 4 one plain:80 pod=one far=one");
        cases.check("tcp 4 one internal:80 REFUSED");
        cases.check("udp 4 one internal:80 DROP");
        cases.check("tcp 4 one empty:80 REFUSED");
    }

    private static String startupError(String flag) throws Exception {
        try (SluiceProcess failed = NodeLab.launch(directory, "node", args(flag))) {
            assertThat(failed.exitCode()).isEqualTo(1);
            return failed.err();
        }
    }
}
