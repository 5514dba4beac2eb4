package io.sluice.node;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.sluice.daemon.Flags;
import io.sluice.daemon.PacketTable;
import io.sluice.feed.ManifestReader;
import io.sluice.feed.ManifestReader.Manifest;
import io.sluice.model.Protocol;
import io.sluice.model.ServiceSnapshot;
import io.sluice.node.PacketPath.Verdict;
import io.sluice.rules.BuildOptions;
import io.sluice.rules.ObjectStore;
import io.sluice.rules.ObjectStore.SourceState;
import io.sluice.rules.ProblemTracker;
import io.sluice.rules.SnapshotBuilder;
import java.io.IOException;
import java.io.StringReader;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Collectors;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * Tests kube-proxy's verdict table, {@code packet-table.txt}, without a kernel and without privileges: it interprets the rules
 * of a snapshot, and follows the snapshot's routes to endpoints. {@code NodeModeIT} tests the same cases with real packets.
 */
final class PacketTableTest {
    private static final KernelFeatures CURRENT = new KernelFeatures(true, true, false);

    @SuppressWarnings("NullAway.Init") // made before all tests
    private static SimulatedNode node;

    @BeforeAll
    static void build() throws IOException {
        node = node(CURRENT);
    }

    private static SimulatedNode node(KernelFeatures features, String... flags) throws IOException {
        return new SimulatedNode(snapshot(flags), features);
    }

    private static ServiceSnapshot snapshot(String... more) throws IOException {
        return snapshot(PacketTable.feed(), more);
    }

    private static ServiceSnapshot snapshot(String feed, String[] more) throws IOException {
        List<String> flags = new ArrayList<>(List.of("--mode=node", "--node-name=n1"));
        flags.addAll(PacketTable.FLAGS);
        for (String flag : more) {
            String name = flag.substring(0, flag.indexOf('=') + 1);
            flags.removeIf(each -> each.startsWith(name));
            flags.add(flag);
        }
        BuildOptions options = Flags.rules(flags);
        ProblemTracker problems = new ProblemTracker();
        ObjectStore store = new ObjectStore(problems);
        Manifest manifest = ManifestReader.read("feed.yaml", "", new StringReader(feed));
        store.replace("feed.yaml", new SourceState(manifest.objects(), manifest.problems()));
        SnapshotBuilder builder = new SnapshotBuilder(options, store, problems);
        builder.interfaceAddresses(SimulatedNode.interfaceAddresses());
        return builder.build();
    }

    static List<String> cells() {
        return PacketTable.cells();
    }

    @Test
    void tableIsComplete() {
        // 39 cells of kube-proxy's table, and more for Sluice.
        assertThat(cells()).doesNotHaveDuplicates().hasSizeGreaterThanOrEqualTo(4 * 84);
        assertThat(cells().stream().filter(cell -> !PacketTable.decidesSource(cell)))
                .as("source address checked only by NodeModeIT")
                .hasSize(4 * 4);
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("cells")
    void matchesTheTable(String cell) {
        check(node, cell);
    }

    private static void check(SimulatedNode on, String cell) {
        boolean withSource = PacketTable.decidesSource(cell);
        String[] words = cell.split(" +");
        Set<String> expected = new TreeSet<>(List.of(words).subList(4, words.length));
        List<String> trace = new ArrayList<>();
        Set<String> actual = on.answers(words[0], words[1], words[2], words[3], trace);
        assertThat(compared(actual, withSource))
                .as("%s%n%s", cell, String.join("\n", trace))
                .isEqualTo(compared(expected, withSource));
    }

    private static Set<String> compared(Set<String> answers, boolean withSource) {
        return answers.stream()
                .map(answer -> withSource ? answer : answer.replaceFirst("=.*", ""))
                .collect(Collectors.toCollection(TreeSet::new));
    }

    /** Such a NodePort is one frontend for all local addresses, with its own sets and chains. */
    @Test
    void servesNodePortsOnAllAddressesOrRanges() throws IOException {
        SimulatedNode all = node(CURRENT, "--nodeport-addresses=all,localhost");
        cells().forEach(cell -> check(all, cell));
        for (String way : List.of("tcp 4 ", "tcp 6 ", "udp 4 ", "udp 6 ")) {
            check(all, way + "out v-out:30081 pod=node far=node");
            check(all, way + "one cni0:30080 pod=one far=one");
            check(all, way + "out v-out:30084 DROP");
        }
        SimulatedNode ranges = node(CURRENT, "--nodeport-addresses=192.0.2.0/24,2001:db8:2::/64,127.0.0.0/8,::1/128");
        cells().forEach(cell -> check(ranges, cell));
        for (String way : List.of("tcp 4 ", "tcp 6 ", "udp 4 ", "udp 6 ")) {
            check(ranges, way + "out v-out:30081 REFUSED");
            check(ranges, way + "node v-out:30081 REFUSED");
        }
    }

    @Test
    void matchesTheTableOnOlderKernelsAndWithConnectionTracking() throws IOException {
        SimulatedNode older = node(new KernelFeatures(true, false, true));
        cells().forEach(cell -> check(older, cell));
    }

    /** Without tproxy, a frontend cannot be served if another process has its port on all addresses. */
    @Test
    void matchesTheTableWithoutTproxy() throws IOException {
        SimulatedNode without = node(new KernelFeatures(false, true, true));
        cells().stream().filter(cell -> !cell.matches("tcp .* shared:.*")).forEach(cell -> check(without, cell));
        check(without, "tcp 4 out shared:8090 REFUSED");
    }

    /** With the chain that precedes the hook of br_netfilter. */
    @Test
    void matchesTheTableWithBridgeNetfilter() throws IOException {
        SimulatedNode bridged = node(CURRENT);
        bridged.load(NftScript.bridgePrerouting(RuleOptions.DEFAULT));
        cells().forEach(cell -> check(bridged, cell));
    }

    @Test
    void rejectsNewTrafficWhileDraining() throws IOException {
        SimulatedNode draining = node(CURRENT);
        draining.load(NftScript.REJECT_NEW);
        for (String cell : cells()) {
            String[] words = cell.split(" +");
            // Other processes of the node serve these two addresses.
            boolean served = cell.contains("=") && !words[3].matches("(ingress-lb|cache):.*");
            check(draining, served ? String.join(" ", words[0], words[1], words[2], words[3], "REFUSED") : cell);
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {0, 1})
    void continuesAnEstablishedFlowWhileDraining(int family) throws IOException {
        SimulatedNode draining = node(CURRENT);
        Packet request = udp(family, "one", 40_000, "plain", 80, false);
        assertThat(draining.send(request).verdict()).isEqualTo(Verdict.FORWARD);
        Packet reply = udp(family, "plain", 80, "one", 40_000, true);
        assertThat(draining.send(reply).source()).isEqualTo(reply.source());
        draining.load(NftScript.REJECT_NEW);
        assertThat(draining.send(request).verdict()).isEqualTo(Verdict.FORWARD);
        assertThat(draining.send(udp(family, "one", 40_001, "plain", 80, false)).verdict())
                .isEqualTo(Verdict.REJECTED);
    }

    @ParameterizedTest
    @ValueSource(ints = {0, 1})
    void leavesNewTrafficToKubeProxyAndKeepsFlows(int family) throws IOException {
        SimulatedNode released = node(CURRENT, "--nodeport-addresses=all");
        for (String client : List.of("one", "node")) {
            boolean ofNode = client.equals("node");
            Packet request = udp(family, ofNode ? "v-out" : client, 40_000, "plain", 80, ofNode);
            assertThat(released.send(request).verdict()).isEqualTo(Verdict.FORWARD);
            Packet reply = udp(family, "plain", 80, ofNode ? "v-out" : client, 40_000, true);
            assertThat(released.send(reply).source()).isEqualTo(reply.source());
        }
        released.load(NftScript.releaseNew(RuleOptions.DEFAULT));
        for (String client : List.of("one", "node")) {
            boolean ofNode = client.equals("node");
            String source = ofNode ? "v-out" : client;
            assertThat(released.send(udp(family, source, 40_000, "plain", 80, ofNode))
                            .verdict())
                    .isEqualTo(Verdict.FORWARD);
            for (String destination : List.of("plain:80", "plain:81", "empty:80", "internal:80", "unallocated:80")) {
                String[] to = destination.split(":");
                for (Protocol protocol : Protocol.values()) {
                    Packet packet = packet(protocol, family, source, 40_001, to[0], Integer.parseInt(to[1]), ofNode);
                    assertThat(released.send(packet).verdict()).as("%s", packet).isEqualTo(Verdict.PASSED);
                }
            }
        }
    }

    /** The kernel may choose another source address for the reply of a wildcard socket. */
    @ParameterizedTest
    @ValueSource(ints = {0, 1})
    void repliesFromTheNodePortAddressThatTheClientSentTo(int family) throws IOException {
        SimulatedNode all = node(CURRENT, "--nodeport-addresses=all");
        Packet request = udp(family, "out", 40_000, "node", 30_081, false);
        assertThat(all.send(request).verdict()).isEqualTo(Verdict.FORWARD);
        Packet reply = udp(family, "v-out", 30_081, "out", 40_000, true);
        assertThat(all.send(reply).source()).isEqualTo(request.destination());
        all.load(NftScript.REJECT_NEW);
        assertThat(all.send(request).verdict()).isEqualTo(Verdict.FORWARD);
        Packet other = udp(family, "v-out", 30_081, "out", 40_001, true);
        assertThat(all.send(other).source()).as("another flow").isEqualTo(other.source());
    }

    /** The forwarder checks the address in the PROXY header of a trusted peer, which only TCP has. */
    @ParameterizedTest
    @ValueSource(strings = {"--nodeport-addresses=primary", "--nodeport-addresses=all"})
    void acceptsTrustedPeersThatAreNotInTheSourceRanges(String flag) throws IOException {
        String trusted = String.join("/32, ", SimulatedNode.addressesOf("stranger")) + "/128";
        String feed = PacketTable.feed()
                .replace(
                        "'" + PacketTable.GUARDED_SOURCES + "'",
                        "'" + PacketTable.GUARDED_SOURCES + "', service.sluice.io/accept-proxy-protocol-from: '"
                                + trusted + "'");
        SimulatedNode guarded = new SimulatedNode(snapshot(feed, new String[] {flag}), CURRENT);
        for (int family = 0; family < 2; family++) {
            for (String destination : List.of("guarded:80", "guarded-ext:80", "guarded-lb:80", "node:30086")) {
                String[] to = destination.split(":");
                int port = Integer.parseInt(to[1]);
                for (Protocol protocol : Protocol.values()) {
                    assertThat(guarded.send(packet(protocol, family, "stranger", 40_000, to[0], port, false))
                                    .verdict())
                            .as("%s %s %s", protocol, family, destination)
                            .isEqualTo(protocol == Protocol.TCP ? Verdict.FORWARD : Verdict.DROPPED);
                    assertThat(guarded.send(packet(protocol, family, "one", 40_000, to[0], port, false))
                                    .verdict())
                            .isEqualTo(Verdict.DROPPED);
                }
            }
        }
    }

    private static Packet udp(
            int family, String source, int sourcePort, String destination, int destinationPort, boolean ofNode) {
        return packet(Protocol.UDP, family, source, sourcePort, destination, destinationPort, ofNode);
    }

    private static Packet packet(
            Protocol protocol,
            int family,
            String source,
            int sourcePort,
            String destination,
            int destinationPort,
            boolean ofNode) {
        return new Packet(
                ofNode,
                protocol,
                SimulatedNode.ip(SimulatedNode.addressesOf(source).get(family)),
                sourcePort,
                SimulatedNode.ip(SimulatedNode.addressesOf(destination).get(family)),
                destinationPort,
                0);
    }

    /** The sockets are closed, but the rules remain. */
    @Test
    void rejectsAfterSluiceWasKilled() throws IOException {
        SimulatedNode killed = node(CURRENT).killed();
        for (String way : List.of("tcp 4 ", "tcp 6 ", "udp 4 ", "udp 6 ")) {
            for (String client : List.of("one ", "node ", "out ")) {
                check(killed, way + client + "plain:80 REFUSED");
                check(killed, way + client + "node:30081 REFUSED");
                check(killed, way + client + "internal:80 DROP");
            }
        }
    }

    @Test
    void failsOnUnknownStatements() throws IOException {
        FakeKernel kernel = new FakeKernel();
        kernel.load("table inet sluice {\n set s { type ipv4_addr; }\n chain c {\n accept\n }\n}\n");
        for (String rule : List.of(
                "ip ttl 1 accept",
                "meta mark 1 accept",
                "accept log",
                "goto nowhere",
                "ip6 daddr @s accept",
                "ip daddr . th dport @s accept",
                "ip daddr vmap @s",
                "socket mark 1 accept",
                "tcp flags & (fin | urg) == syn accept")) {
            assertThatThrownBy(() -> RuleParser.parse(kernel.table(), rule))
                    .as(rule)
                    .isInstanceOf(IllegalArgumentException.class);
        }
        assertThat(RuleParser.parse(kernel.table(), "ip daddr @s accept").statements())
                .hasSize(2);
    }
}
