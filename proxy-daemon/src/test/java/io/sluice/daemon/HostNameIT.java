package io.sluice.daemon;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * Tests a machine whose host name only DNS could resolve. Sluice takes the host name from the kernel, so a resolver
 * that does not respond causes no delay.
 */
@Tag("netns")
@NeedsRoot
@Tag("one-jdk")
final class HostNameIT {
    /**
     * Prepares network, mount and UTS namespaces in which names other than localhost are resolved by DNS only. All
     * datagrams sent there are lookups, which the kernel counts.
     */
    private static final String PREPARE = """
            ip link set lo up
            echo "$HOST_NAME" > /proc/sys/kernel/hostname
            mount --bind hosts /etc/hosts
            mount --bind resolv.conf /etc/resolv.conf
            [ ! -e /etc/nsswitch.conf ] || mount --bind nsswitch.conf /etc/nsswitch.conf
            """;

    @TempDir
    private Path directory;

    /** @param then the shell command to run, with the launcher and {@code args} as its arguments */
    private SluiceProcess start(String hostName, String then, String... args) throws IOException {
        Files.writeString(directory.resolve("hosts"), "127.0.0.1 localhost\n");
        // No server listens there, which fails faster than a server that does not respond.
        Files.writeString(directory.resolve("resolv.conf"), "nameserver 127.0.0.1\n");
        Files.writeString(directory.resolve("nsswitch.conf"), "hosts: files dns\n");
        Files.writeString(directory.resolve("feed.yaml"), "{apiVersion: v1, kind: List, items: []}");
        List<String> command = new ArrayList<>(List.of(
                "--net",
                "--mount",
                "--uts",
                "sh",
                "-ec",
                PREPARE + then,
                "sh",
                SluiceProcess.HOME.resolve("bin/sluice").toString()));
        command.addAll(List.of(args));
        return SluiceProcess.start(
                directory, Path.of("unshare"), Map.of("HOST_NAME", hostName), command.toArray(String[]::new));
    }

    /** Returns the numbers of sent datagrams, for each copy of {@code /proc/PID/net/snmp} in a string. */
    private static List<Long> datagramsSent(String snmp) {
        List<Long> sent = new ArrayList<>();
        List<String> names = List.of();
        for (String line : snmp.lines().filter(each -> each.startsWith("Udp:")).toList()) {
            List<String> words = List.of(line.split(" "));
            if (words.contains("OutDatagrams")) {
                names = words;
            } else {
                sent.add(Long.parseLong(words.get(names.indexOf("OutDatagrams"))));
            }
        }
        return sent;
    }

    @Test
    void printsTheVersionWithoutALookup() throws Exception {
        try (SluiceProcess sluice = start(
                "nowhere",
                "\"$@\"; cat /proc/net/snmp; getent hosts nowhere || true; cat /proc/net/snmp",
                "--version")) {
            assertThat(sluice.exitCode()).as(sluice.err()).isZero();
            assertThat(sluice.out()).startsWith("sluice ");
            List<Long> sent = datagramsSent(sluice.out());
            assertThat(sent.get(0)).isZero();
            assertThat(sent.get(1)).as("the lookup of getent is counted").isPositive();
        }
    }

    @Test
    void startsWithoutALookup() throws Exception {
        try (SluiceProcess sluice = start(
                "nowhere",
                "exec \"$@\"",
                "run",
                "--feed=feed.yaml",
                "--healthz-bind-address=127.0.0.1:10256",
                "--metrics-bind-address=127.0.0.1:10249")) {
            await().atMost(RunIT.TIMEOUT)
                    .untilAsserted(() -> assertThat(sluice.err()).contains("synced: ", "health on ", "metrics on "));
            assertThat(datagramsSent(Files.readString(Path.of("/proc", String.valueOf(sluice.pid()), "net/snmp"))))
                    .containsExactly(0L);
        }
    }

    @Test
    void usesTheHostNameAsNodeName() throws Exception {
        try (SluiceProcess sluice = start("Node-1.Example", "exec \"$@\"", "run", "--print-config")) {
            assertThat(sluice.exitCode()).as(sluice.err()).isZero();
            assertThat(sluice.out()).containsPattern("\nnodeName: node-1\\.example +# default\n");
            assertThat(sluice.err()).isEmpty();
        }
    }

    @Test
    void reportsAHostNameThatIsNotAValidNodeName() throws Exception {
        try (SluiceProcess sluice = start("node_1", "exec \"$@\"", "run", "--print-config")) {
            assertThat(sluice.exitCode()).as(sluice.err()).isZero();
            assertThat(sluice.out()).containsPattern("\nnodeName: localhost +# default\n");
            assertThat(sluice.err())
                    .isEqualTo(
                            "sluice: nodeName: the host name 'node_1' is not a valid node name, using 'localhost'; set"
                                    + " --node-name to a node name: letters, digits, '-' and '.', at most 253 characters\n");
        }
        try (SluiceProcess sluice = start("node_1", "exec \"$@\"", "run", "--print-config", "--node-name=node-1")) {
            assertThat(sluice.exitCode()).isZero();
            assertThat(sluice.err()).isEmpty();
        }
    }
}
