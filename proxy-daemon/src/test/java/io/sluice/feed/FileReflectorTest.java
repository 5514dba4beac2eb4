package io.sluice.feed;

import static java.nio.file.StandardOpenOption.APPEND;
import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import io.sluice.document.Problem;
import io.sluice.model.ServiceSnapshot;
import io.sluice.rules.BuildOptions;
import io.sluice.rules.Dump;
import io.sluice.rules.Manifests;
import io.sluice.thread.Supervisor;
import java.io.BufferedWriter;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** From files to snapshots, with real threads and notifications of the kernel. */
@Timeout(60)
class FileReflectorTest {
    private static final BuildOptions OPTIONS = BuildOptions.on("");
    private static final String WEB = Manifests.service("web", "10.96.0.1");
    private static final String WEB_LINE = "default/web 10.96.0.1:80/tcp -> ";

    @TempDir
    @SuppressWarnings("NullAway.Init") // JUnit sets it
    Path root;

    private final List<ServiceSnapshot> applied = new CopyOnWriteArrayList<>();
    private final SyncLoop loop =
            new SyncLoop(OPTIONS, applied::add, (problem, appeared) -> {}, (nanos, triggers) -> {});
    private Path directory = Path.of("unset");
    private FileReflector reflector = new FileReflector(directory, BuildOptions.on("n1"), loop);

    @BeforeEach
    void start() throws IOException {
        directory = Files.createDirectory(root.resolve("feed"));
        loop.start(new Supervisor());
    }

    @AfterEach
    void close() {
        reflector.close();
        loop.close();
    }

    private void follow(Path feed) {
        reflector = new FileReflector(feed, BuildOptions.on("n1"), loop);
        reflector.start(new Supervisor());
    }

    /** Simulates a read on a network file system that does not answer, which must not block {@code close}. */
    @Test
    void reportsAReadThatDoesNotEndAndClosesWithoutWaitingForIt() throws Exception {
        write("web.yaml", WEB);
        AtomicLong nanos = new AtomicLong();
        Supervisor supervisor = new Supervisor(nanos::get);
        CountDownLatch reading = new CountDownLatch(1);
        CountDownLatch never = new CountDownLatch(1);
        reflector = new FileReflector(directory, BuildOptions.on("n1"), (changes, complete) -> {
            reading.countDown();
            awaitUninterrupted(never);
        });
        reflector.start(supervisor);
        reading.await();
        assertThat(supervisor.failures()).isEmpty();
        nanos.addAndGet(Duration.ofSeconds(61).toNanos());
        assertThat(supervisor.failures())
                .singleElement()
                .extracting(Supervisor.Failure::thread)
                .isEqualTo("sluice-feed");
        reflector.rescan();
        reflector.close();
        assertThat(supervisor.failures()).as("after close").isEmpty();
        never.countDown();
    }

    private static void awaitUninterrupted(CountDownLatch latch) {
        for (boolean done = false; !done; ) {
            try {
                latch.await();
                done = true;
            } catch (InterruptedException e) {
                // read(2) of a file cannot be interrupted either.
                done = false;
            }
        }
    }

    private void write(String name, String text) throws IOException {
        Files.writeString(directory.resolve(name), text);
    }

    private void rename(String name, String text) throws IOException {
        Path draft = Files.writeString(root.resolve("draft"), text);
        Files.move(draft, directory.resolve(name), StandardCopyOption.ATOMIC_MOVE);
    }

    private void awaitDump(String dump) {
        await().pollInterval(Duration.ofMillis(5))
                .untilAsserted(() -> assertThat(Dump.of(loop.snapshot())).isEqualTo(dump));
    }

    private void awaitProblems(String... problems) {
        await().pollInterval(Duration.ofMillis(5))
                .untilAsserted(() -> assertThat(loop.problems())
                        .extracting(Problem::toString)
                        .containsExactly(problems));
    }

    /** The next thread offers what was read before the thread died, though no file has changed since. */
    @Test
    void losesNothingWhenTheThreadDies() throws IOException {
        write("a.yaml", WEB);
        AtomicInteger offered = new AtomicInteger();
        reflector = new FileReflector(directory, BuildOptions.on("n1"), (changes, complete) -> {
            if (offered.incrementAndGet() < 3) {
                throw new StackOverflowError("simulated");
            }
            loop.offer(changes, complete);
        });
        Supervisor supervisor = new Supervisor();
        reflector.start(supervisor);
        awaitDump(WEB_LINE + "REJECT");
        write("b.yaml", Manifests.service("api", "10.96.0.2"));
        await().untilAsserted(() -> assertThat(loop.snapshot().size()).isEqualTo(2));
        assertThat(supervisor.failures()).isEmpty();
    }

    @Test
    void appliesRenamedAndWrittenFiles() throws IOException {
        write("web.yaml", WEB);
        follow(directory);
        awaitDump(WEB_LINE + "REJECT");
        rename("slice.yaml", Manifests.slice("web", "10.1.0.1"));
        awaitDump(WEB_LINE + "10.1.0.1:8080");
        write("slice.yaml", Manifests.slice("web", "10.1.0.2"));
        awaitDump(WEB_LINE + "10.1.0.2:8080");
        rename("slice.yaml", Manifests.slice("web", "10.1.0.3"));
        awaitDump(WEB_LINE + "10.1.0.3:8080");
        Files.delete(directory.resolve("slice.yaml"));
        awaitDump(WEB_LINE + "REJECT");
        Files.delete(directory.resolve("web.yaml"));
        awaitDump("");
    }

    @Test
    void neverAppliesAPartOfAFileWrittenInPlace() throws IOException {
        String whole = WEB + Manifests.slice("web", "10.1.0.1");
        write("web.yaml", whole);
        follow(directory);
        awaitDump(WEB_LINE + "10.1.0.1:8080");
        write("web.yaml", WEB);
        rename("other.yaml", Manifests.service("other", "10.96.0.2"));
        Files.writeString(directory.resolve("web.yaml"), Manifests.slice("web", "10.1.0.2"), APPEND);
        awaitDump("default/other 10.96.0.2:80/tcp -> REJECT\n" + WEB_LINE + "10.1.0.2:8080");
        assertThat(applied).allSatisfy(snapshot -> assertThat(Dump.of(snapshot)).doesNotContain(WEB_LINE + "REJECT"));
    }

    @Test
    void doesNotApplyASnapshotForARename() throws IOException {
        write("a.yaml", WEB);
        follow(directory);
        awaitDump(WEB_LINE + "REJECT");
        Files.move(directory.resolve("a.yaml"), directory.resolve("b.yaml"));
        rename("c.yaml", Manifests.service("x", "bad"));
        awaitProblems("c.yaml: Service default/x: spec.clusterIP: 'bad' is not an IPv4 or IPv6 address");
        Files.move(directory.resolve("c.yaml"), directory.resolve("d.yaml"));
        awaitProblems("d.yaml: Service default/x: spec.clusterIP: 'bad' is not an IPv4 or IPv6 address");
        assertThat(applied).hasSize(1);
    }

    @Test
    void appliesTheSwapOfAConfigMapMount() throws IOException {
        Path one = Files.createDirectory(directory.resolve("..one"));
        Path two = Files.createDirectory(directory.resolve("..two"));
        Files.writeString(one.resolve("a.yaml"), WEB);
        Files.writeString(two.resolve("a.yaml"), WEB + Manifests.slice("web", "10.1.0.1"));
        Files.createSymbolicLink(directory.resolve("..data"), one.getFileName());
        Files.createSymbolicLink(directory.resolve("a.yaml"), Path.of("..data/a.yaml"));
        follow(directory);
        awaitDump(WEB_LINE + "REJECT");
        Path next = Files.createSymbolicLink(directory.resolve("..data_tmp"), two.getFileName());
        Files.move(next, directory.resolve("..data"), StandardCopyOption.ATOMIC_MOVE);
        awaitDump(WEB_LINE + "10.1.0.1:8080");
    }

    @Test
    void watchesADirectoryThatIsReplaced() throws IOException {
        write("a.yaml", WEB);
        follow(directory);
        awaitDump(WEB_LINE + "REJECT");
        Path away = Files.move(directory, root.resolve("away"));
        awaitProblems(directory + ": no longer exists; its last state is kept until it exists again");
        assertThat(Dump.of(loop.snapshot())).isEqualTo(WEB_LINE + "REJECT");
        Files.createDirectory(directory);
        write("a.yaml", WEB + Manifests.slice("web", "10.1.0.1"));
        awaitDump(WEB_LINE + "10.1.0.1:8080");
        awaitProblems();
        Files.writeString(away.resolve("a.yaml"), "the directory that was watched before");
        rename("b.yaml", Manifests.service("b", "10.96.0.2"));
        awaitDump("default/b 10.96.0.2:80/tcp -> REJECT\n" + WEB_LINE + "10.1.0.1:8080");
    }

    @Test
    void waitsForASingleFileAndKeepsItsStateWhenItIsRemoved() throws IOException {
        Path file = directory.resolve("cluster.yaml");
        follow(file);
        awaitProblems(file + ": does not exist; waiting for it");
        assertThat(applied).isEmpty();
        rename("cluster.yaml", WEB);
        awaitDump(WEB_LINE + "REJECT");
        Files.delete(file);
        awaitProblems(file + ": no longer exists; its last state is kept until it exists again");
        rename("cluster.yaml", WEB + Manifests.slice("web", "10.1.0.1"));
        awaitDump(WEB_LINE + "10.1.0.1:8080");
        awaitProblems();
        rename("cluster.yaml", "kind: [");
        await().until(() -> !loop.problems().isEmpty());
        assertThat(Dump.of(loop.snapshot())).isEqualTo(WEB_LINE + "10.1.0.1:8080");
        rename("cluster.yaml", "apiVersion: v1\nkind: List\nitems: []\n");
        awaitDump("");
        awaitProblems();
    }

    @Test
    void readsAFeedOnce() throws IOException {
        write("a.yaml", WEB + "---\n{apiVersion: v1, kind: Pod}\n");
        write("b.yaml", WEB);
        FileReflector.Reading reading = FileReflector.read(directory, OPTIONS, List.of());
        assertThat(Dump.of(reading.snapshot())).isEqualTo(WEB_LINE + "REJECT");
        assertThat(reading.problems())
                .extracting(Problem::toString)
                .containsExactly(
                        "a.yaml: 1 object of kind Pod ignored",
                        "a.yaml: Service default/web: has no EndpointSlice, so connections are rejected",
                        "b.yaml: Service default/web: also defined in a.yaml, which sorts first by name;"
                                + " this definition is ignored");

        FileReflector.Reading missing = FileReflector.read(root.resolve("none"), OPTIONS, List.of());
        assertThat(missing.problems()).singleElement().satisfies(problem -> {
            assertThat(problem.severity()).isEqualTo(Problem.Severity.ERROR);
            assertThat(problem.message()).startsWith("does not exist");
        });
    }

    @Test
    void readsTwentyMegabytes() throws IOException {
        Path file = directory.resolve("cluster.yaml");
        int services = 0;
        try (BufferedWriter out = Files.newBufferedWriter(file)) {
            out.write("apiVersion: v1\nitems:\n");
            for (long size = 0; size < 20_000_000; services++) {
                String item = """
                        - apiVersion: v1
                          kind: Service
                          metadata: {name: s%d, annotations: {note: '%s'}}
                          spec: {clusterIP: 10.0.%d.%d, ports: [{port: 80}]}
                        """.formatted(services, "x".repeat(2000), services / 256, services % 256);
                out.write(item);
                size += item.length();
            }
            out.write("kind: List\n");
        }
        FileReflector.Reading reading = FileReflector.read(file, OPTIONS, List.of());
        assertThat(reading.problems())
                .hasSize(services)
                .allSatisfy(problem -> assertThat(problem.message()).startsWith("has no EndpointSlice"));
        assertThat(reading.snapshot().size()).isEqualTo(services);
    }
}
