package io.sluice.daemon;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.MethodOrderer;
import org.junit.jupiter.api.Order;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestMethodOrder;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** Tests NodePorts on addresses that are not in the Node object, in node mode, with real packets. */
@Tag("netns")
@TestMethodOrder(MethodOrderer.OrderAnnotation.class)
@Timeout(300)
@NeedsRoot
@Tag("one-jdk")
final class NodePortAddressesIT {
    @TempDir
    private static Path directory;

    @SuppressWarnings("NullAway.Init") // made before all tests
    private static NodeLab lab;

    @SuppressWarnings("NullAway.Init") // made before all tests
    private static NodeCases cases;

    @SuppressWarnings("NullAway.Init") // made before all tests
    private static SluiceProcess sluice;

    private static final Map<String, List<String>> ADDRESSES = Map.of(
            "plain", List.of("198.19.0.11", "fd00:96::11"),
            "local", List.of("198.19.0.12", "fd00:96::12"),
            "empty", List.of("198.19.0.13", "fd00:96::13"),
            "same", List.of("198.19.0.14", "fd00:96::14"),
            "loop", List.of("198.19.0.15", "fd00:96::15"),
            "vip", List.of("198.18.5.9", "2001:db8:5::9"),
            "late-vip", List.of("198.18.5.77", "2001:db8:5::77"),
            "other-vip", List.of("198.18.6.9", "2001:db8:6::9"),
            "loopback", List.of("127.0.0.1", "::1"));

    @BeforeAll
    static void build() throws IOException {
        lab = NodeLab.oneNode();
        cases = new NodeCases(lab, ADDRESSES);
        cases.serve(8080, "pod", "far");
        Files.writeString(directory.resolve("feed.yaml"), feed());
        sluice = start("all");
        // Added after the start: Sluice must serve these addresses without a change of its rules.
        NodeLab.in("node", "ip link add vip0 type veth peer name vip1");
        NodeLab.in("node", "ip link set vip0 up");
        NodeLab.in("node", "ip link set vip1 up");
        for (String vip : List.of("vip", "other-vip")) {
            NodeLab.in("node", "ip addr add " + cases.addresses(vip).get(0) + "/32 dev vip0");
            NodeLab.in("node", "ip addr add " + cases.addresses(vip).get(1) + "/128 dev vip0 nodad");
        }
        // Connections are served at once. Only after the next poll does Sluice know that a client at a new address is
        // this
        // node, and that the endpoint of 'loop' is a NodePort. The kernel's rules, which reject the latter, change
        // last.
        await().atMost(RunIT.TIMEOUT)
                .untilAsserted(() -> check("node vip:30080 pod=node far=node", "out vip:30085 REFUSED"));
    }

    @AfterAll
    static void remove() throws IOException {
        if (lab != null) {
            sluice.close();
            lab.close();
        }
    }

    private static SluiceProcess start(String nodePortAddresses, String... more) throws IOException {
        return NodeLab.sluice(
                directory,
                "node",
                Stream.concat(
                                Stream.of(
                                        "--cluster-cidr=10.244.0.0/16,fd00:10::/32",
                                        "--handover-socket=" + directory.resolve("handover.sock"),
                                        "--nodeport-addresses=" + nodePortAddresses),
                                Stream.of(more))
                        .toArray(String[]::new));
    }

    private static String feed() {
        return NodeLab.NODES
                + cases.service("plain").nodePort(30081).endpoints("pod", "far")
                + cases.service("local")
                        .nodePort(30080)
                        .spec("externalTrafficPolicy: Local")
                        .endpoints("pod", "far")
                + cases.service("empty").nodePort(30083)
                // A ClusterIP with the same port number.
                + cases.service("same")
                        .port("TCP", 30084, 30084)
                        .port("UDP", 30084, 30084)
                        .slice(30084, 8080, "pod")
                // The endpoint is the Service's own NodePort.
                + cases.service("loop").nodePort(30085).slice(80, 30085, "vip");
    }

    private static void check(String... lines) throws IOException {
        for (String line : NodeCases.eachWay(List.of(lines))) {
            cases.check(line);
        }
    }

    private static void write(String feed) throws IOException {
        Path next = directory.resolve("next");
        Files.writeString(next, feed);
        Files.move(next, directory.resolve("feed.yaml"), StandardCopyOption.ATOMIC_MOVE);
    }

    @Test
    @Order(1)
    void servesNodePortsOnNewAddresses() throws IOException {
        check(
                "out  vip:30081      pod=node far=node",
                "one  vip:30081      pod=node far=node",
                "node vip:30081      pod=node far=node",
                "out  node:30081     pod=node far=node",
                "node node:30081     pod=node far=node",
                "out  vip:30080      pod=out",
                "one  vip:30080      pod=one far=one",
                "node vip:30080      pod=node far=node",
                "out  vip:30083      REFUSED",
                "node vip:30083      REFUSED",
                "out  vip:30084      pod=node",
                "one  same:30084     pod=one",
                // served only with the keyword localhost
                "node loopback:30081 REFUSED",
                "out  vip:30085      REFUSED");
    }

    /** The client's socket takes answers only from the address that it sent to. */
    @Test
    @Order(1)
    void keepsAFlowThroughAHandover() throws Exception {
        String again = "again 4 out vip:30081";
        String again6 = "again 6 out vip:30081";
        String first = cases.responses(again);
        String first6 = cases.responses(again6);
        assertThat(List.of("pod=node", "far=node")).contains(first, first6);
        SluiceProcess before = sluice;
        sluice = start("all");
        assertThat(before.exitCode()).as(before.err()).isZero();
        assertThat(cases.responses(again)).isEqualTo(first);
        assertThat(cases.responses(again6)).isEqualTo(first6);
        cases.check("tcp 4 out vip:30081 pod=node far=node");
    }

    @Test
    @Order(2)
    void doesNotServeLinkLocalAddresses() throws IOException {
        String address = NodeLab.in("node", "ip -6 -o addr show dev v-out scope link")
                .replaceAll("(?s).*inet6 (fe80:[^/]*)/.*", "$1");
        for (String protocol : List.of("tcp", "udp")) {
            assertThat(lab.tell("out", "ask " + protocol + " - " + address + "%eth0 30081 10"))
                    .as(protocol + " " + address)
                    // The kernel may have no route for the rejection.
                    .isIn("REFUSED", "DROP");
        }
    }

    @Test
    @Order(2)
    void usesOneSocketPerFamilyForAllAddresses() throws IOException {
        for (String protocol : List.of("-lt", "-lu")) {
            assertThat(NodeLab.in("node", "ss -Hn " + protocol + " 'sport = :30081'")
                            .lines()
                            .map(line -> line.replaceAll(".* (\\S+):30081 .*", "$1")))
                    .as(protocol)
                    .containsExactlyInAnyOrder("0.0.0.0", "[::]");
        }
    }

    /** The number of nftables rules is constant; Services are elements of sets. */
    @Test
    @Order(2)
    void numberOfRulesDoesNotDependOnTheNumberOfServices() throws IOException {
        long few = rules();
        assertThat(few).isBetween(50L, 120L);
        StringBuilder many = new StringBuilder(feed());
        for (int i = 0; i < 500; i++) {
            many.append("""
                    ---
                    apiVersion: v1
                    kind: Service
                    metadata: {name: many-%d}
                    spec: {type: NodePort, clusterIP: 198.19.%d.%d, ports: [{port: 80, nodePort: %d}]}
                    """.formatted(i, 1 + i / 250, 1 + i % 250, 31_000 + i));
        }
        write(many.toString());
        await().atMost(RunIT.TIMEOUT)
                .until(() ->
                        NodeLab.in("node", "nft list set inet sluice node-port").contains("31499"));
        assertThat(rules()).isEqualTo(few);
        write(feed());
        await().atMost(RunIT.TIMEOUT)
                .until(() -> !NodeLab.in("node", "nft list set inet sluice node-port")
                        .contains("31499"));
    }

    private static long rules() throws IOException {
        return Pattern.compile("\\{\"rule\":")
                .matcher(NodeLab.in("node", "nft -j list table inet sluice"))
                .results()
                .count();
    }

    @Test
    @Order(3)
    void servesOnlyAddressesInTheGivenRanges() throws Exception {
        SluiceProcess before = sluice;
        sluice = start("198.18.5.0/24,2001:db8:5::/64");
        assertThat(before.exitCode()).as(before.err()).isZero();
        check(
                "out  vip:30081       pod=node far=node",
                "node vip:30081       pod=node far=node",
                "out  other-vip:30081 REFUSED",
                "node other-vip:30081 REFUSED",
                "out  node:30081      REFUSED",
                "node node:30081      REFUSED",
                "node loopback:30081  REFUSED");
    }

    @Test
    @Order(4)
    void servesThePrimaryAddressAndLoopbackByKeyword() throws Exception {
        SluiceProcess before = sluice;
        sluice = start("primary,localhost,198.18.5.0/24");
        assertThat(before.exitCode()).as(before.err()).isZero();
        check(
                "out  node:30081      pod=node far=node",
                "node loopback:30081  pod=node far=node",
                "out  other-vip:30081 REFUSED");
        cases.check("tcp 4 out vip:30081 pod=node far=node");
        cases.check("udp 4 out vip:30081 pod=node far=node");
    }

    /** In bind mode each address has its own sockets, which are opened and closed with the address. */
    @Test
    @Order(5)
    void followsInterfaceAddressesInBindMode() throws Exception {
        sluice.signal("TERM");
        assertThat(sluice.exitCode()).isZero();
        List<String> command = new ArrayList<>(NodeLab.exec("node"));
        command.addAll(List.of(
                SluiceProcess.HOME.resolve("bin/sluice").toString(),
                "run",
                "--feed=" + directory.resolve("feed.yaml"),
                "--node-name=n1",
                "--nodeport-addresses=198.18.5.0/24",
                "--healthz-bind-address=off",
                "--metrics-bind-address=off"));
        sluice = SluiceProcess.start(
                directory,
                Path.of(command.get(0)),
                Map.of(),
                command.subList(1, command.size()).toArray(String[]::new));
        await().atMost(RunIT.TIMEOUT).until(() -> sluice.err().contains("synced: "));
        cases.check("tcp 4 out vip:30081 pod=node far=node");
        cases.check("tcp 4 out node:30081 REFUSED");
        NodeLab.in("node", "ip addr add 198.18.5.77/32 dev vip0");
        await().atMost(RunIT.TIMEOUT).untilAsserted(() -> cases.check("tcp 4 out late-vip:30081 pod=node far=node"));
        NodeLab.in("node", "ip addr del 198.18.5.77/32 dev vip0");
        await().atMost(RunIT.TIMEOUT)
                .until(() -> !NodeLab.in("node", "ss -Hltn 'sport = :30081'").contains("198.18.5.77"));
        cases.check("tcp 4 out vip:30081 pod=node far=node");
    }
}
