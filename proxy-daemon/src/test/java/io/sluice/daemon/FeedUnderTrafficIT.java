package io.sluice.daemon;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import io.sluice.demo.DemoServers;
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

/** Whatever is done to the files of a feed, a client that asks all the while is never turned away. */
@Tag("end-to-end")
@Timeout(120)
final class FeedUnderTrafficIT {
    private static final String ADDRESS = "127.96.3.1";

    @TempDir
    private Path folder;

    private final NameServer one;
    private final NameServer two;
    private final int port;
    private final AtomicInteger answers = new AtomicInteger();
    private final Set<String> names = ConcurrentHashMap.newKeySet();
    private final Queue<String> lost = new ConcurrentLinkedQueue<>();
    private final Thread client = new Thread(this::askOnAndOn, "client");
    private volatile boolean done;

    FeedUnderTrafficIT() throws IOException {
        port = DemoServers.freePort(8088, ADDRESS);
        one = new NameServer("127.10.3.1", 0, "one");
        two = new NameServer("127.10.3.2", 0, "two");
    }

    @BeforeEach
    void makeFeed() throws IOException {
        Files.createDirectory(folder.resolve("feed"));
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

    private String toOne() {
        return manifest("127.10.3.1", one);
    }

    private String toTwo() {
        return manifest("127.10.3.2", two);
    }

    private void rename(String text) throws IOException {
        Path draft = Files.writeString(folder.resolve("draft"), text);
        Files.move(draft, folder.resolve("feed/web.yaml"), StandardCopyOption.ATOMIC_MOVE);
    }

    private Sluice start() throws IOException {
        Sluice sluice = Sluice.start(
                folder, "run", "--feed=feed", "--healthz-bind-address=127.0.0.1:0", "--metrics-bind-address=off");
        RunIT.awaitReady(sluice);
        await().until(() -> sluice.err().contains("active"));
        client.start();
        return sluice;
    }

    private void askOnAndOn() {
        while (!done) {
            try {
                String name = NameServer.ask(ADDRESS, port);
                names.add(name);
                if (name.isEmpty()) {
                    lost.add("no answer");
                }
            } catch (IOException e) {
                lost.add(e.toString());
            }
            answers.incrementAndGet();
        }
    }

    private void awaitAnswerOf(String name) {
        names.clear();
        await().atMost(RunIT.PATIENCE).until(() -> names.contains(name));
    }

    private void awaitMoreAnswers() {
        int before = answers.get();
        await().atMost(RunIT.PATIENCE).until(() -> answers.get() > before + 20);
    }

    private void finish() throws InterruptedException {
        done = true;
        client.join();
        assertThat(lost).isEmpty();
    }

    @Test
    void aFileSwappedAThousandTimes() throws Exception {
        rename(toOne());
        try (Sluice sluice = start()) {
            for (int i = 0; i < 500; i++) {
                rename(toTwo());
                rename(toOne());
            }
            rename(toTwo());
            awaitAnswerOf("two");
            finish();
            assertThat(sluice.err()).doesNotContain("WARN");
        }
    }

    @Test
    void brokenHalfEmptyAndUnreadableFiles() throws Exception {
        rename(toOne());
        try (Sluice sluice = start()) {
            Path file = folder.resolve("feed/web.yaml");
            Files.writeString(file, toTwo().substring(0, toTwo().indexOf("ports")));
            await().atMost(RunIT.PATIENCE).until(() -> sluice.err().contains("web.yaml: line "));
            rename("kind: [");
            awaitMoreAnswers();
            rename("");
            await().atMost(RunIT.PATIENCE).until(() -> sluice.err().contains("holds no document"));
            Files.delete(file);
            assertThat(new ProcessBuilder("mkfifo", file.toString()).start().waitFor())
                    .isZero();
            await().atMost(RunIT.PATIENCE).until(() -> sluice.err().contains("but a pipe, a socket or a device"));
            awaitMoreAnswers();
            rename(toTwo());
            awaitAnswerOf("two");
            finish();
        }
    }

    @Test
    void aFolderDeletedAndMadeAgain() throws Exception {
        rename(toOne());
        try (Sluice sluice = start()) {
            Files.move(folder.resolve("feed"), folder.resolve("away"));
            await().atMost(RunIT.PATIENCE).until(() -> sluice.err().contains("feed: is gone; its last state is kept"));
            awaitMoreAnswers();
            Files.createDirectory(folder.resolve("making"));
            Files.writeString(folder.resolve("making/web.yaml"), toTwo());
            Files.move(folder.resolve("making"), folder.resolve("feed"));
            awaitAnswerOf("two");
            finish();
        }
    }

    @Test
    void theSwapOfAConfigMapMount() throws Exception {
        Path feed = folder.resolve("feed");
        Files.writeString(Files.createDirectory(feed.resolve("..1")).resolve("web.yaml"), toOne());
        Files.writeString(Files.createDirectory(feed.resolve("..2")).resolve("web.yaml"), toTwo());
        Files.createSymbolicLink(feed.resolve("..data"), Path.of("..1"));
        Files.createSymbolicLink(feed.resolve("web.yaml"), Path.of("..data/web.yaml"));
        try (Sluice sluice = start()) {
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
