package io.sluice.feed;

import static java.util.Objects.requireNonNull;

import io.sluice.document.FileVersion;
import io.sluice.document.Problem;
import io.sluice.document.StrictYaml;
import io.sluice.feed.ManifestReader.Manifest;
import io.sluice.rules.BuildOptions;
import io.sluice.rules.ObjectStore.SourceState;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.nio.file.DirectoryIteratorException;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The state of a feed on disk: its files and which of them must be read. This class has no thread or clock; the caller
 * of {@link #scan} provides the time.
 *
 * <p>A file that was renamed into place is complete and is read immediately. A file that is written in place is read
 * once it has not changed for a while. A rename changes the inode; a write does not. For a new name, the timestamps
 * distinguish a rename from a write: a rename sets only the change time, while a write also sets the modification time.
 */
final class Feed {
    private static final Logger log = LoggerFactory.getLogger(Feed.class);

    private final Path path;
    private final String proxyName;
    private final Map<String, Entry> entries = new TreeMap<>();
    /** Files found by the last scan, by name; empty and immutable while the feed does not exist. */
    private Map<String, Path> listed = Map.of();

    private boolean started;
    private boolean everSeen;
    private boolean complete;
    private List<Problem> ownProblems = List.of();

    /** Changes found since the last successful scan, including those of scans that threw an exception. */
    private final Map<String, SourceState> changes = new HashMap<>();

    /**
     * Creates a feed that has not been scanned.
     *
     * @param path a file or directory
     * @param proxyName the {@code serviceProxyName} of {@link BuildOptions}
     */
    Feed(Path path, String proxyName) {
        this.path = path;
        this.proxyName = proxyName;
    }

    /**
     * The result of a scan.
     *
     * @param changes new states of changed files by name; the empty name stands for the feed itself
     * @param complete whether every file has been read, and either at least one was valid or there are no files; once
     *     true, this value stays true
     * @param waitNanos time after which a scan is needed even without a notification; {@link Long#MAX_VALUE} if none is
     */
    record Scan(Map<String, SourceState> changes, boolean complete, long waitNanos) {}

    private static final class Entry {
        FileVersion version;
        long sinceNanos;
        long settleNanos;
        /** Time of the first scan that found the directory but not the file; null while the file exists. */
        @Nullable
        Long missingSinceNanos;

        boolean absent;
        boolean due = true;
        boolean attempted;
        boolean valid;

        Entry(FileVersion version) {
            this.version = version;
        }
    }

    /** Scans all files. See {@link #scan(long, Set, Set)}. */
    Scan scan(long nowNanos, @Nullable Set<String> written) {
        return scan(nowNanos, written, null);
    }

    /**
     * Checks the files for changes and reads those that are complete.
     *
     * @param written names of files written since the last scan; null if unknown, because there is no file watch
     * @param changedNames names in the directory that may have changed since the last scan; null for all
     */
    Scan scan(long nowNanos, @Nullable Set<String> written, @Nullable Set<String> changedNames) {
        List<Problem> problems = new ArrayList<>();
        Set<String> names =
                changedNames == null || listed.isEmpty() || !Files.isDirectory(path) ? null : candidates(changedNames);
        // The first scan reads all files immediately, since there is no earlier state to protect from partial files.
        boolean first = !started;
        started = true;
        Map<String, Path> files = names == null ? list(problems) : relist(names);
        listed = files == null ? Map.of() : files;
        long wait = Long.MAX_VALUE;
        if (files == null) {
            markAbsent();
        } else {
            everSeen = true;
            ownProblems.stream()
                    .filter(problem -> names != null && !names.contains(problem.source()))
                    .forEach(problems::add);
            for (String name : names == null ? files.keySet() : names) {
                Path file = files.get(name);
                if (file != null) {
                    check(name, file, first, nowNanos, written, problems);
                }
            }
            wait = Math.min(dropMissing(files, nowNanos), readDue(files, nowNanos));
            if (files.isEmpty()) {
                problems.add(new Problem(
                        Problem.Severity.WARNING, path.toString(), "", "", "contains no *.yaml, *.yml or *.json file"));
            }
            complete |= entries.values().stream().allMatch(entry -> entry.attempted)
                    && (files.isEmpty() || entries.values().stream().anyMatch(entry -> entry.valid));
        }
        problems.sort(Comparator.comparing(Problem::source));
        if (!problems.equals(ownProblems)) {
            ownProblems = problems;
            changes.put("", new SourceState(List.of(), problems));
        }
        Map<String, SourceState> all = Map.copyOf(changes);
        changes.clear();
        return new Scan(all, complete, wait);
    }

    /** Marks all files as absent but keeps their state, because the feed does not exist or cannot be read. */
    private void markAbsent() {
        for (Entry entry : entries.values()) {
            entry.absent = true;
            entry.missingSinceNanos = null;
        }
    }

    /** The changed names, and those of files that were not read or were missing at the last scan. */
    private Set<String> candidates(Set<String> changedNames) {
        Set<String> names = new TreeSet<>(changedNames);
        entries.forEach((name, entry) -> {
            if (entry.due || entry.missingSinceNanos != null) {
                names.add(name);
            }
        });
        return names;
    }

    private Map<String, Path> relist(Set<String> names) {
        for (String name : names) {
            Path file = path.resolve(name);
            if (isManifest(file) && Files.exists(file, LinkOption.NOFOLLOW_LINKS)) {
                listed.put(name, file);
            } else {
                listed.remove(name);
            }
        }
        return listed;
    }

    /** Lists the files by name. If that fails, reports the problem and returns null. */
    private @Nullable Map<String, Path> list(List<Problem> problems) {
        Map<String, Path> files = new TreeMap<>();
        try {
            if (Files.isDirectory(path)) {
                try (DirectoryStream<Path> directory = Files.newDirectoryStream(path, Feed::isManifest)) {
                    directory.forEach(file -> files.put(file.getFileName().toString(), file));
                }
                return files;
            }
            FileVersion.of(path);
            files.put(String.valueOf(path.getFileName()), path);
            return files;
        } catch (NoSuchFileException e) {
            problems.add(feedProblem(
                    everSeen
                            ? "no longer exists; its last state is kept until it exists again"
                            : "does not exist; waiting for it"));
        } catch (DirectoryIteratorException e) {
            problems.add(unlistable(requireNonNull(e.getCause())));
        } catch (IOException e) {
            problems.add(unlistable(e));
        }
        return null;
    }

    private Problem unlistable(IOException e) {
        return feedProblem("cannot be read: " + StrictYaml.explain(e) + (everSeen ? "; its last state is kept" : ""));
    }

    private Problem feedProblem(String message) {
        return new Problem(
                everSeen ? Problem.Severity.WARNING : Problem.Severity.ERROR, path.toString(), "", "", message);
    }

    private static boolean isManifest(Path file) {
        String name = file.getFileName().toString();
        return !name.startsWith(".") && (name.endsWith(".yaml") || name.endsWith(".yml") || name.endsWith(".json"));
    }

    private void check(
            String name,
            Path file,
            boolean first,
            long nowNanos,
            @Nullable Set<String> written,
            List<Problem> problems) {
        FileVersion version;
        try {
            version = FileVersion.of(file);
        } catch (NoSuchFileException e) {
            if (Files.isSymbolicLink(file)) {
                problems.add(unreadable(name, "is a symbolic link to a file that does not exist"));
            }
            return;
        } catch (IOException e) {
            problems.add(unreadable(name, "cannot be read: " + StrictYaml.explain(e)));
            return;
        }
        if (!version.regular()) {
            problems.add(unreadable(
                    name,
                    Files.isDirectory(file)
                            ? "is a directory; subdirectories of a feed are not read"
                            : "is not a regular file, but a pipe, a socket or a device"));
            return;
        }
        Entry entry = entries.get(name);
        boolean wasWritten = written != null && written.contains(name);
        if (entry == null) {
            entry = new Entry(version);
            entry.sinceNanos = nowNanos;
            entry.settleNanos =
                    first || wasRenamed(version) ? 0 : WriteSettleTimer.nanos(version, wasWritten, written == null);
            entries.put(name, entry);
        } else if (!version.equals(entry.version)) {
            // A file system may reuse the inode of a removed file.
            boolean replaced = entry.absent || !version.sameFile(entry.version);
            entry.version = version;
            entry.sinceNanos = nowNanos;
            entry.settleNanos =
                    replaced ? WriteSettleTimer.nanos(version, wasWritten, false) : WriteSettleTimer.SETTLE_NANOS;
            entry.due = true;
        } else if (wasWritten && entry.due) {
            entry.sinceNanos = nowNanos;
            entry.settleNanos = WriteSettleTimer.SETTLE_NANOS;
        }
        entry.absent = false;
        entry.missingSinceNanos = null;
    }

    /** Whether the file was in the feed under another name. */
    private boolean wasRenamed(FileVersion version) {
        return entries.values().stream().anyMatch(other -> other.version.sameFile(version));
    }

    private static Problem unreadable(String name, String message) {
        return new Problem(Problem.Severity.ERROR, name, "", "", message);
    }

    private long dropMissing(Map<String, Path> files, long nowNanos) {
        long wait = Long.MAX_VALUE;
        for (var each = entries.entrySet().iterator(); each.hasNext(); ) {
            Map.Entry<String, Entry> next = each.next();
            String name = next.getKey();
            Entry entry = next.getValue();
            if (files.containsKey(name)) {
                continue;
            }
            entry.absent = true;
            if (entry.missingSinceNanos == null) {
                entry.missingSinceNanos = nowNanos;
            }
            long left = entry.missingSinceNanos + WriteSettleTimer.MISSING_NANOS - nowNanos;
            boolean renamed = files.keySet().stream()
                    .map(entries::get)
                    .anyMatch(other -> other != null && other.version.sameFile(entry.version));
            if (left > 0 && !renamed) {
                wait = Math.min(wait, left);
            } else {
                each.remove();
                changes.put(name, SourceState.GONE);
            }
        }
        return wait;
    }

    private long readDue(Map<String, Path> files, long nowNanos) {
        long wait = Long.MAX_VALUE;
        for (var each : entries.entrySet()) {
            Entry entry = each.getValue();
            Path file = files.get(each.getKey());
            if (!entry.due || file == null) {
                continue;
            }
            long left = entry.sinceNanos + entry.settleNanos - nowNanos;
            if (left <= 0) {
                left = read(each.getKey(), file, entry, nowNanos) ? Long.MAX_VALUE : entry.settleNanos;
            }
            wait = Math.min(wait, left);
        }
        return wait;
    }

    /** Reads a file. Returns false if the file changed during reading, so that its content may be partial. */
    private boolean read(String name, Path file, Entry entry, long nowNanos) {
        Manifest manifest = null;
        Problem problem = null;
        // A decoder throws on malformed input; with a charset instead, the reader would replace such input.
        try (var text = new InputStreamReader(Files.newInputStream(file), StandardCharsets.UTF_8.newDecoder())) {
            manifest = ManifestReader.read(name, proxyName, text);
            if (manifest.empty()) {
                problem = new Problem(
                        Problem.Severity.WARNING,
                        name,
                        "",
                        "",
                        "contains no document and is treated as incomplete; for no objects, use kind: List, items: []");
            }
        } catch (IOException e) {
            problem = unreadable(name, "cannot be read: " + StrictYaml.explain(e));
        } catch (RuntimeException | StackOverflowError e) {
            // A bug in a parser must not prevent the other files from being read.
            log.warn("internal error while parsing {}", file, e);
            problem = unreadable(name, "cannot be parsed: " + e);
        }
        if (changedMeanwhile(file, entry, nowNanos)) {
            return false;
        }
        entry.due = false;
        entry.attempted = true;
        changes.merge(name, state(manifest, problem, entry.valid), SourceState::then);
        entry.valid |= manifest != null
                && (!manifest.objects().isEmpty()
                        || (!manifest.empty() && manifest.broken().isEmpty()));
        return true;
    }

    /** The new state of a file. If a document is invalid, keeps the file's previous objects, as it may define them. */
    private static SourceState state(@Nullable Manifest manifest, @Nullable Problem problem, boolean hadObjects) {
        if (manifest == null || manifest.empty()) {
            Problem why = requireNonNull(problem);
            return new SourceState(List.of(), List.of(hadObjects ? withPreviousKept(why) : why), true);
        }
        List<Problem> problems = manifest.problems().stream()
                .map(each -> hadObjects && manifest.broken().contains(each) ? withPreviousKept(each) : each)
                .toList();
        return new SourceState(manifest.objects(), problems, !manifest.broken().isEmpty());
    }

    private static boolean changedMeanwhile(Path file, Entry entry, long nowNanos) {
        try {
            FileVersion after = FileVersion.of(file);
            if (after.equals(entry.version)) {
                return false;
            }
            entry.settleNanos =
                    after.sameFile(entry.version) ? WriteSettleTimer.SETTLE_NANOS : WriteSettleTimer.DOUBT_NANOS;
            entry.version = after;
            entry.sinceNanos = nowNanos;
            return true;
        } catch (IOException e) {
            // The file was removed or is being replaced; the next scan handles this.
            entry.settleNanos = WriteSettleTimer.DOUBT_NANOS;
            return true;
        }
    }

    private static Problem withPreviousKept(Problem problem) {
        return new Problem(
                problem.severity(),
                problem.source(),
                problem.object(),
                problem.field(),
                problem.message() + "; its previous objects are kept");
    }
}
