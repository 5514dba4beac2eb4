package io.sluice.feed;

import static java.nio.file.StandardOpenOption.APPEND;
import static org.assertj.core.api.Assertions.assertThat;

import io.sluice.rules.Manifests;
import io.sluice.rules.ObjectStore.SourceState;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.attribute.FileTime;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Instant;
import java.util.List;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** Scans of real files with a manual clock: when files are read, and which state is kept. */
class FeedTest {
    private static final String WEB = Manifests.service("web", "10.96.0.1");
    private static final String API = Manifests.service("api", "10.96.0.2");

    @TempDir
    @SuppressWarnings("NullAway.Init") // JUnit sets it
    Path root;

    private Path directory = Path.of("unset");
    private Feed feed = new Feed(directory, "");
    private long now;
    private Feed.@Nullable Scan last;

    @BeforeEach
    void createDirectory() throws IOException {
        directory = Files.createDirectory(root.resolve("feed"));
        feed = new Feed(directory, "");
    }

    /** Scans the feed and returns a line for each change, such as {@code file: objects ! problem}. */
    private List<String> scan(String... written) {
        Feed.Scan scan = feed.scan(now, Set.of(written));
        last = scan;
        return new TreeMap<>(scan.changes())
                .entrySet().stream().map(e -> print(e.getKey(), e.getValue())).toList();
    }

    private static String print(String source, SourceState state) {
        StringBuilder line = new StringBuilder(source).append(":");
        state.objects().forEach(object -> line.append(' ').append(object.key().name()));
        line.append(state.partial() ? " as before" : "");
        state.problems().forEach(problem -> line.append(" ! ").append(problem.message()));
        return line.toString();
    }

    private Feed.Scan lastScan() {
        Feed.Scan scan = last;
        if (scan == null) {
            throw new AssertionError("no scan yet");
        }
        return scan;
    }

    private void passMillis(long millis) {
        now += TimeUnit.MILLISECONDS.toNanos(millis);
    }

    private Path write(String name, String text) throws IOException {
        return Files.writeString(directory.resolve(name), text);
    }

    /** Renames a complete file into place. Its modification time is earlier, as it normally is outside of tests. */
    private void rename(String name, String text) throws IOException {
        Path draft = Files.writeString(root.resolve("draft"), text);
        Files.setLastModifiedTime(draft, FileTime.from(Instant.now().minusSeconds(60)));
        Files.move(draft, directory.resolve(name), StandardCopyOption.ATOMIC_MOVE);
    }

    @Test
    void readsOnlyManifestsOfADirectory() throws IOException {
        write("b.yml", API);
        write("a.yaml", WEB);
        write("c.json", "{\"kind\": \"List\", \"apiVersion\": \"v1\", \"items\": []}");
        write(".hidden.yaml", "no");
        write("notes.txt", "no");
        Files.createDirectory(directory.resolve("below"));
        Files.writeString(directory.resolve("below/d.yaml"), WEB);

        assertThat(scan()).containsExactly("a.yaml: web", "b.yml: api", "c.json:");
        assertThat(lastScan().complete()).isTrue();
        assertThat(lastScan().waitNanos()).isEqualTo(Long.MAX_VALUE);
        assertThat(scan()).as("unchanged files are not read again").isEmpty();
    }

    @Test
    void readsARenamedFileImmediately() throws IOException {
        write("a.yaml", WEB);
        scan();
        rename("a.yaml", API);
        assertThat(scan()).containsExactly("a.yaml: api");
        rename("new.yaml", WEB);
        assertThat(scan()).containsExactly("new.yaml: web");
    }

    @Test
    void readsAFileWrittenAndRenamedWithinOneTickAfterAShortDelay() throws IOException {
        write("other.yaml", "apiVersion: v1\nkind: List\n");
        scan();
        write("a.yaml", WEB);
        assertThat(scan()).isEmpty();
        passMillis(10);
        assertThat(scan()).as("no write was seen").containsExactly("a.yaml: web");
    }

    @Test
    void readsAFileWrittenInPlaceWhenItStopsChanging() throws IOException {
        write("a.yaml", WEB);
        scan();
        Path file = write("a.yaml", API.substring(0, 40));
        assertThat(scan("a.yaml")).isEmpty();
        assertThat(lastScan().waitNanos()).isEqualTo(WriteSettleTimer.SETTLE_NANOS);
        passMillis(299);
        assertThat(scan()).isEmpty();
        Files.writeString(file, API.substring(40), APPEND);
        assertThat(scan("a.yaml")).isEmpty();
        passMillis(299);
        assertThat(scan()).isEmpty();
        passMillis(1);
        assertThat(scan()).containsExactly("a.yaml: api");
    }

    @Test
    void waitsForANewFileThatIsStillBeingWritten() throws IOException {
        write("other.yaml", "apiVersion: v1\nkind: List\n");
        scan();
        Path file = write("a.yaml", WEB);
        assertThat(scan()).isEmpty();
        passMillis(10);
        Files.writeString(file, API, APPEND);
        assertThat(scan("a.yaml")).isEmpty();
        passMillis(300);
        assertThat(scan()).containsExactly("a.yaml: web api");
    }

    @Test
    void waitsForANewFileWithoutAFileWatch() throws IOException {
        write("other.yaml", "apiVersion: v1\nkind: List\n");
        scan();
        write("a.yaml", WEB);
        assertThat(feed.scan(now, null).changes()).isEmpty();
        passMillis(299);
        assertThat(feed.scan(now, null).changes()).isEmpty();
        passMillis(1);
        assertThat(feed.scan(now, null).changes()).containsOnlyKeys("a.yaml");
    }

    @Test
    void keepsTheLastValidObjectsOfAnInvalidFile() throws IOException {
        rename("a.yaml", WEB);
        scan();
        rename("a.yaml", "kind: Service\n  name: [");
        assertThat(scan())
                .containsExactly("a.yaml: as before ! line 2, column 7: mapping values are not allowed here;"
                        + " its previous objects are kept");
        rename("a.yaml", API);
        assertThat(scan()).containsExactly("a.yaml: api");
    }

    @Test
    void reportsInvalidJsonWithItsPosition() throws IOException {
        rename("a.json", "{\"kind\": \"List\",\n \"items\": [}");
        assertThat(scan())
                .singleElement()
                .asString()
                .startsWith("a.json: as before ! line 2, column 12: Unexpected close marker");
        assertThat(lastScan().complete()).isFalse();
    }

    @Test
    void treatsAnEmptyFileAsIncomplete() throws IOException {
        rename("a.yaml", "# soon\n---\n");
        assertThat(scan()).singleElement().asString().startsWith("a.yaml: as before ! contains no document");
        assertThat(lastScan().complete()).as("there is no valid file yet").isFalse();
        rename("a.yaml", WEB);
        assertThat(scan()).containsExactly("a.yaml: web");
        assertThat(lastScan().complete()).isTrue();
        rename("a.yaml", "");
        assertThat(scan()).as("about to be written").isEmpty();
        passMillis(300);
        assertThat(scan()).singleElement().asString().startsWith("a.yaml: as before ! contains no document");
        rename("a.yaml", "apiVersion: v1\nkind: List\nitems: []\n");
        assertThat(scan()).containsExactly("a.yaml:");
    }

    @Test
    void dropsTheObjectsOfARemovedFile() throws IOException {
        write("a.yaml", WEB);
        Path b = write("b.yaml", API);
        write("c.yaml", Manifests.service("c", "10.96.0.3"));
        scan();
        Files.delete(b);
        assertThat(scan()).isEmpty();
        passMillis(20);
        assertThat(scan()).containsExactly("b.yaml:");
    }

    @Test
    void treatsARenameInTheDirectoryAsOneChange() throws IOException {
        Path a = write("a.yaml", WEB);
        scan();
        Files.move(a, directory.resolve("b.yaml"));
        assertThat(scan()).containsExactly("a.yaml:", "b.yaml: web");
    }

    @Test
    void checksOnlyChangedNamesIfTheyAreKnown() throws IOException {
        write("a.yaml", WEB);
        write("b.yaml", API);
        Files.createDirectory(directory.resolve("x.yaml"));
        scan();
        // Prevents reuse of the inode for c.yaml, which would then look like a.yaml with a new name.
        Files.createLink(root.resolve("kept"), directory.resolve("a.yaml"));
        rename("a.yaml", API);
        rename("b.yaml", WEB);
        rename("c.yaml", "kind: [");
        Feed.Scan some = feed.scan(now, Set.of(), Set.of("b.yaml", "c.yaml", "notes.txt"));
        assertThat(some.changes()).as("x.yaml was reported before").containsOnlyKeys("b.yaml", "c.yaml");
        Files.delete(directory.resolve("c.yaml"));
        some = feed.scan(now, Set.of(), Set.of("c.yaml"));
        assertThat(some.changes()).isEmpty();
        passMillis(20);
        some = feed.scan(now, Set.of(), Set.of());
        assertThat(some.changes()).as("missing since the last scan").containsOnlyKeys("c.yaml");
        assertThat(feed.scan(now, Set.of(), Set.of()).changes()).isEmpty();
        assertThat(scan()).containsExactly("a.yaml: api");
        Files.delete(directory.resolve("x.yaml"));
        some = feed.scan(now, Set.of(), Set.of("x.yaml"));
        assertThat(some.changes()).as("the problem is resolved").containsOnlyKeys("");
        Path away = Files.move(directory, root.resolve("away"));
        some = feed.scan(now, Set.of(), Set.of("a.yaml", "b.yaml"));
        assertThat(some.changes()).as("files of a missing directory are kept").containsOnlyKeys("");
        Files.move(away, directory);
        some = feed.scan(now, Set.of(), Set.of());
        assertThat(some.changes()).containsOnlyKeys("");
    }

    @Test
    void detectsTheSwapOfAConfigMapMount() throws IOException {
        Path one = Files.createDirectory(directory.resolve("..one"));
        Path two = Files.createDirectory(directory.resolve("..two"));
        Files.writeString(one.resolve("a.yaml"), WEB);
        Files.writeString(two.resolve("a.yaml"), API);
        Files.createSymbolicLink(directory.resolve("..data"), one.getFileName());
        Files.createSymbolicLink(directory.resolve("a.yaml"), Path.of("..data/a.yaml"));
        assertThat(scan()).containsExactly("a.yaml: web");
        Path next = Files.createSymbolicLink(directory.resolve("..data_tmp"), two.getFileName());
        Files.move(next, directory.resolve("..data"), StandardCopyOption.ATOMIC_MOVE);
        // Both targets were just written, so the new one may be incomplete.
        assertThat(scan()).isEmpty();
        passMillis(10);
        assertThat(scan()).containsExactly("a.yaml: api");
    }

    @Test
    void keepsAllObjectsWhileTheDirectoryIsMissing() throws IOException {
        write("a.yaml", WEB);
        scan();
        Path away = Files.move(directory, root.resolve("away"));
        assertThat(scan()).containsExactly(": ! no longer exists; its last state is kept until it exists again");
        passMillis(1000);
        assertThat(scan()).as("reported once").isEmpty();
        Files.move(away, directory);
        assertThat(scan()).as("the same files as before").containsExactly(":");
    }

    @Test
    void keepsAllObjectsWhileASingleFileIsMissing() throws IOException {
        Path file = write("cluster", WEB);
        feed = new Feed(file, "");
        assertThat(scan()).containsExactly("cluster: web");
        Files.delete(file);
        assertThat(scan()).containsExactly(": ! no longer exists; its last state is kept until it exists again");
        passMillis(1000);
        assertThat(scan()).isEmpty();
        rename("cluster", API);
        assertThat(scan()).containsExactly(":", "cluster: api");
    }

    @Test
    void waitsForAFeedThatDoesNotExist() throws IOException {
        feed = new Feed(root.resolve("later"), "");
        assertThat(scan()).containsExactly(": ! does not exist; waiting for it");
        assertThat(lastScan().complete()).isFalse();
        directory = Files.createDirectory(root.resolve("later"));
        rename("a.yaml", WEB);
        assertThat(scan()).containsExactly(":", "a.yaml: web");
        assertThat(lastScan().complete()).isTrue();
    }

    @Test
    void reportsAnEmptyDirectory() {
        assertThat(scan()).containsExactly(": ! contains no *.yaml, *.yml or *.json file");
        assertThat(lastScan().complete()).isTrue();
    }

    @Test
    void readsOtherFilesIfSomeCannotBeRead() throws IOException {
        Files.write(directory.resolve("a.yaml"), new byte[] {'a', ':', ' ', (byte) 0xe9, '\n'});
        Files.createSymbolicLink(directory.resolve("b.yaml"), Path.of("b.yaml"));
        Files.createSymbolicLink(directory.resolve("c.yaml"), Path.of("nowhere"));
        Files.createDirectory(directory.resolve("d.yaml"));
        write("e.yaml", "\uFEFF" + WEB);
        assertThat(scan())
                .containsExactly(
                        ": ! cannot be read: Too many levels of symbolic links or unable to access attributes of"
                                + " symbolic link ! is a symbolic link to a file that does not exist ! is a directory; subdirectories of"
                                + " a feed are not read",
                        "a.yaml: as before ! cannot be read: not UTF-8 text",
                        "e.yaml: web");
    }

    /** Opening a pipe blocks until there is a writer, and reading a device may never end. */
    @Test
    @Timeout(value = 10, threadMode = Timeout.ThreadMode.SEPARATE_THREAD)
    void doesNotReadAPipeOrADevice() throws Exception {
        Path pipe = directory.resolve("a.yaml");
        assertThat(new ProcessBuilder("mkfifo", pipe.toString()).start().waitFor())
                .isZero();
        Files.createSymbolicLink(directory.resolve("b.yaml"), Path.of("/dev/zero"));
        write("c.yaml", WEB);
        String message = "is not a regular file, but a pipe, a socket or a device";
        assertThat(scan()).containsExactly(": ! " + message + " ! " + message, "c.yaml: web");
        Files.delete(pipe);
        rename("a.yaml", API);
        assertThat(scan()).containsExactly(": ! " + message, "a.yaml: api");
        feed = new Feed(Path.of("/dev/zero"), "");
        assertThat(scan()).containsExactly(": ! " + message);
        assertThat(lastScan().complete()).isFalse();
    }

    @Test
    void keepsTheObjectsOfAFileThatIsReplacedByADirectory() throws IOException {
        Path file = write("a.yaml", WEB);
        scan();
        Files.delete(file);
        Files.createDirectory(file);
        assertThat(scan()).containsExactly(": ! is a directory; subdirectories of a feed are not read");
        passMillis(1000);
        assertThat(scan()).isEmpty();
    }

    @Test
    void isNotCompleteIfNoFileCanBeRead() throws IOException {
        Files.createSymbolicLink(directory.resolve("a.yaml"), Path.of("nowhere"));
        assertThat(scan()).containsExactly(": ! is a symbolic link to a file that does not exist");
        assertThat(lastScan().complete()).isFalse();
    }

    @Test
    void reportsAFileWithoutPermission() throws IOException {
        Path file = write("a.yaml", WEB);
        Files.setPosixFilePermissions(file, PosixFilePermissions.fromString("---------"));
        Assumptions.assumeFalse(Files.isReadable(file), "root reads everything");
        assertThat(scan()).containsExactly("a.yaml: as before ! cannot be read: permission denied");
    }

    @Test
    void rejectsDuplicateKeysAndUndefinedAliases() throws IOException {
        rename("a.yaml", "x: 1\ny: *here\n");
        rename("b.yaml", "x: {a: 1, a: 2}\n");
        assertThat(scan())
                .containsExactly(
                        "a.yaml: as before ! line 2, column 4: undefined alias *here",
                        "b.yaml: as before ! line 1, column 12: duplicate key 'a'");
    }

    @Test
    void readsTheOtherDocumentsOfAFileWithAnInvalidOne() throws IOException {
        rename("a.yaml", WEB + "---\n" + API);
        assertThat(scan()).containsExactly("a.yaml: web api");
        rename("a.yaml", WEB + "---\nkind: Service\n  name: [\n---\n" + Manifests.service("new", "10.96.0.9"));
        assertThat(scan())
                .as("the invalid document may be api")
                .singleElement()
                .asString()
                .matches("a\\.yaml: web new as before ! line \\d+, column 7: mapping values are not allowed here;"
                        + " its previous objects are kept");
        rename("a.yaml", WEB);
        assertThat(scan()).containsExactly("a.yaml: web");
    }
}
