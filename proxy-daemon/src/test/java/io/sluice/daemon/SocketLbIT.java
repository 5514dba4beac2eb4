package io.sluice.daemon;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import io.sluice.socketlb.BpfLab;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
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

/**
 * Socket-level load balancing on a node with real packets: pods and the node get what the packet table says, except that
 * endpoints of ClusterIPs see the client's own address. Also tests what a kill, a restart, a handover and an end do to
 * new connections.
 */
@Tag("netns")
@TestMethodOrder(MethodOrderer.OrderAnnotation.class)
@Timeout(300)
@NeedsRoot
@Tag("one-jdk")
final class SocketLbIT {
    @TempDir
    private static Path directory;

    @SuppressWarnings("NullAway.Init") // made before all tests
    private static NodeLab lab;

    @SuppressWarnings("NullAway.Init") // made before all tests
    private static BpfLab bpf;

    @SuppressWarnings("NullAway.Init") // made before all tests
    private static SluiceProcess sluice;

    @SuppressWarnings("NullAway.Init") // made before all tests
    private static NodeCases cases;

    @BeforeAll
    static void build() throws IOException {
        bpf = new BpfLab(Files.createDirectories(directory.resolve("bpf-lab")));
        lab = NodeLab.oneNode();
        cases = new NodeCases(lab, PacketTable.ADDRESSES);
        cases.serve(8080, "pod", "two", "far");
        cases.serve(8086, "pod", "far");
        cases.echo(8082, "pod");
        for (String address : cases.addresses("cache")) {
            NodeLab.in("node", "ip addr add " + address + " dev lo");
        }
        for (String process : PacketTable.processes()) {
            assertThat(lab.tell("node", process)).isEqualTo("ok");
        }
        for (String client : List.of("one", "pod", "node")) {
            bpf.add(lab.pid(client));
        }
        Files.writeString(directory.resolve("feed.yaml"), PacketTable.feed());
        sluice = start();
    }

    @AfterAll
    static void remove() throws IOException {
        if (lab != null) {
            sluice.close();
            lab.close();
            bpf.close();
        }
    }

    private static SluiceProcess start(String... more) throws IOException {
        List<String> args = new ArrayList<>(PacketTable.FLAGS);
        args.addAll(
                List.of("--socket-lb=required", "--socket-lb-cgroup=" + bpf.cgroup, "--socket-lb-pins=" + bpf.pins()));
        args.addAll(List.of(more));
        return NodeLab.sluice(directory, "node", args.toArray(String[]::new));
    }

    /** The cases of clients on the node. */
    static List<String> cells() {
        return PacketTable.cells().stream()
                .filter(cell -> cell.matches("tcp . (one|pod|node) .*"))
                .map(SocketLbIT::withClientAddress)
                .toList();
    }

    /**
     * An endpoint of a ClusterIP sees the client's own address. Not eligible are a ClusterIP on an interface of the node
     * (cache), and endpoints that are also frontends.
     */
    private static String withClientAddress(String cell) {
        String[] words = cell.split(" +");
        boolean clusterIp = !words[3].contains("-") && !words[3].startsWith("node:") && !words[3].startsWith("loop");
        boolean atSocket = clusterIp && !words[3].matches("(chain|cache|away|ingress):.*");
        return atSocket ? cell.replaceAll("=\\w+", "=" + words[2]) : cell;
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("cells")
    @Order(1)
    void matchesTheTable(String cell) throws IOException {
        cases.check(cell);
    }

    /** Connects from a pod until the future's flag is cleared; completes with the number of failures. */
    private static CompletableFuture<Integer> connectWhile(AtomicBoolean running) {
        return CompletableFuture.supplyAsync(() -> {
            int failures = 0;
            try {
                while (running.get()) {
                    String got =
                            lab.tell("one", "crowd " + cases.addresses("large").get(0) + " 80 50 5");
                    failures += got.equals("50") ? 0 : 1;
                }
            } catch (IOException e) {
                throw new UncheckedIOException(e);
            }
            return failures;
        });
    }

    /** kindnet's rules, which exempt connections of root's processes, and so those of the forwarder. */
    @Test
    @Order(2)
    void networkPoliciesOfTheNodeApply() throws IOException {
        Path rules = Files.writeString(directory.resolve("policies.nft"), """
                table inet standin {
                  chain policies {
                    type filter hook postrouting priority srcnat - 5;
                    meta skuid 0 accept
                    ct state established,related accept
                    ip saddr 10.244.2.11 ip daddr 10.244.1.10 drop
                  }
                }
                """);
        NodeLab.in("node", "nft -f " + rules);
        assertThat(cases.responses("tcp 4 one inside:80", 10, 1)).containsExactly("DROP");
        cases.check("tcp 4 pod bridged:80 two=pod");
        NodeLab.in("node", "nft delete table inet standin");
        cases.check("tcp 4 one inside:80 pod=one");
    }

    @Test
    @Order(2)
    void connectionsGoOnWithoutAProcess() throws Exception {
        assertThat(lab.tell("pod", "keep " + cases.addresses("large").get(0) + " 80"))
                .isEqualTo("ok");
        String links = bpf.links();
        assertThat(links).isNotEmpty();
        AtomicBoolean running = new AtomicBoolean(true);
        CompletableFuture<Integer> failures = connectWhile(running);
        sluice.signal("KILL");
        sluice.exitCode();
        sluice = start();
        running.set(false);
        assertThat(failures.get(30, TimeUnit.SECONDS)).isZero();
        assertThat(bpf.links()).isEqualTo(links);
        assertThat(lab.tell("pod", "release")).isEqualTo("ok");
    }

    @Test
    @Order(3)
    void connectionsGoOnDuringAHandover() throws Exception {
        sluice.close();
        sluice.exitCode();
        String socket = "--handover-socket=" + directory.resolve("handover.sock");
        sluice = start(socket);
        String links = bpf.links();
        AtomicBoolean running = new AtomicBoolean(true);
        CompletableFuture<Integer> failures = connectWhile(running);
        SluiceProcess old = sluice;
        sluice = start(socket);
        old.exitCode();
        running.set(false);
        assertThat(failures.get(30, TimeUnit.SECONDS)).isZero();
        assertThat(bpf.links()).isEqualTo(links);
        cases.check("tcp 4 one bridged:80 two=one");
    }

    @Test
    @Order(4)
    void anEndpointThatRefusesIsEjected() throws Exception {
        String feed = Files.readString(directory.resolve("feed.yaml"));
        ServiceManifest halfDead = cases.service("added");
        Files.writeString(
                directory.resolve("feed.yaml"),
                feed + halfDead.slice(80, 8080, "pod").slice(80, 8999, "two"));
        await().atMost(Duration.ofSeconds(20)).untilAsserted(() -> {
            for (int i = 0; i < 6; i++) {
                assertThat(cases.responses("tcp 4 one added:80")).isEqualTo("pod=one");
            }
        });
        Files.writeString(directory.resolve("feed.yaml"), feed);
    }

    @Test
    @Order(5)
    void aGracefulEndLeavesNothing() throws Exception {
        sluice.signal("TERM");
        assertThat(sluice.exitCode()).isZero();
        assertThat(bpf.pins()).doesNotExist();
        assertThat(cases.responses("tcp 4 one plain:80", 10, 1).get(0)).doesNotContain("=one");
    }
}
