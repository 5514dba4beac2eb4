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
 * A feed on disk: which files it has, which of them are due to be read, and what they last said. Knows no thread and no
 * clock: whoever watches calls {@link #scan} and says what time it is.
 *
 * <p>A file renamed into place is whole, and read at once. A file written in place is read when it has stood still. The
 * two are told apart by the inode, which a rename changes and a write does not; and for a name not seen before by the
 * change time, which a rename moves and a write sets together with the modification time.
 */
final class Feed {
    private static final Logger log = LoggerFactory.getLogger(Feed.class);

    private final Path path;
    private final String proxyName;
    private final Map<String, Entry> entries = new TreeMap<>();
    /** The files at the last scan; empty and not to be added to while the feed is away. */
    private Map<String, Path> listed = Map.of();

    private boolean started;
    private boolean everSeen;
    private boolean complete;
    private List<Problem> ownProblems = List.of();

    /** What was read since the last scan that succeeded: a file is not read again because another one failed. */
    private final Map<String, SourceState> changes = new HashMap<>();

    /** @param proxyName as in {@link BuildOptions} */
    Feed(Path path, String proxyName) {
        this.path = path;
        this.proxyName = proxyName;
    }

    /**
     * What a look at the feed brought.
     *
     * @param changes what files that changed hold now
     * @param complete whether every file there was has been tried, and at least one was good (or there was none);
     *     stays true
     * @param waitNanos when to look again though nothing happens; {@link Long#MAX_VALUE} if there is no need to
     */
    record Scan(Map<String, SourceState> changes, boolean complete, long waitNanos) {}

    private static final class Entry {
        FileVersion stamp;
        long sinceNanos;
        long settleNanos;
        /** When it was first missed in a folder that is there. */
        @Nullable
        Long missingSinceNanos;

        boolean absent;
        boolean due = true;
        boolean tried;
        boolean good;

        Entry(FileVersion stamp) {
            this.stamp = stamp;
        }
    }

    /** Looks at every file, as {@link #scan(long, Set, Set)} does if any may have changed. */
    Scan scan(long nowNanos, @Nullable Set<String> written) {
        return scan(nowNanos, written, null);
    }

    /**
     * Looks at the files, and reads those that are due.
     *
     * @param written names known to have been written to since the last scan; null if nobody watches
     * @param touched the only names of the folder that may have changed since; null if any may have
     */
    Scan scan(long nowNanos, @Nullable Set<String> written, @Nullable Set<String> touched) {
        List<Problem> problems = new ArrayList<>();
        Set<String> names = touched == null || listed.isEmpty() || !Files.isDirectory(path) ? null : suspects(touched);
        // At the start nothing is in force that a half-written file could spoil, so nothing is waited for.
        boolean first = !started;
        started = true;
        Map<String, Path> files = names == null ? list(problems) : listAgain(names);
        listed = files == null ? Map.of() : files;
        long wait = Long.MAX_VALUE;
        if (files == null) {
            keepAll();
        } else {
            everSeen = true;
            ownProblems.stream()
                    .filter(problem -> names != null && !names.contains(problem.source()))
                    .forEach(problems::add);
            for (String name : names == null ? files.keySet() : names) {
                Path file = files.get(name);
                if (file != null) {
                    look(name, file, first, nowNanos, written, problems);
                }
            }
            wait = Math.min(dropMissing(files, nowNanos), readDue(files, nowNanos));
            if (files.isEmpty()) {
                problems.add(new Problem(
                        Problem.Severity.WARNING, path.toString(), "", "", "holds no *.yaml, *.yml or *.json file"));
            }
            complete |= entries.values().stream().allMatch(entry -> entry.tried)
                    && (files.isEmpty() || entries.values().stream().anyMatch(entry -> entry.good));
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

    /** What is gone with the whole feed is not gone. */
    private void keepAll() {
        for (Entry entry : entries.values()) {
            entry.absent = true;
            entry.missingSinceNanos = null;
        }
    }

    /** The touched ones, and those that were in the middle of something at the last scan. */
    private Set<String> suspects(Set<String> touched) {
        Set<String> names = new TreeSet<>(touched);
        entries.forEach((name, entry) -> {
            if (entry.due || entry.missingSinceNanos != null) {
                names.add(name);
            }
        });
        return names;
    }

    private Map<String, Path> listAgain(Set<String> names) {
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

    /** The files by name; null if the feed is not there, and then everything stays as it was. */
    private @Nullable Map<String, Path> list(List<Problem> problems) {
        Map<String, Path> files = new TreeMap<>();
        try {
            if (Files.isDirectory(path)) {
                try (DirectoryStream<Path> folder = Files.newDirectoryStream(path, Feed::isManifest)) {
                    folder.forEach(file -> files.put(file.getFileName().toString(), file));
                }
                return files;
            }
            FileVersion.of(path);
            files.put(String.valueOf(path.getFileName()), path);
            return files;
        } catch (NoSuchFileException e) {
            problems.add(feedProblem(
                    everSeen ? "is gone; its last state is kept until it is back" : "does not exist; waiting for it"));
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

    private void look(
            String name,
            Path file,
            boolean first,
            long nowNanos,
            @Nullable Set<String> written,
            List<Problem> problems) {
        FileVersion stamp;
        try {
            stamp = FileVersion.of(file);
        } catch (NoSuchFileException e) {
            if (Files.isSymbolicLink(file)) {
                problems.add(unreadable(name, "a link to a file that does not exist"));
            }
            return;
        } catch (IOException e) {
            problems.add(unreadable(name, "cannot be read: " + StrictYaml.explain(e)));
            return;
        }
        if (!stamp.regular()) {
            problems.add(unreadable(
                    name,
                    Files.isDirectory(file)
                            ? "is a folder; only the files of a feed are read, not its folders"
                            : "is not a file that can be read to its end, but a pipe, a socket or a device"));
            return;
        }
        Entry entry = entries.get(name);
        boolean wasWritten = written != null && written.contains(name);
        if (entry == null) {
            entry = new Entry(stamp);
            entry.sinceNanos = nowNanos;
            entry.settleNanos =
                    first || isKnown(stamp) ? 0 : WriteSettleTimer.nanos(stamp, wasWritten, written == null);
            entries.put(name, entry);
        } else if (!stamp.equals(entry.stamp)) {
            // A file system may give the inode of a removed file to the next one.
            boolean replaced = entry.absent || !stamp.sameFile(entry.stamp);
            entry.stamp = stamp;
            entry.sinceNanos = nowNanos;
            entry.settleNanos =
                    replaced ? WriteSettleTimer.nanos(stamp, wasWritten, false) : WriteSettleTimer.STILL_NANOS;
            entry.due = true;
        } else if (wasWritten && entry.due) {
            entry.sinceNanos = nowNanos;
            entry.settleNanos = WriteSettleTimer.STILL_NANOS;
        }
        entry.absent = false;
        entry.missingSinceNanos = null;
    }

    /** Whether it was here under another name. */
    private boolean isKnown(FileVersion stamp) {
        return entries.values().stream().anyMatch(other -> other.stamp.sameFile(stamp));
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
            long left = entry.missingSinceNanos + WriteSettleTimer.GONE_NANOS - nowNanos;
            boolean renamed = files.keySet().stream()
                    .map(entries::get)
                    .anyMatch(other -> other != null && other.stamp.sameFile(entry.stamp));
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

    /** Returns false if the file changed while it was read: what was read may be half of it. */
    private boolean read(String name, Path file, Entry entry, long nowNanos) {
        Manifest manifest = null;
        Problem problem = null;
        // Malformed input is an error, not a question mark: hence the decoder.
        try (var text = new InputStreamReader(Files.newInputStream(file), StandardCharsets.UTF_8.newDecoder())) {
            manifest = ManifestReader.read(name, proxyName, text);
            if (manifest.empty()) {
                problem = new Problem(
                        Problem.Severity.WARNING,
                        name,
                        "",
                        "",
                        "holds no document, so it counts as incomplete; for no objects, write kind: List, items: []");
            }
        } catch (IOException e) {
            problem = unreadable(name, "cannot be read: " + StrictYaml.explain(e));
        } catch (RuntimeException | StackOverflowError e) {
            // A fault of a parser on odd input must not keep the other files from being followed.
            log.warn("{} made the parser fail", file, e);
            problem = unreadable(name, "cannot be parsed: " + e);
        }
        if (changedMeanwhile(file, entry, nowNanos)) {
            return false;
        }
        entry.due = false;
        entry.tried = true;
        changes.merge(name, state(manifest, problem, entry.good), SourceState::then);
        entry.good |= manifest != null
                && (!manifest.objects().isEmpty()
                        || (!manifest.empty() && manifest.broken().isEmpty()));
        return true;
    }

    /** What a broken document was to say is not known, so nothing that the file held before is taken for gone. */
    private static SourceState state(@Nullable Manifest manifest, @Nullable Problem problem, boolean hadObjects) {
        if (manifest == null || manifest.empty()) {
            Problem why = requireNonNull(problem);
            return new SourceState(List.of(), List.of(hadObjects ? kept(why) : why), true);
        }
        List<Problem> problems = manifest.problems().stream()
                .map(each -> hadObjects && manifest.broken().contains(each) ? kept(each) : each)
                .toList();
        return new SourceState(manifest.objects(), problems, !manifest.broken().isEmpty());
    }

    private static boolean changedMeanwhile(Path file, Entry entry, long nowNanos) {
        try {
            FileVersion after = FileVersion.of(file);
            if (after.equals(entry.stamp)) {
                return false;
            }
            entry.settleNanos =
                    after.sameFile(entry.stamp) ? WriteSettleTimer.STILL_NANOS : WriteSettleTimer.DOUBT_NANOS;
            entry.stamp = after;
            entry.sinceNanos = nowNanos;
            return true;
        } catch (IOException e) {
            // It is gone, or about to be: the next scan says what that means.
            entry.settleNanos = WriteSettleTimer.DOUBT_NANOS;
            return true;
        }
    }

    private static Problem kept(Problem problem) {
        return new Problem(
                problem.severity(),
                problem.source(),
                problem.object(),
                problem.field(),
                problem.message() + "; the objects it held before are kept");
    }
}
