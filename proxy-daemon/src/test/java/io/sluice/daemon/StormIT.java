package io.sluice.daemon;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/**
 * Tests a feed of 10,000 Services with 3 endpoints each, in files. Writes its measurements to {@code target/storm.txt}.
 */
@Tag("long")
@Timeout(300)
final class StormIT {
    private static final int SERVICES = 10_000;
    private static final int CHANGED = 5_000;
    private static final int CHANGES = 50;

    @TempDir
    private Path directory;

    private final NameServer old;
    private final NameServer next;
    private final int port;

    StormIT() throws IOException {
        old = new NameServer(endpoint(10, CHANGED), 0, "old");
        next = new NameServer(endpoint(13, CHANGED), old.port(), "new");
        port = NameServer.freePort(endpoint(96, CHANGED));
    }

    private static String endpoint(int net, int service) {
        return "127." + net + "." + service / 250 + "." + (service % 250 + 1);
    }

    private String manifest(int service, int... nets) {
        StringBuilder text =
                new StringBuilder("""
                apiVersion: v1
                kind: Service
                metadata: {name: s%d, namespace: storm}
                spec: {clusterIP: %s, ports: [{name: http, port: %d, protocol: TCP}]}
                ---
                apiVersion: discovery.k8s.io/v1
                kind: EndpointSlice
                metadata: {name: s%d-1, namespace: storm, labels: {kubernetes.io/service-name: s%d}}
                addressType: IPv4
                ports: [{name: http, port: %d, protocol: TCP}]
                endpoints:
                """.formatted(service, endpoint(96, service), port, service, service, old.port()));
        for (int net : nets) {
            text.append("- {addresses: [\"%s\"], conditions: {ready: true}}\n".formatted(endpoint(net, service)));
        }
        return text.toString();
    }

    @Test
    void appliesChangesWithTenThousandServicesInADirectory() throws Exception {
        Path feed = Files.createDirectory(directory.resolve("feed"));
        for (int i = 0; i < SERVICES; i++) {
            Files.writeString(feed.resolve("s" + i + ".yaml"), manifest(i, 10, 11, 12));
        }
        List<String> report = new ArrayList<>();
        long start = System.nanoTime();
        try (SluiceProcess sluice = SluiceProcess.start(
                        directory,
                        "run",
                        "--feed=feed",
                        "--healthz-bind-address=127.0.0.1:0",
                        "--metrics-bind-address=off");
                old;
                next) {
            RunIT.awaitReady(sluice);
            report.add("ready after " + millisSince(start) + " ms");
            report.add(Files.readAllLines(Path.of("/proc/" + sluice.pid() + "/status")).stream()
                    .filter(line -> line.startsWith("VmRSS"))
                    .findFirst()
                    .orElseThrow());
            List<Long> times = new ArrayList<>();
            for (int i = 0; i < CHANGES; i++) {
                boolean toNew = i % 2 == 0;
                Path draft = Files.writeString(directory.resolve("draft"), manifest(CHANGED, toNew ? 13 : 10));
                long change = System.nanoTime();
                Files.move(draft, feed.resolve("s" + CHANGED + ".yaml"), StandardCopyOption.ATOMIC_MOVE);
                awaitAnswer(toNew ? "new" : "old");
                times.add(millisSince(change));
            }
            Collections.sort(times);
            report.add("from the change of one endpoint to its first response: median " + times.get(CHANGES / 2)
                    + " ms, worst " + times.get(CHANGES - 1) + " ms of " + CHANGES);
            assertThat(sluice.err()).doesNotContain("WARN", "ERROR");
        } finally {
            Files.write(Path.of("target/storm.txt"), report);
        }
    }

    private static long millisSince(long nanos) {
        return TimeUnit.NANOSECONDS.toMillis(System.nanoTime() - nanos);
    }

    private void awaitAnswer(String name) throws IOException {
        String address = endpoint(96, CHANGED);
        String answer = NameServer.ask(address, port);
        for (long start = System.nanoTime(); !answer.equals(name); answer = NameServer.ask(address, port)) {
            assertThat(answer).isNotEmpty();
            assertThat(millisSince(start))
                    .as("milliseconds without a response of the new endpoint")
                    .isLessThan(RunIT.TIMEOUT.toMillis());
        }
    }
}
