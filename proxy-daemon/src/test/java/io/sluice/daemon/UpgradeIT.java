package io.sluice.daemon;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicLong;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Tests {@code sluice upgrade} with real processes, which are started through a symbolic link to the distribution. */
@Tag("end-to-end")
@Tag("one-jdk")
final class UpgradeIT {
    private static final String ADDRESS = "127.96.2.4";
    private static final Pattern STARTED = Pattern.compile("started process (\\d+)\n");

    @TempDir
    private Path directory;

    private final List<SluiceProcess> processes = new ArrayList<>();
    private final List<Long> started = new ArrayList<>();
    private final int port = NameServer.freePort(ADDRESS);
    private NameServer server;
    private Path link;

    UpgradeIT() throws IOException {}

    @BeforeEach
    void writeFeed() throws IOException {
        server = new NameServer("127.0.0.1", 0, "a");
        Files.writeString(directory.resolve("feed.yaml"), """
                apiVersion: v1
                kind: Service
                metadata: {name: web, namespace: it}
                spec: {clusterIP: %s, ports: [{port: %d, protocol: TCP}]}
                ---
                apiVersion: discovery.k8s.io/v1
                kind: EndpointSlice
                metadata: {name: web-1, namespace: it, labels: {kubernetes.io/service-name: web}}
                addressType: IPv4
                ports: [{name: "", port: %d, protocol: TCP}]
                endpoints: [{addresses: ["127.0.0.1"], conditions: {ready: true}}]
                """.formatted(ADDRESS, port, server.port()));
        link = directory.resolve("sluice");
        Files.createSymbolicLink(link, SluiceProcess.HOME);
    }

    private SluiceProcess start(String... more) throws IOException {
        return start(Map.of(), more);
    }

    private SluiceProcess start(Map<String, String> environment, String... more) throws IOException {
        List<String> args = new ArrayList<>(List.of(
                "run",
                "--healthz-bind-address=",
                "--metrics-bind-address=",
                "--handover-socket=handover.sock",
                "--admin-socket=admin.sock",
                "--feed=feed.yaml"));
        args.addAll(List.of(more));
        SluiceProcess first =
                SluiceProcess.start(directory, link.resolve("bin/sluice"), environment, args.toArray(String[]::new));
        processes.add(first);
        await().atMost(Duration.ofSeconds(30)).until(() -> first.err().contains("synced: "));
        await().until(() -> Files.exists(directory.resolve("admin.sock")));
        return first;
    }

    private SluiceProcess upgrade(String... more) throws Exception {
        List<String> args = new ArrayList<>(List.of("upgrade", "--admin-socket=admin.sock"));
        args.addAll(List.of(more));
        SluiceProcess upgrade = SluiceProcess.start(directory, args.toArray(String[]::new));
        upgrade.exitCode();
        Matcher process = STARTED.matcher(upgrade.out());
        if (process.lookingAt()) {
            started.add(Long.parseLong(process.group(1)));
        }
        return upgrade;
    }

    /** Switches the link to another distribution, as an operator does. */
    private void install(Path distribution) throws IOException {
        Path next = Files.createSymbolicLink(directory.resolve("next"), distribution);
        Files.move(next, link, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
    }

    private Path distribution(String name, String script) throws IOException {
        Path bin = Files.createDirectories(directory.resolve(name + "/bin"));
        Path launcher = Files.writeString(bin.resolve("sluice"), "#!/bin/sh\n" + script + "\n");
        Files.setPosixFilePermissions(launcher, PosixFilePermissions.fromString("rwxr-xr-x"));
        return directory.resolve(name);
    }

    @AfterEach
    void stop() throws Exception {
        processes.forEach(SluiceProcess::close);
        started.forEach(pid -> ProcessHandle.of(pid).ifPresent(ProcessHandle::destroyForcibly));
        server.close();
    }

    /** Returns whether a process exists; a process that has ended does until its parent reaps it. */
    private static boolean exists(long pid) {
        return Files.exists(Path.of("/proc/" + pid));
    }

    @Test
    void replacesTheProcessTwiceWithoutAFailedConnection() throws Exception {
        SluiceProcess first = start();
        AtomicBoolean stop = new AtomicBoolean();
        AtomicLong answered = new AtomicLong();
        ConcurrentLinkedQueue<String> failures = new ConcurrentLinkedQueue<>();
        Thread clients = new Thread(() -> {
            while (!stop.get()) {
                try {
                    assertThat(NameServer.ask(ADDRESS, port)).isEqualTo("a");
                    answered.incrementAndGet();
                } catch (IOException | AssertionError e) {
                    failures.add(e.toString());
                }
            }
        });
        clients.start();
        install(distribution("0.2", "export MARK=second; exec '" + SluiceProcess.HOME + "/bin/sluice' \"$@\""));
        SluiceProcess upgrade = upgrade();
        assertThat(upgrade.exitCode()).as(upgrade.err() + first.err()).isZero();
        long second = started.get(0);
        assertThat(upgrade.out().lines())
                .hasSize(3)
                .element(1)
                .asString()
                .matches("process " + second + " \\(\\S+\\) serves: received 1 frontend, 0 UDP flows,"
                        + " \\d+ connections? in \\d+\\.\\d s.*");
        assertThat(upgrade.out()).contains("process " + first.pid() + " exited ");
        assertThat(first.exitCode()).isZero();
        assertThat(Files.readString(Path.of("/proc/" + second + "/environ"))).contains("MARK=second");
        assertThat(Files.readSymbolicLink(Path.of("/proc/" + second + "/cwd"))).isEqualTo(directory.toRealPath());
        // Both processes write to the same log.
        assertThat(first.err()).contains("upgrade: started process " + second, "received 1 frontend");
        try (SluiceProcess status = SluiceProcess.start(directory, "status", "--admin-socket=admin.sock")) {
            assertThat(status.exitCode()).as(status.err()).isZero();
            assertThat(status.out())
                    .contains("handover   received 1 frontend", "from process " + first.pid())
                    .contains("pid " + second);
        }
        // The launcher of the second process is the script, so the third one has the same variable.
        assertThat(upgrade().exitCode()).isZero();
        stop.set(true);
        clients.join();
        assertThat(failures).isEmpty();
        assertThat(answered.get()).isGreaterThan(100);
        assertThat(started).doesNotHaveDuplicates().hasSize(2);
    }

    @Test
    void continuesToServeIfTheNewProcessFailsAndCanTryAgain() throws Exception {
        SluiceProcess first = start();
        install(distribution("broken", "ls -l /proc/$$/fd > fds; echo broken >&2; exit 7"));
        SluiceProcess failed = upgrade();
        assertThat(failed.exitCode()).isEqualTo(1);
        assertThat(failed.err())
                .isEqualTo("sluice: upgrade failed: process " + started.get(0) + " exited with code 7 before the"
                        + " handover; its log gives the reason; process " + first.pid() + " continues to serve\n");
        assertThat(first.err()).contains("broken\n", "WARN  upgrade failed: process " + started.get(0));
        assertThat(Files.readString(directory.resolve("fds"))).doesNotContain("socket:", "eventpoll", ".jar");
        assertThat(exists(started.get(0))).as("no zombie").isFalse();
        assertThat(NameServer.ask(ADDRESS, port)).isEqualTo("a");

        install(distribution("slow", "exec sleep 60"));
        SluiceProcess slow = upgrade("--timeout=1s");
        assertThat(slow.exitCode()).isEqualTo(1);
        assertThat(slow.err()).contains("did not take over within 1 s and was stopped");
        assertThat(exists(started.get(1))).as("no zombie").isFalse();
        assertThat(NameServer.ask(ADDRESS, port)).isEqualTo("a");

        install(SluiceProcess.HOME);
        assertThat(upgrade().exitCode()).isZero();
        assertThat(first.exitCode()).isZero();
        assertThat(NameServer.ask(ADDRESS, port)).isEqualTo("a");
    }

    /** As systemd does for a unit of type notify with {@code NotifyAccess=all}. */
    @Test
    void reportsTheMainProcessToTheServiceManager() throws Exception {
        String path = directory.resolve("notify").toString();
        try (NotifySocket manager = new NotifySocket(path)) {
            SluiceProcess first = start(Map.of("NOTIFY_SOCKET", path));
            await().until(() -> manager.messages().size() == 1);
            SluiceProcess upgrade = upgrade();
            assertThat(upgrade.exitCode()).as(upgrade.err() + first.err()).isZero();
            long second = started.get(0);
            ProcessHandle.of(second).orElseThrow().destroy();
            await().atMost(Duration.ofSeconds(30)).until(() -> !exists(second));
            assertThat(manager.messages())
                    .containsExactly(
                            "READY=1\nMAINPID=" + first.pid() + "\nSTATUS=serving",
                            "MAINPID=" + second,
                            "READY=1\nMAINPID=" + second + "\nSTATUS=serving",
                            "STOPPING=1\nSTATUS=draining open connections");
        }
    }

    @Test
    void rejectsAnUpgradeInAPod() throws Exception {
        SluiceProcess first = start("--exit-after-handover=false");
        SluiceProcess upgrade = upgrade();
        assertThat(upgrade.exitCode()).isEqualTo(1);
        assertThat(upgrade.out()).isEmpty();
        assertThat(upgrade.err()).hasLineCount(1).contains("update the DaemonSet or the image instead");
        assertThat(first.isAlive()).isTrue();
    }
}
