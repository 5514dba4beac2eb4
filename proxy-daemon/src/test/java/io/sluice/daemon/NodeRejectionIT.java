package io.sluice.daemon;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/**
 * A frontend whose rules the kernel rejects is reported as failed in the log, metrics and debug pages, until the kernel
 * accepts the rules.
 */
@Tag("netns")
@Timeout(120)
@NeedsRoot
@Tag("one-jdk")
final class NodeRejectionIT {
    private static final String NAMESPACE =
            "sluice-rejection-" + ProcessHandle.current().pid();
    private static final String METRICS = "127.0.0.1:10249";

    private static final String FEED = """
            apiVersion: v1
            kind: Node
            metadata: {name: n1}
            status: {addresses: [{type: InternalIP, address: 198.18.0.1}]}
            """ + service("good", "198.18.96.10") + service("bad", "198.18.96.11");

    @TempDir
    private Path directory;

    private static String service(String name, String address) {
        return """
                ---
                apiVersion: v1
                kind: Service
                metadata: {name: %1$s, namespace: it}
                spec: {clusterIP: %2$s, ports: [{port: 80}]}
                ---
                apiVersion: discovery.k8s.io/v1
                kind: EndpointSlice
                metadata: {name: %1$s-1, namespace: it, labels: {kubernetes.io/service-name: %1$s}}
                addressType: IPv4
                ports: [{name: '', port: 8080, protocol: TCP}]
                endpoints: [{addresses: [198.18.0.1]}]
                """.formatted(name, address);
    }

    @BeforeEach
    void makeNamespace() throws IOException {
        run("ip", "netns", "add", NAMESPACE);
        in("ip", "link", "set", "lo", "up");
        in("ip", "link", "add", "v0", "type", "veth", "peer", "name", "v1");
        in("ip", "link", "set", "v0", "up");
        in("ip", "link", "set", "v1", "up");
        in("ip", "addr", "add", "198.18.0.1/15", "dev", "v0");
    }

    @AfterEach
    void removeNamespace() throws IOException {
        run("ip", "netns", "del", NAMESPACE);
    }

    private static String in(String... command) throws IOException {
        List<String> all = new ArrayList<>(List.of("ip", "netns", "exec", NAMESPACE));
        all.addAll(List.of(command));
        return run(all.toArray(String[]::new));
    }

    private static String run(String... command) throws IOException {
        Process process = new ProcessBuilder(command).redirectErrorStream(true).start();
        String output = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        try {
            if (!process.waitFor(20, TimeUnit.SECONDS) || process.exitValue() != 0) {
                throw new IOException(String.join(" ", command) + ": " + output);
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IOException("interrupted", e);
        }
        return output;
    }

    private static String metrics(String path) throws IOException {
        return in("curl", "-s", "--max-time", "10", "http://" + METRICS + path);
    }

    /** Creates an nft that rejects rules for one address while a file exists. */
    private Path rejectingNft(Path rejectMarker) throws IOException {
        Path programs = Files.createDirectory(directory.resolve("programs"));
        Path nft = programs.resolve("nft");
        Files.writeString(nft, """
                #!/bin/sh
                PATH=%s
                rules=$(cat)
                if [ -e %s ]; then
                  case $rules in *'198.18.96.11 . tcp'*) echo "Error: none of that"; exit 1;; esac
                fi
                printf '%%s\n' "$rules" | nft "$@"
                """.formatted(System.getenv("PATH"), rejectMarker));
        assertThat(nft.toFile().setExecutable(true)).isTrue();
        return programs;
    }

    @Test
    void failsAFrontendWithRejectedRulesUntilARetrySucceeds() throws Exception {
        Files.writeString(directory.resolve("feed.yaml"), FEED);
        Path rejectMarker = Files.createFile(directory.resolve("reject"));
        Map<String, String> environment = Map.of("PATH", rejectingNft(rejectMarker) + ":" + System.getenv("PATH"));
        try (SluiceProcess sluice = SluiceProcess.start(
                directory,
                Path.of("ip"),
                environment,
                "netns",
                "exec",
                NAMESPACE,
                SluiceProcess.HOME.resolve("bin/sluice").toString(),
                "run",
                "--mode=node",
                "--feed=feed.yaml",
                "--node-name=n1",
                "--service-cidr=198.18.96.0/24",
                "--healthz-bind-address=127.0.0.1:10256",
                "--metrics-bind-address=" + METRICS,
                "--loops=1")) {
            await().atMost(RunIT.TIMEOUT).until(() -> sluice.err().contains("synced: "));
            assertThat(metrics("/debug/frontends"))
                    .containsPattern("198.18.96.10:80/tcp\"[^}]*\"ACTIVE\"")
                    .containsPattern(
                            "198.18.96.11:80/tcp\"[^}]*\"FAILED\"[^}]*\"REJECTED_BY_KERNEL\"[^}]*none of that");
            assertThat(metrics("/metrics"))
                    .contains("sluice_frontends_failed{reason=\"rejected_by_kernel\"} 1.0")
                    .contains("sluice_frontends{state=\"failed\"} 1.0");
            assertThat(in("curl", "-s", "--max-time", "10", "http://127.0.0.1:10256/readyz"))
                    .isEqualTo("degraded: 1 frontend failed (see /debug/frontends)\n");
            await().atMost(RunIT.TIMEOUT)
                    .untilAsserted(() -> assertThat(sluice.err())
                            .containsOnlyOnce("frontend 198.18.96.11:80/tcp failed (it/bad): the kernel rejects its"
                                    + " rules: nft -f -: Error: none of that"));

            Files.delete(rejectMarker);
            await().atMost(RunIT.TIMEOUT)
                    .untilAsserted(() -> assertThat(metrics("/debug/frontends"))
                            .containsPattern("198.18.96.11:80/tcp\"[^}]*\"ACTIVE\""));
            assertThat(in("nft", "list", "set", "inet", "sluice", "frontend4")).contains("198.18.96.11 . tcp . 80");
            assertThat(metrics("/metrics")).contains("sluice_frontends{state=\"failed\"} 0.0");
            sluice.signal("TERM");
            assertThat(sluice.exitCode()).isZero();
        }
    }
}
