package io.sluice.daemon;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.Queue;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** While the files of a feed change in many ways, a client that connects all the time never fails. */
@Tag("end-to-end")
@Timeout(120)
@Tag("one-jdk")
final class FeedUnderTrafficIT {
    private static final String ADDRESS = "127.96.3.1";

    @TempDir
    private Path directory;

    private final NameServer one;
    private final NameServer two;
    private final int port;
    private final AtomicInteger answers = new AtomicInteger();
    private final Set<String> names = ConcurrentHashMap.newKeySet();
    private final Queue<String> failures = new ConcurrentLinkedQueue<>();
    private final Thread client = new Thread(this::connectRepeatedly, "client");
    private volatile boolean stop;

    FeedUnderTrafficIT() throws IOException {
        port = NameServer.freePort(ADDRESS);
        one = new NameServer("127.10.3.1", 0, "one");
        two = new NameServer("127.10.3.2", 0, "two");
    }

    @BeforeEach
    void makeFeed() throws IOException {
        Files.createDirectory(directory.resolve("feed"));
    }

    @AfterEach
    void closeServers() throws IOException {
        one.close();
        two.close();
    }

    private String manifest(String address, NameServer server) {
        return """
                apiVersion: v1
                kind: Service
                metadata: {name: web}
                spec: {clusterIP: %s, ports: [{port: %d}]}
                ---
                apiVersion: discovery.k8s.io/v1
                kind: EndpointSlice
                metadata: {name: web-1, labels: {kubernetes.io/service-name: web}}
                addressType: IPv4
                ports: [{port: %d}]
                endpoints: [{addresses: [%s]}]
                """.formatted(ADDRESS, port, server.port(), address);
    }

    private String manifestForOne() {
        return manifest("127.10.3.1", one);
    }

    private String manifestForTwo() {
        return manifest("127.10.3.2", two);
    }

    private void replaceFeedFile(String text) throws IOException {
        Path draft = Files.writeString(directory.resolve("draft"), text);
        Files.move(draft, directory.resolve("feed/web.yaml"), StandardCopyOption.ATOMIC_MOVE);
    }

    private SluiceProcess start() throws IOException {
        SluiceProcess sluice = SluiceProcess.start(
                directory, "run", "--feed=feed", "--healthz-bind-address=127.0.0.1:0", "--metrics-bind-address=off");
        RunIT.awaitReady(sluice);
        await().until(() -> sluice.err().contains("active"));
        client.start();
        return sluice;
    }

    private void connectRepeatedly() {
        while (!stop) {
            try {
                String name = NameServer.ask(ADDRESS, port);
                names.add(name);
                if (name.isEmpty()) {
                    failures.add("no answer");
                }
            } catch (IOException e) {
                failures.add(e.toString());
            }
            answers.incrementAndGet();
        }
    }

    private void awaitAnswerOf(String name) {
        names.clear();
        await().atMost(RunIT.TIMEOUT).until(() -> names.contains(name));
    }

    private void awaitMoreAnswers() {
        int before = answers.get();
        await().atMost(RunIT.TIMEOUT).until(() -> answers.get() > before + 20);
    }

    private void finish() throws InterruptedException {
        stop = true;
        client.join();
        assertThat(failures).isEmpty();
    }

    @Test
    void keepsServingThroughAThousandFileReplacements() throws Exception {
        replaceFeedFile(manifestForOne());
        try (SluiceProcess sluice = start()) {
            for (int i = 0; i < 500; i++) {
                replaceFeedFile(manifestForTwo());
                replaceFeedFile(manifestForOne());
            }
            replaceFeedFile(manifestForTwo());
            awaitAnswerOf("two");
            finish();
            assertThat(sluice.err()).doesNotContain("WARN");
        }
    }

    @Test
    void keepsServingWithBrokenEmptyAndUnreadableFiles() throws Exception {
        replaceFeedFile(manifestForOne());
        try (SluiceProcess sluice = start()) {
            Path file = directory.resolve("feed/web.yaml");
            Files.writeString(
                    file, manifestForTwo().substring(0, manifestForTwo().indexOf("ports")));
            await().atMost(RunIT.TIMEOUT).until(() -> sluice.err().contains("web.yaml: line "));
            replaceFeedFile("kind: [");
            awaitMoreAnswers();
            replaceFeedFile("");
            await().atMost(RunIT.TIMEOUT).until(() -> sluice.err().contains("contains no document"));
            Files.delete(file);
            assertThat(new ProcessBuilder("mkfifo", file.toString()).start().waitFor())
                    .isZero();
            await().atMost(RunIT.TIMEOUT).until(() -> sluice.err().contains("but a pipe, a socket or a device"));
            awaitMoreAnswers();
            replaceFeedFile(manifestForTwo());
            awaitAnswerOf("two");
            finish();
        }
    }

    @Test
    void keepsServingWhileTheDirectoryIsReplaced() throws Exception {
        replaceFeedFile(manifestForOne());
        try (SluiceProcess sluice = start()) {
            Files.move(directory.resolve("feed"), directory.resolve("away"));
            await().atMost(RunIT.TIMEOUT)
                    .until(() -> sluice.err().contains("feed: no longer exists; its last state is kept"));
            awaitMoreAnswers();
            Files.createDirectory(directory.resolve("making"));
            Files.writeString(directory.resolve("making/web.yaml"), manifestForTwo());
            Files.move(directory.resolve("making"), directory.resolve("feed"));
            awaitAnswerOf("two");
            finish();
        }
    }

    @Test
    void followsTheSwapOfAConfigMapMount() throws Exception {
        Path feed = directory.resolve("feed");
        Files.writeString(Files.createDirectory(feed.resolve("..1")).resolve("web.yaml"), manifestForOne());
        Files.writeString(Files.createDirectory(feed.resolve("..2")).resolve("web.yaml"), manifestForTwo());
        Files.createSymbolicLink(feed.resolve("..data"), Path.of("..1"));
        Files.createSymbolicLink(feed.resolve("web.yaml"), Path.of("..data/web.yaml"));
        try (SluiceProcess sluice = start()) {
            for (String next : new String[] {"..2", "..1", "..2"}) {
                Files.createSymbolicLink(feed.resolve("..data_tmp"), Path.of(next));
                Files.move(feed.resolve("..data_tmp"), feed.resolve("..data"), StandardCopyOption.ATOMIC_MOVE);
                awaitAnswerOf(next.equals("..1") ? "one" : "two");
            }
            finish();
            assertThat(sluice.err()).doesNotContain("WARN");
        }
    }
}
