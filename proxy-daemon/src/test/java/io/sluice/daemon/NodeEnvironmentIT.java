package io.sluice.daemon;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** Tests node mode with unusual contents of /etc/iproute2 and /sys. */
@Tag("netns")
@Timeout(300)
@NeedsRoot
@Tag("one-jdk")
final class NodeEnvironmentIT {
    private static final Map<String, List<String>> SERVICES = Map.of(
            "plain", List.of("10.96.0.11", "fd00:96::11"),
            "bridged", List.of("10.96.0.15", "fd00:96::15"));
    private static final Path IPROUTE2 = Path.of("/etc/iproute2");
    private static final Path BRIDGE_HOOKS = Path.of("/proc/sys/net/bridge/bridge-nf-call-iptables");

    @TempDir
    private static Path directory;

    @SuppressWarnings("NullAway.Init") // made before all tests
    private static NodeLab lab;

    @SuppressWarnings("NullAway.Init") // made before all tests
    private static NodeCases cases;

    @BeforeAll
    static void build() throws IOException {
        lab = NodeLab.oneNode();
        cases = new NodeCases(lab, SERVICES);
        cases.serve(8080, "pod", "two", "far");
        Files.writeString(
                directory.resolve("feed.yaml"),
                NodeLab.NODES
                        + cases.service("plain").endpoints("pod", "far")
                        + cases.service("bridged").endpoints("two"));
    }

    @AfterAll
    static void remove() throws IOException {
        if (lab != null) {
            lab.close();
        }
    }

    private static SluiceProcess start(List<String> enter, Map<String, String> environment) throws IOException {
        SluiceProcess sluice =
                NodeLab.launch(directory, "node", enter, environment, "--cluster-cidr=10.244.0.0/16,fd00:10::/32");
        await().atMost(RunIT.TIMEOUT).until(() -> sluice.err().contains("synced: "));
        return sluice;
    }

    @Test
    void doesNotRestoreANamedRoutingTableRepeatedly() throws Exception {
        assumeTrue(Files.isDirectory(IPROUTE2), "iproute2 stores table names in another directory");
        Path names = Files.createDirectory(directory.resolve("iproute2"));
        Path tables = IPROUTE2.resolve("rt_tables");
        Files.writeString(names.resolve("rt_tables"), Files.exists(tables) ? Files.readString(tables) : "");
        Files.writeString(names.resolve("rt_tables"), "19019 sluice\n", StandardOpenOption.APPEND);
        Path log = Files.createFile(directory.resolve("ip.log"));
        Path programs = Files.createDirectory(directory.resolve("programs"));
        Path ip = programs.resolve("ip");
        Files.writeString(ip, """
                #!/bin/sh
                echo "$@" >> %s
                PATH=%s
                exec ip "$@"
                """.formatted(log, System.getenv("PATH")));
        assertThat(ip.toFile().setExecutable(true)).isTrue();
        List<String> enter = new ArrayList<>(NodeLab.exec("node"));
        enter.addAll(
                List.of("sh", "-c", "mount --bind " + names + " " + IPROUTE2 + " && PATH=$IP:$PATH exec \"$@\"", "sh"));
        try (SluiceProcess sluice = start(enter, Map.of("IP", programs.toString()))) {
            long atStart = listings(log);
            // Every check lists the rules of both families.
            await().atMost(Duration.ofSeconds(60)).until(() -> listings(log) >= atStart + 6);
            List<String> changes = Files.readAllLines(log).stream()
                    .filter(line -> line.matches(".* (add|replace|del|flush) .*"))
                    .toList();
            assertThat(changes)
                    .hasSize(4)
                    .allMatch(change -> change.matches("-[46] (route replace local default|rule add) .*"));
            assertThat(sluice.err()).doesNotContain("removed by another process");
            cases.check("tcp 4 one plain:80 pod=one far=one");
            sluice.signal("TERM");
            assertThat(sluice.exitCode()).isZero();
        }
        assertThat(NodeLab.in("node", "ip rule") + NodeLab.in("node", "ip -6 rule"))
                .doesNotContain("fwmark");
    }

    private static long listings(Path log) throws IOException {
        return Files.readAllLines(log).stream()
                .filter(line -> line.contains(" rule show"))
                .count();
    }

    /**
     * If Sluice does not find the bridge, responses switched past the node are lost without br_netfilter, and bridged
     * packets with it.
     */
    @Test
    void findsBridgesWhenSysBelongsToAnotherNamespace() throws Exception {
        List<String> enter = NodeLab.execWithForeignSys("node");
        try (SluiceProcess sluice = start(enter, Map.of())) {
            cases.checkAll("one bridged:80 two=node", "one plain:80 pod=one far=one");
            if (Files.exists(BRIDGE_HOOKS)) {
                NodeLab.in(
                        "node",
                        "sysctl -qw net.bridge.bridge-nf-call-iptables=1 net.bridge.bridge-nf-call-ip6tables=1");
                cases.checkAll("one bridged:80 two=node", "one plain:80 pod=one far=one");
            }
            sluice.signal("TERM");
            assertThat(sluice.exitCode()).isZero();
        }
    }
}
