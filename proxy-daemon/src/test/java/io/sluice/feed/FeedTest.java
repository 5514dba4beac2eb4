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

/** Real files, a clock that is set by hand: what is read when, and what is kept. */
class FeedTest {
    private static final String WEB = Manifests.service("web", "10.96.0.1");
    private static final String API = Manifests.service("api", "10.96.0.2");

    @TempDir
    @SuppressWarnings("NullAway.Init") // JUnit sets it
    Path root;

    private Path folder = Path.of("unset");
    private Feed feed = new Feed(folder, "");
    private long now;
    private Feed.@Nullable Scan last;

    @BeforeEach
    void makeFolder() throws IOException {
        folder = Files.createDirectory(root.resolve("feed"));
        feed = new Feed(folder, "");
    }

    /** What a scan reports, as {@code file: objects; problems}. */
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
        return Files.writeString(folder.resolve(name), text);
    }

    /** Renames a finished file into place; its content is older than its name, as it always is outside of tests. */
    private void rename(String name, String text) throws IOException {
        Path draft = Files.writeString(root.resolve("draft"), text);
        Files.setLastModifiedTime(draft, FileTime.from(Instant.now().minusSeconds(60)));
        Files.move(draft, folder.resolve(name), StandardCopyOption.ATOMIC_MOVE);
    }

    @Test
    void readsManifestsOfAFolderAndNothingElse() throws IOException {
        write("b.yml", API);
        write("a.yaml", WEB);
        write("c.json", "{\"kind\": \"List\", \"apiVersion\": \"v1\", \"items\": []}");
        write(".hidden.yaml", "no");
        write("notes.txt", "no");
        Files.createDirectory(folder.resolve("below"));
        Files.writeString(folder.resolve("below/d.yaml"), WEB);

        assertThat(scan()).containsExactly("a.yaml: web", "b.yml: api", "c.json:");
        assertThat(lastScan().complete()).isTrue();
        assertThat(lastScan().waitNanos()).isEqualTo(Long.MAX_VALUE);
        assertThat(scan()).as("unchanged files are not read again").isEmpty();
    }

    @Test
    void readsARenamedFileAtOnce() throws IOException {
        write("a.yaml", WEB);
        scan();
        rename("a.yaml", API);
        assertThat(scan()).containsExactly("a.yaml: api");
        rename("new.yaml", WEB);
        assertThat(scan()).containsExactly("new.yaml: web");
    }

    @Test
    void readsAFileWrittenAndRenamedWithinOneTickAfterAMoment() throws IOException {
        write("other.yaml", "apiVersion: v1\nkind: List\n");
        scan();
        write("a.yaml", WEB);
        assertThat(scan()).isEmpty();
        passMillis(10);
        assertThat(scan()).as("no write was seen").containsExactly("a.yaml: web");
    }

    @Test
    void waitsForAFileWrittenInPlaceToStandStill() throws IOException {
        write("a.yaml", WEB);
        scan();
        Path file = write("a.yaml", API.substring(0, 40));
        assertThat(scan("a.yaml")).isEmpty();
        assertThat(lastScan().waitNanos()).isEqualTo(WriteSettleTimer.STILL_NANOS);
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
    void waitsForANewFileWhereNobodyWatches() throws IOException {
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
    void keepsTheLastGoodObjectsOfABrokenFile() throws IOException {
        rename("a.yaml", WEB);
        scan();
        rename("a.yaml", "kind: Service\n  name: [");
        assertThat(scan())
                .containsExactly("a.yaml: as before ! line 2, column 7: mapping values are not allowed here;"
                        + " the objects it held before are kept");
        rename("a.yaml", API);
        assertThat(scan()).containsExactly("a.yaml: api");
    }

    @Test
    void reportsBrokenJsonWithItsPlace() throws IOException {
        rename("a.json", "{\"kind\": \"List\",\n \"items\": [}");
        assertThat(scan())
                .singleElement()
                .asString()
                .startsWith("a.json: as before ! line 2, column 12: Unexpected close marker");
        assertThat(lastScan().complete()).isFalse();
    }

    @Test
    void takesAnEmptyFileForAnIncompleteOne() throws IOException {
        rename("a.yaml", "# soon\n---\n");
        assertThat(scan()).singleElement().asString().startsWith("a.yaml: as before ! holds no document");
        assertThat(lastScan().complete()).as("nothing to go by yet").isFalse();
        rename("a.yaml", WEB);
        assertThat(scan()).containsExactly("a.yaml: web");
        assertThat(lastScan().complete()).isTrue();
        rename("a.yaml", "");
        assertThat(scan()).as("about to be written").isEmpty();
        passMillis(300);
        assertThat(scan()).singleElement().asString().startsWith("a.yaml: as before ! holds no document");
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
    void takesARenameInsideTheFolderForOneChange() throws IOException {
        Path a = write("a.yaml", WEB);
        scan();
        Files.move(a, folder.resolve("b.yaml"));
        assertThat(scan()).containsExactly("a.yaml:", "b.yaml: web");
    }

    @Test
    void looksOnlyAtWhatWasTouchedIfThatIsKnown() throws IOException {
        write("a.yaml", WEB);
        write("b.yaml", API);
        Files.createDirectory(folder.resolve("x.yaml"));
        scan();
        // Keeps the old file's inode from being given to c.yaml, which would then look like a.yaml under a new name.
        Files.createLink(root.resolve("kept"), folder.resolve("a.yaml"));
        rename("a.yaml", API);
        rename("b.yaml", WEB);
        rename("c.yaml", "kind: [");
        Feed.Scan some = feed.scan(now, Set.of(), Set.of("b.yaml", "c.yaml", "notes.txt"));
        assertThat(some.changes()).as("and what x.yaml is, was told before").containsOnlyKeys("b.yaml", "c.yaml");
        Files.delete(folder.resolve("c.yaml"));
        some = feed.scan(now, Set.of(), Set.of("c.yaml"));
        assertThat(some.changes()).isEmpty();
        passMillis(20);
        some = feed.scan(now, Set.of(), Set.of());
        assertThat(some.changes()).as("missed since the last look").containsOnlyKeys("c.yaml");
        assertThat(feed.scan(now, Set.of(), Set.of()).changes()).isEmpty();
        assertThat(scan()).containsExactly("a.yaml: api");
        Files.delete(folder.resolve("x.yaml"));
        some = feed.scan(now, Set.of(), Set.of("x.yaml"));
        assertThat(some.changes()).as("no longer in the way").containsOnlyKeys("");
        Path away = Files.move(folder, root.resolve("away"));
        some = feed.scan(now, Set.of(), Set.of("a.yaml", "b.yaml"));
        assertThat(some.changes()).as("nothing is gone with its folder").containsOnlyKeys("");
        Files.move(away, folder);
        some = feed.scan(now, Set.of(), Set.of());
        assertThat(some.changes()).containsOnlyKeys("");
    }

    @Test
    void seesTheSwapOfAConfigMapMount() throws IOException {
        Path one = Files.createDirectory(folder.resolve("..one"));
        Path two = Files.createDirectory(folder.resolve("..two"));
        Files.writeString(one.resolve("a.yaml"), WEB);
        Files.writeString(two.resolve("a.yaml"), API);
        Files.createSymbolicLink(folder.resolve("..data"), one.getFileName());
        Files.createSymbolicLink(folder.resolve("a.yaml"), Path.of("..data/a.yaml"));
        assertThat(scan()).containsExactly("a.yaml: web");
        Path next = Files.createSymbolicLink(folder.resolve("..data_tmp"), two.getFileName());
        Files.move(next, folder.resolve("..data"), StandardCopyOption.ATOMIC_MOVE);
        // Both targets were written just now, so the new one may still be growing.
        assertThat(scan()).isEmpty();
        passMillis(10);
        assertThat(scan()).containsExactly("a.yaml: api");
    }

    @Test
    void keepsEverythingWhileTheFolderIsAway() throws IOException {
        write("a.yaml", WEB);
        scan();
        Path away = Files.move(folder, root.resolve("away"));
        assertThat(scan()).containsExactly(": ! is gone; its last state is kept until it is back");
        passMillis(1000);
        assertThat(scan()).as("said once").isEmpty();
        Files.move(away, folder);
        assertThat(scan()).as("the same files as before").containsExactly(":");
    }

    @Test
    void keepsEverythingWhileASingleFileIsAway() throws IOException {
        Path file = write("cluster", WEB);
        feed = new Feed(file, "");
        assertThat(scan()).containsExactly("cluster: web");
        Files.delete(file);
        assertThat(scan()).containsExactly(": ! is gone; its last state is kept until it is back");
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
        folder = Files.createDirectory(root.resolve("later"));
        rename("a.yaml", WEB);
        assertThat(scan()).containsExactly(":", "a.yaml: web");
        assertThat(lastScan().complete()).isTrue();
    }

    @Test
    void saysThatAFolderIsEmpty() {
        assertThat(scan()).containsExactly(": ! holds no *.yaml, *.yml or *.json file");
        assertThat(lastScan().complete()).isTrue();
    }

    @Test
    void readsTheOthersBesideFilesThatCannotBeRead() throws IOException {
        Files.write(folder.resolve("a.yaml"), new byte[] {'a', ':', ' ', (byte) 0xe9, '\n'});
        Files.createSymbolicLink(folder.resolve("b.yaml"), Path.of("b.yaml"));
        Files.createSymbolicLink(folder.resolve("c.yaml"), Path.of("nowhere"));
        Files.createDirectory(folder.resolve("d.yaml"));
        write("e.yaml", "\uFEFF" + WEB);
        assertThat(scan())
                .containsExactly(
                        ": ! cannot be read: Too many levels of symbolic links or unable to access attributes of"
                                + " symbolic link ! a link to a file that does not exist ! is a folder; only the files of a"
                                + " feed are read, not its folders",
                        "a.yaml: as before ! cannot be read: it is not UTF-8 text",
                        "e.yaml: web");
    }

    /** To open a pipe is to wait for somebody who writes; to read a device may never end. */
    @Test
    @Timeout(value = 10, threadMode = Timeout.ThreadMode.SEPARATE_THREAD)
    void neverWaitsForAPipeOrADevice() throws Exception {
        Path pipe = folder.resolve("a.yaml");
        assertThat(new ProcessBuilder("mkfifo", pipe.toString()).start().waitFor())
                .isZero();
        Files.createSymbolicLink(folder.resolve("b.yaml"), Path.of("/dev/zero"));
        write("c.yaml", WEB);
        String message = "is not a file that can be read to its end, but a pipe, a socket or a device";
        assertThat(scan()).containsExactly(": ! " + message + " ! " + message, "c.yaml: web");
        Files.delete(pipe);
        rename("a.yaml", API);
        assertThat(scan()).containsExactly(": ! " + message, "a.yaml: api");
        feed = new Feed(Path.of("/dev/zero"), "");
        assertThat(scan()).containsExactly(": ! " + message);
        assertThat(lastScan().complete()).isFalse();
    }

    @Test
    void aFileThatBecomesAFolderKeepsItsObjects() throws IOException {
        Path file = write("a.yaml", WEB);
        scan();
        Files.delete(file);
        Files.createDirectory(file);
        assertThat(scan()).containsExactly(": ! is a folder; only the files of a feed are read, not its folders");
        passMillis(1000);
        assertThat(scan()).isEmpty();
    }

    @Test
    void aFolderOfWhichNothingCanBeReadIsNoEmptyState() throws IOException {
        Files.createSymbolicLink(folder.resolve("a.yaml"), Path.of("nowhere"));
        assertThat(scan()).containsExactly(": ! a link to a file that does not exist");
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
    void refusesDuplicateKeysAndAliasesOfNothing() throws IOException {
        rename("a.yaml", "x: 1\ny: *here\n");
        rename("b.yaml", "x: {a: 1, a: 2}\n");
        assertThat(scan())
                .containsExactly(
                        "a.yaml: as before ! line 2, column 4: nothing is marked &here",
                        "b.yaml: as before ! line 1, column 12: the key \"a\" is here twice");
    }

    @Test
    void aBrokenDocumentLeavesTheOthersOfItsFileAlone() throws IOException {
        rename("a.yaml", WEB + "---\n" + API);
        assertThat(scan()).containsExactly("a.yaml: web api");
        rename("a.yaml", WEB + "---\nkind: Service\n  name: [\n---\n" + Manifests.service("new", "10.96.0.9"));
        assertThat(scan())
                .as("api may be what is broken")
                .singleElement()
                .asString()
                .matches("a\\.yaml: web new as before ! line \\d+, column 7: mapping values are not allowed here;"
                        + " the objects it held before are kept");
        rename("a.yaml", WEB);
        assertThat(scan()).containsExactly("a.yaml: web");
    }
}
