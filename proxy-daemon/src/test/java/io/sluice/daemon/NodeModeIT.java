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
 * kube-proxy's verdict table cell by cell with real packets: what a pod, the node and a stranger get from every kind of
 * address, and whom the endpoint sees, in both families, over TCP and UDP. Then what comes of the rules when the daemon or
 * somebody else ends them.
 */
@Tag("netns")
@TestMethodOrder(MethodOrderer.OrderAnnotation.class)
@Timeout(300)
@NeedsRoot
final class NodeModeIT {
    @TempDir
    private static Path folder;

    @SuppressWarnings("NullAway.Init") // made before all tests
    private static NodeLab lab;

    @SuppressWarnings("NullAway.Init") // likewise
    private static Sluice sluice;

    @SuppressWarnings("NullAway.Init") // likewise
    private static NodeCases cases;

    @BeforeAll
    static void build() throws IOException {
        lab = NodeLab.oneNode();
        // What the table says of hosts is so in the lab.
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
        Files.writeString(folder.resolve("feed.yaml"), feed());
        sluice = start();
    }

    @AfterAll
    static void remove() throws IOException {
        if (lab != null) {
            sluice.close();
            lab.close();
        }
    }

    private static Sluice start(String... more) throws IOException {
        return NodeLab.sluice(folder, "node", args(more));
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
    void cell(String cell) throws IOException {
        cases.check(cell);
    }

    @Test
    @Order(2)
    void aProcessMayHaveAPortOfEveryAddressThatServicesHave() throws IOException {
        for (String family : List.of("4", "6")) {
            cases.check("tcp " + family + " out node:8090 node=out");
        }
        // And one that comes later.
        assertThat(lab.tell("node", "listen :: 8091")).isEqualTo("ok");
        cases.check("tcp 4 out node:8091 node=out");
        cases.check("tcp 4 out shared:8091 pod=node");
        assertThat(sluice.err()).doesNotContain("shared:t8090");
    }

    /** What tries at the start whether packets arrive is not taken for one of them. */
    @Test
    @Order(2)
    void theStartFindsNothingInTheWay() {
        assertThat(sluice.err()).doesNotContain("may not arrive");
    }

    /** Two fragments and more, both ways of putting them together. */
    @Test
    @Order(2)
    void largeDatagramsPass() throws IOException {
        cases.check("udp 4 one plain:80 pod=one far=one", 30_000);
        cases.check("udp 6 out plain:80 pod=node far=node", 30_000);
        cases.check("udp 4 node plain:80 pod=node far=node", 30_000);
    }

    /** Where nobody else has turned it on: its table is one more thing to run full, and costs time with each packet. */
    @Test
    @Order(2)
    void connectionTrackingStaysOff() throws IOException {
        cases.check("udp 4 one plain:80 pod=one far=one");
        assertThat(NodeLab.in("node", "cat /proc/sys/net/netfilter/nf_conntrack_count"))
                .isEqualTo("0\n");
    }

    /** A router on the way tells a Service's address, which is not ours, what it can pass on. */
    @ParameterizedTest
    @ValueSource(ints = {0, 1})
    @Order(2)
    void answersFitANarrowerPath(int family) throws IOException {
        assertThat(lab.tell("behind", "fetch " + cases.addresses("large").get(family) + " 80 300000"))
                .isEqualTo("300000");
    }

    /** It tells it once; whoever sends goes on as before, and all of that has to come through. */
    @ParameterizedTest
    @ValueSource(ints = {0, 1})
    @Order(2)
    void datagramsFitANarrowerPath(int family) throws IOException {
        String volley = "volley " + cases.addresses("large").get(family) + " 80 1400";
        // In IPv6 the first ones are lost, by which the kernel learns how large they may be.
        await().atMost(RunIT.PATIENCE)
                .untilAsserted(() -> assertThat(lab.tell("behind", volley)).isEqualTo("5"));
    }

    /** Who takes whatever has its port, be it for somebody far away, has no part in what we see. */
    @Test
    @Order(2)
    void anotherTransparentProxyIsNotHelped() throws Exception {
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
            BufferedReader said = other.inputReader(StandardCharsets.UTF_8);
            for (String line = ""; !line.equals("listening"); line = said.readLine()) {
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

    /** It tells the client's address, which is not ours, that its port is closed. */
    @ParameterizedTest
    @ValueSource(ints = {0, 1})
    @Order(2)
    void aFlowLeavesAnEndpointThatHasClosedItsPort(int family) {
        String way = "again " + (family == 0 ? 4 : 6) + " ";
        // Of two clients one gets the closed endpoint first.
        for (String client : List.of("one", "two")) {
            await().atMost(RunIT.PATIENCE).untilAsserted(() -> cases.check(way + client + " shut:80 far=" + client));
        }
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("context")
    @Order(3)
    void worksWhateverTheNodeIsSetTo(String sysctls) throws IOException {
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

    static List<String> context() {
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
    void rulesThatSomebodyRemovesComeBack() throws IOException {
        NodeLab.in("node", "nft flush ruleset");
        NodeLab.in("node", "ip rule del priority 119");
        NodeLab.in("node", "ip -6 route flush table 19019");
        await().atMost(Duration.ofSeconds(15)).untilAsserted(() -> cases.check("tcp 4 one plain:80 pod=one far=one"));
        cases.check("udp 6 one plain:80 pod=one far=one");
        assertThat(sluice.err()).containsOnlyOnce("somebody removed the rules");
    }

    /** While it cannot be, it is tried again. */
    @Test
    @Order(6)
    void rulesComeBackOnceTheyCan() throws IOException {
        NodeLab.in("node", "ip link set lo down");
        await().atMost(Duration.ofSeconds(15)).until(() -> sluice.err().contains("could not be put back"));
        NodeLab.in("node", "ip link set lo up");
        await().atMost(Duration.ofSeconds(15)).until(() -> sluice.err().contains("are in force again"));
        cases.check("tcp 4 one plain:80 pod=one far=one");
        cases.check("udp 6 one plain:80 pod=one far=one");
    }

    @Test
    @Order(5)
    void killedItRefusesAtOnceAndTheNextOneGoesOn() throws Exception {
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
    void aChangeOfTheFeedIsAChangeOfTheRules() throws IOException {
        String before = feed();
        write(before + cases.service("late").endpoints("pod"));
        await().atMost(RunIT.PATIENCE).untilAsserted(() -> cases.check("tcp 4 one late:80 pod=one"));
        write(before);
        await().atMost(RunIT.PATIENCE).untilAsserted(() -> cases.check("tcp 4 one late:80 DROP"));
        write(before.replace("nodeName: n2", "nodeName: n1"));
        await().atMost(RunIT.PATIENCE).untilAsserted(() -> cases.check("tcp 4 out local-ext:80 far=out pod=out"));
        write(before);
        await().atMost(RunIT.PATIENCE).untilAsserted(() -> cases.check("tcp 4 out local-ext:80 pod=out"));
    }

    @Test
    @Order(6)
    void aFlowOutlivesWhatLetsNothingNewIn() throws IOException {
        String before = feed();
        write(before.replace("10.244.1.10'], nodeName: n1", "10.244.1.10'], nodeName: n2"));
        String again = "again 4 one plain:80";
        String first = cases.heard(again);
        assertThat(first).isIn("pod=one", "far=one");
        write(before.replace("10.244.1.10'], nodeName: n1", "10.244.1.10'], nodeName: n2")
                .replace(
                        "type: NodePort, clusterIP: '10.96.0.11',",
                        "internalTrafficPolicy: Local, type: NodePort, clusterIP: '10.96.0.11',"));
        await().atMost(RunIT.PATIENCE).untilAsserted(() -> cases.check("udp 4 one plain:80 DROP"));
        assertThat(cases.heard(again)).isEqualTo(first);
        write(before);
        await().atMost(RunIT.PATIENCE).untilAsserted(() -> cases.check("udp 4 one plain:80 pod=one far=one"));
    }

    @Test
    @Order(6)
    void aConnectionOutlivesItsServiceAndNewOnesDoNotComeHere() throws IOException {
        String before = feed();
        write(before + cases.service("kept").slice(80, 8082, "pod"));
        keepFrom("one", "node");
        write(before);
        await().atMost(RunIT.PATIENCE).untilAsserted(() -> cases.check("tcp 4 node kept:80 DROP"));
        keepFrom("one", "node");
        NodeLab.in("node", "nft delete table inet sluice");
        await().atMost(RunIT.PATIENCE)
                .until(() -> NodeLab.in("node", "nft list tables").contains("sluice"));
        keepFrom("one", "node");
    }

    /** Refused, that is, and not sent on to a socket that is there no more. */
    @Test
    @Order(6)
    void aFlowOfTheNodesOwnHearsThatNobodyIsLeft() throws IOException {
        String before = feed();
        write(before + cases.service("late").endpoints("pod"));
        String again = "again 4 node late:80";
        await().atMost(RunIT.PATIENCE).untilAsserted(() -> cases.check(again + " pod=node"));
        write(before + cases.service("late"));
        await().atMost(RunIT.PATIENCE).untilAsserted(() -> cases.check(again + " REFUSED"));
        write(before);
    }

    /** A CNI makes its bridge with the first pod. */
    @Test
    @Order(6)
    void aBridgeThatAppearsIsNoticedWithTheFirstEndpointOnIt() throws IOException {
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
        NodeLab.in("one", "ip route add " + cases.addresses("late").get(0) + " via 10.244.3.1");
        assertThat(lab.tell("two", "serve 10.244.3.12 8080")).isEqualTo("ok");
        write(before + cases.service("late").endpoints("two").toString().replace("10.244.2.12", "10.244.3.12"));
        // Sooner than the interfaces are looked at anyway. Until then the answer is switched past us.
        await().atMost(Duration.ofSeconds(4))
                .untilAsserted(() -> assertThat(lab.tell(
                                "one", "ask tcp - " + cases.addresses("late").get(0) + " 80 10"))
                        .isEqualTo("two 10.244.3.1"));
        write(before);
        NodeLab.in("node", "ip link del cni1");
        await().atMost(RunIT.PATIENCE).untilAsserted(() -> cases.check("tcp 4 one late:80 DROP"));
        NodeLab.in("one", "ip link del eth1");
        NodeLab.in("two", "ip link del eth1");
    }

    private static void keepFrom(String... clients) {
        String keep = "keep " + cases.addresses("kept").get(0) + " 80";
        for (String client : clients) {
            await().atMost(RunIT.PATIENCE)
                    .untilAsserted(
                            () -> assertThat(lab.tell(client, keep)).as(client).isEqualTo("ok"));
        }
    }

    /**
     * What kube-proxy's nftables mode has where it serves a Service of its own, with the checks that would stop ours: to
     * it our cluster IPs are addresses of the Service range that belong to nobody.
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
    void kubeProxyBesideItIsNotDisturbedAndDoesNotDisturb() throws IOException {
        Path rules = folder.resolve("kube-proxy.nft");
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
        Path next = folder.resolve("next");
        Files.writeString(next, feed);
        Files.move(next, folder.resolve("feed.yaml"), StandardCopyOption.ATOMIC_MOVE);
    }

    @Test
    @Order(7)
    void aCleanEndServesWhatIsOpenRefusesTheRestAndLeavesNothingBehind() throws Exception {
        keepFrom("one", "node");
        // More than the client's receive buffer has room for, less than the send buffer, in however many pieces it
        // comes.
        assertThat(lab.tell("out", "post " + cases.addresses("large").get(0) + " 80 20000"))
                .isEqualTo("ok");
        sluice.signal("TERM");
        await().atMost(RunIT.PATIENCE).until(() -> sluice.err().contains("draining"));
        for (String protocol : List.of("tcp", "udp")) {
            cases.check(protocol + " 4 one plain:80 REFUSED");
            cases.check(protocol + " 6 node plain:80 REFUSED");
            cases.check(protocol + " 4 one nobody:80 DROP");
        }
        keepFrom("one", "node");
        assertThat(lab.tell("one", "release") + lab.tell("node", "release")).isEqualTo("okok");
        // All that was sent is with the kernel and the connection closed; who is to have it takes its time.
        await().atMost(RunIT.PATIENCE)
                .untilAsserted(() -> assertThat(sluice.err()).contains("to take all that was sent: "));
        assertThat(lab.tell("out", "collect")).isEqualTo("20000");
        assertThat(sluice.exitCode()).isZero();
        assertThat(NodeLab.in("node", "nft list tables")).doesNotContain("sluice");
        assertThat(NodeLab.in("node", "ip rule show") + NodeLab.in("node", "ip -6 rule show"))
                .doesNotContain("fwmark");
    }

    @Test
    @Order(8)
    void keptRulesRefuse() throws Exception {
        sluice = start("--keep-rules-on-exit");
        sluice.signal("TERM");
        assertThat(sluice.exitCode()).isZero();
        cases.check("tcp 4 one plain:80 REFUSED");
        cases.check("tcp 6 out local-ext:80 REFUSED");
    }

    /** kube-proxy's rules may go; what they began is led on by the kernel's connection tracking. */
    @Test
    @Order(9)
    void whatKubeProxyBeganGoesOn() throws Exception {
        NodeLab.in("node", "nft flush ruleset");
        String address = cases.addresses("kept").get(0);
        Path rules = folder.resolve("kube-proxy.nft");
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
            assertThat(cases.heard(again)).isEqualTo("pod=one");
            NodeLab.in("node", "nft flush chain ip kube-proxy services");
            write(feed() + cases.service("kept").slice(80, 8080, "far"));
            sluice = start();
            keepFrom("one");
            cases.check("tcp 4 one kept:80 far=one");
            assertThat(cases.heard(again)).isEqualTo("pod=one");
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
    void whatSomebodyElseUsesIsNotTaken() throws Exception {
        NodeLab.in("node", "sysctl -qw net.ipv4.conf.all.src_valid_mark=1");
        assertThat(refusal("--rule-priority=119"))
                .contains("cannot start: net.ipv4.conf.all.src_valid_mark is on", "set it to 0");
        NodeLab.in("node", "sysctl -qw net.ipv4.conf.all.src_valid_mark=0");
        NodeLab.in("node", "ip rule add priority 7 lookup 42");
        NodeLab.in("node", "ip route add 203.0.113.77/32 dev lo table 4242");
        assertThat(refusal("--rule-priority=7"))
                .contains(
                        "cannot start: the routing rule priority 7 is taken (7:",
                        "choose another with --rule-priority");
        NodeLab.in("node", "ip rule add priority 5210 fwmark 0x80000/0xff0000 lookup 52");
        assertThat(refusal("--mark-bit=19"))
                .contains(
                        "cannot start: bit 19 of packet marks is somebody else's (5210:",
                        "choose another with --mark-bit");
        assertThat(refusal("--routing-table=4242"))
                .contains("the routing table 4242 has somebody else's routes (203.0.113.77 dev lo");
    }

    @Test
    @Order(10)
    void whatAPredecessorLeftIsOursWhateverItsMark() throws Exception {
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
    void aSuccessorTakesOverSocketsAndRules() throws Exception {
        sluice.signal("TERM");
        assertThat(sluice.exitCode()).isZero();
        String socket = "--handover-socket=" + folder.resolve("hand-over.sock");
        sluice = start(socket);
        String again = "again 6 one plain:80";
        String flow = cases.heard(again);
        AtomicBoolean done = new AtomicBoolean();
        List<String> answers = new CopyOnWriteArrayList<>();
        CompletableFuture<Void> asking = CompletableFuture.runAsync(() -> {
            // A Service of its own: the turns of the others are counted below.
            String question = "ask tcp " + cases.addresses("out").get(0) + " "
                    + cases.addresses("local-ext").get(0) + " 80 10 10000";
            while (!done.get()) {
                try {
                    answers.add(cases.symbols(lab.tell("out", question)));
                } catch (IOException e) {
                    throw new UncheckedIOException(e);
                }
            }
        });
        for (int i = 0; i < 3; i++) {
            Sluice before = sluice;
            sluice = start(socket);
            assertThat(before.exitCode()).as(before.err()).isZero();
            assertThat(cases.heard(again)).isEqualTo(flow);
            cases.check("udp 6 one plain:80 pod=one far=one");
            cases.check("tcp 4 node plain:80 pod=node far=node");
            cases.check("tcp 4 one empty:80 REFUSED");
        }
        done.set(true);
        asking.get(20, TimeUnit.SECONDS);
        // A hand-over may make a connection wait for a retransmission, no more.
        assertThat(answers).isNotEmpty().containsOnly("pod=out");
        assertThat(sluice.err()).contains(" from the old process").doesNotContain("somebody removed");
    }

    /** The kernel lets nothing new in; that this is nothing new, the successor's table knows too. */
    @Test
    @Order(12)
    void aFlowOutlivesAHandOverWhileNothingNewIsLetIn() throws Exception {
        String before = feed();
        String elsewhere = before.replace("10.244.1.10'], nodeName: n1", "10.244.1.10'], nodeName: n2");
        write(elsewhere);
        String again = "again 4 one plain:80";
        String first = cases.heard(again);
        assertThat(first).isIn("pod=one", "far=one");
        write(elsewhere.replace(
                "type: NodePort, clusterIP: '10.96.0.11',",
                "internalTrafficPolicy: Local, type: NodePort, clusterIP: '10.96.0.11',"));
        await().atMost(RunIT.PATIENCE).untilAsserted(() -> cases.check("udp 4 one plain:80 DROP"));
        Sluice predecessor = sluice;
        sluice = start("--handover-socket=" + folder.resolve("hand-over.sock"));
        assertThat(predecessor.exitCode()).as(predecessor.err()).isZero();
        assertThat(cases.heard(again)).isEqualTo(first);
        write(before);
        await().atMost(RunIT.PATIENCE).untilAsserted(() -> cases.check("udp 4 one plain:80 pod=one far=one"));
    }

    @Test
    @Order(14)
    void aSuccessorWithAnotherMarkLeavesNoRoutingRuleOfTheOld() throws Exception {
        String socket = "--handover-socket=" + folder.resolve("hand-over.sock");
        for (String mark : List.of("13", "12")) {
            Sluice before = sluice;
            sluice = start(socket, "--mark-bit=" + mark, "--rule-priority=1" + mark);
            assertThat(before.exitCode()).as(before.err()).isZero();
            assertThat(NodeLab.in("node", "ip rule").lines().filter(line -> line.contains("lookup 19019")))
                    .singleElement()
                    .asString()
                    .startsWith("1" + mark + ":");
            cases.check("tcp 4 one plain:80 pod=one far=one");
        }
    }

    /** It has taken nothing over, so nothing of what the old process has is its to take away. */
    @Test
    @Order(13)
    void aNewProcessThatEndsWhileItWaitsLeavesTheRulesOfTheOld() throws Exception {
        Path empty = Files.createDirectories(folder.resolve("nothing"));
        Sluice waiting = NodeLab.launch(empty, "node", args("--handover-socket=" + folder.resolve("hand-over.sock")));
        await().atMost(RunIT.PATIENCE)
                .untilAsserted(() -> assertThat(waiting.err()).contains("another process is serving"));
        waiting.signal("TERM");
        assertThat(waiting.exitCode()).as(waiting.err()).isZero();
        assertThat(NodeLab.in("node", "nft list tables")).contains("table inet sluice");
        cases.check("tcp 4 one plain:80 pod=one far=one");
        cases.check("udp 6 node plain:80 pod=node far=node");
        assertThat(sluice.err()).doesNotContain("somebody removed");
    }

    /** Whatever the kernel has against the rules of one Service, the others have theirs. */
    @Test
    @Order(15)
    void oneServiceWhoseRulesAreRefusedCostsNobodyElseAnything() throws Exception {
        sluice.signal("TERM");
        assertThat(sluice.exitCode()).isZero();
        Path programs = Files.createDirectory(folder.resolve("programs"));
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
        sluice = NodeLab.launch(folder, "node", Map.of("PATH", programs + ":" + System.getenv("PATH")), args());
        await().atMost(RunIT.PATIENCE).until(() -> sluice.err().contains("synced: "));
        await().atMost(RunIT.PATIENCE)
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

    private static String refusal(String flag) throws Exception {
        try (Sluice refused = NodeLab.launch(folder, "node", args(flag))) {
            assertThat(refused.exitCode()).isEqualTo(1);
            return refused.err();
        }
    }
}
