package io.sluice.feed;

import io.sluice.document.FileVersion;
import io.sluice.document.Problem;
import io.sluice.document.StrictYaml;
import io.sluice.model.IpAddress;
import io.sluice.model.ServiceSnapshot;
import io.sluice.objects.KubeObject;
import io.sluice.rules.BuildOptions;
import io.sluice.rules.FeedLint;
import io.sluice.rules.ObjectStore;
import io.sluice.rules.ObjectStore.SourceState;
import io.sluice.rules.ProblemTracker;
import io.sluice.rules.SnapshotBuilder;
import io.sluice.rules.Tracer;
import io.sluice.thread.Heartbeat;
import io.sluice.thread.Supervisor;
import io.sluice.thread.Worker;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileSystems;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardWatchEventKinds;
import java.nio.file.WatchEvent;
import java.nio.file.WatchKey;
import java.nio.file.WatchService;
import java.time.Duration;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Watches a file or directory with manifests and offers its objects to the {@link SyncLoop}.
 *
 * <p>A kernel notification only triggers a scan, which compares the files with their last state. A lost notification
 * therefore delays a change but does not lose it.
 */
public final class FileReflector implements Reflector {
    private static final Logger log = LoggerFactory.getLogger(FileReflector.class);

    /**
     * Scan interval with a file watch. The kernel does not report changes to the target of a symbolic link or on a
     * network file system.
     */
    private static final long WATCHED_NANOS = TimeUnit.MILLISECONDS.toNanos(500);

    /** Scan interval without a file watch. */
    private static final long UNWATCHED_NANOS = TimeUnit.MILLISECONDS.toNanos(50);

    private static final long MIN_PAUSE_NANOS = TimeUnit.MILLISECONDS.toNanos(3);

    /** Minimum ratio of scan interval to scan duration, which limits the load caused by thousands of files. */
    private static final int PAUSE_PER_COST = 50;

    private static final long MAX_PAUSE_NANOS = TimeUnit.SECONDS.toNanos(2);

    /**
     * Time without a heartbeat after which the thread counts as stuck: reading from a network file system may block.
     */
    private static final Duration STUCK_AFTER = Duration.ofSeconds(60);

    private static final Duration STOP_TIMEOUT = Duration.ofSeconds(2);

    private final Path path;
    private final Feed feed;
    private final OfferTarget target;
    // Guarded by this.
    private @Nullable Worker worker;
    private volatile @Nullable Heartbeat heartbeat;

    private volatile boolean rescan;
    /** Changes that have been read but not offered yet. */
    private final Map<String, SourceState> unoffered = new HashMap<>();

    private final Set<String> written = new HashSet<>();
    private final Set<String> touched = new HashSet<>();
    private @Nullable WatchKey watched;
    private @Nullable FileVersion watchedDirectory;
    /** Whether {@link #written} contains all writes since the last scan. */
    private boolean sawAllWrites;

    /** Whether a symbolic link in the directory changed, which may change any of the files. */
    private boolean linkTouched;

    private long lastFullNanos;
    private long fullCostNanos;
    private boolean complete;

    /** Receives the changes; see {@link SyncLoop#offer(Map, boolean)}. */
    interface OfferTarget {
        void offer(Map<String, SourceState> changes, boolean complete);
    }

    /** Creates a reflector that is not started yet. */
    public FileReflector(Path feed, BuildOptions options, SyncLoop loop) {
        this(feed, options, loop::offer);
    }

    FileReflector(Path feed, BuildOptions options, OfferTarget target) {
        this.path = feed.toAbsolutePath();
        this.feed = new Feed(feed, options.serviceProxyName());
        this.target = target;
    }

    /** Starts the thread. If the feed does not exist yet, reports that once and waits for it. */
    @Override
    public synchronized void start(Supervisor supervisor) {
        heartbeat = supervisor.heartbeat("sluice-feed", STUCK_AFTER);
        worker = supervisor.loop("sluice-feed", this::run);
    }

    @Override
    public List<WatchStatus> watches() {
        return List.of();
    }

    /** Makes the next scan, which starts within two seconds, check every file. */
    @Override
    public void rescan() {
        rescan = true;
    }

    @Override
    public synchronized void close() {
        if (worker != null) {
            if (!stop(worker)) {
                log.warn("a file of feed {} is still being read; stopping without waiting for it", path);
            }
            worker = null;
        }
        Heartbeat current = heartbeat;
        if (current != null) {
            current.close();
        }
    }

    /** Stops the worker. Returns false if its thread does not end in time. */
    private static boolean stop(Worker worker) {
        worker.close();
        try {
            return worker.join(STOP_TIMEOUT);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            return false;
        }
    }

    /**
     * Reads the feed once, without watching it, and returns the resulting snapshot and all problems.
     *
     * @param interfaceAddresses addresses of this machine; ignored if the feed has a Node with other addresses only
     */
    public static Reading read(Path feed, BuildOptions options, List<IpAddress> interfaceAddresses) {
        Map<String, SourceState> sources = new HashMap<>();
        Feed files = new Feed(feed, options.serviceProxyName());
        // Another scan is needed only if a file changed while it was read.
        for (int scans = 0; scans < 3; scans++) {
            Feed.Scan scan = files.scan(scans * WriteSettleTimer.SETTLE_NANOS, null);
            scan.changes().forEach((name, state) -> sources.merge(name, state, SourceState::then));
            if (scan.waitNanos() == Long.MAX_VALUE) {
                break;
            }
        }
        return evaluate(sources, options, interfaceAddresses);
    }

    /** Like {@link #read(Path, BuildOptions, List)}, but reads manifests from a stream, such as standard input. */
    public static Reading read(InputStream manifests, BuildOptions options, List<IpAddress> interfaceAddresses) {
        String name = "standard input";
        List<KubeObject> objects = List.of();
        List<Problem> problems;
        // A decoder throws on malformed input; with a charset instead, the reader would replace such input.
        try (var text = new InputStreamReader(manifests, StandardCharsets.UTF_8.newDecoder())) {
            ManifestReader.Manifest manifest = ManifestReader.read(name, options.serviceProxyName(), text);
            objects = manifest.objects();
            problems = manifest.empty()
                    ? List.of(new Problem(Problem.Severity.WARNING, name, "", "", "contains no document"))
                    : manifest.problems();
        } catch (IOException e) {
            String message = "cannot be read: " + StrictYaml.explain(e);
            problems = List.of(new Problem(Problem.Severity.ERROR, name, "", "", message));
        }
        return evaluate(Map.of(name, new SourceState(objects, problems)), options, interfaceAddresses);
    }

    /** Builds the snapshot from the states of all sources of a feed or an API server. */
    public static Reading evaluate(
            Map<String, SourceState> sources, BuildOptions options, List<IpAddress> interfaceAddresses) {
        ProblemTracker problemTracker = new ProblemTracker();
        ObjectStore store = new ObjectStore(problemTracker);
        sources.forEach(store::replace);
        SnapshotBuilder builder = new SnapshotBuilder(options, store, problemTracker);
        builder.build();
        List<IpAddress> node = builder.localNode().addresses();
        if (node.isEmpty() || node.stream().anyMatch(interfaceAddresses::contains)) {
            builder.interfaceAddresses(interfaceAddresses);
        }
        ServiceSnapshot snapshot = builder.build();
        problemTracker.put(FeedLint.class, FeedLint.of(store, builder.localNode()));
        return new Reading(snapshot, problemTracker.publish((problem, appeared) -> {}), builder.tracer(snapshot));
    }

    /** The snapshot of a feed, the problems of the feed, and a tracer for the snapshot. */
    public record Reading(ServiceSnapshot snapshot, List<Problem> problems, Tracer tracer) {}

    private void run() throws InterruptedException {
        // Discard the watch left by a previous run of this loop, because its watch service is closed.
        watched = null;
        sawAllWrites = false;
        try (WatchService watcher = openWatcher()) {
            while (!Thread.currentThread().isInterrupted()) {
                sendHeartbeat();
                if (rescan) {
                    rescan = false;
                    sawAllWrites = false;
                }
                if (watcher != null) {
                    watch(watcher);
                }
                long before = System.nanoTime();
                boolean all = !sawAllWrites || linkTouched || before - lastFullNanos >= fullScanIntervalNanos();
                Feed.Scan scan = feed.scan(before, sawAllWrites ? written : null, all ? null : touched);
                written.clear();
                touched.clear();
                linkTouched = false;
                sawAllWrites = watched != null;
                scan.changes().forEach((name, state) -> unoffered.merge(name, state, SourceState::then));
                if (!unoffered.isEmpty() || scan.complete() != complete) {
                    complete = scan.complete();
                    target.offer(Map.copyOf(unoffered), complete);
                    unoffered.clear();
                }
                long costNanos = System.nanoTime() - before;
                if (all) {
                    lastFullNanos = before;
                    fullCostNanos = costNanos;
                }
                pause(watcher, costNanos, scan.waitNanos());
            }
        } catch (IOException e) {
            log.warn("could not close the file watch: {}", e.toString());
        }
    }

    private void sendHeartbeat() {
        Heartbeat current = heartbeat;
        if (current != null) {
            current.beat();
        }
    }

    /** Creates a watch service; returns null if the kernel cannot watch files, which are then polled. */
    private static @Nullable WatchService openWatcher() {
        try {
            return FileSystems.getDefault().newWatchService();
        } catch (IOException e) {
            log.info("cannot watch files; polling them instead: {}", e.toString());
            return null;
        }
    }

    /** Watches the current directory, which may have been replaced since the last call. */
    private void watch(WatchService watcher) {
        Path parent = path.getParent();
        Path directory = parent == null || Files.isDirectory(path) ? path : parent;
        try {
            FileVersion version = FileVersion.of(directory);
            if (watched != null
                    && watched.isValid()
                    && watchedDirectory != null
                    && version.sameFile(watchedDirectory)) {
                return;
            }
            unwatch();
            watched = directory.register(
                    watcher,
                    StandardWatchEventKinds.ENTRY_CREATE,
                    StandardWatchEventKinds.ENTRY_MODIFY,
                    StandardWatchEventKinds.ENTRY_DELETE);
            watchedDirectory = version;
        } catch (IOException e) {
            // The directory does not exist, or no more watches are available. The scan reports problems; polling finds
            // changes.
            log.debug("cannot watch {}: {}", directory, e.toString());
            unwatch();
        }
        sawAllWrites = false;
    }

    private void unwatch() {
        if (watched != null) {
            watched.cancel();
            watched = null;
        }
    }

    /** Interval between scans of all files without a notification. */
    private long fullScanIntervalNanos() {
        long usual = watched == null ? UNWATCHED_NANOS : WATCHED_NANOS;
        return Math.max(usual, Math.min(MAX_PAUSE_NANOS, fullCostNanos * PAUSE_PER_COST));
    }

    /** Waits for a notification or until the next scan is due. */
    private void pause(@Nullable WatchService watcher, long costNanos, long dueNanos) throws InterruptedException {
        long rest = Math.min(UNWATCHED_NANOS, Math.max(MIN_PAUSE_NANOS, costNanos));
        TimeUnit.NANOSECONDS.sleep(rest);
        long calm = lastFullNanos + fullScanIntervalNanos() - System.nanoTime();
        long wait = Math.max(0, Math.min(calm, dueNanos - rest));
        if (watcher == null) {
            TimeUnit.NANOSECONDS.sleep(wait);
            return;
        }
        WatchKey key = watcher.poll(wait, TimeUnit.NANOSECONDS);
        while (key != null) {
            collect(key);
            key = watcher.poll();
        }
    }

    private void collect(WatchKey key) {
        for (WatchEvent<?> event : key.pollEvents()) {
            if (event.kind() == StandardWatchEventKinds.OVERFLOW) {
                sawAllWrites = false;
                continue;
            }
            String name = String.valueOf(event.context());
            touched.add(name);
            linkTouched |= Files.isSymbolicLink(path.resolve(name));
            if (event.kind() == StandardWatchEventKinds.ENTRY_MODIFY) {
                written.add(name);
            }
        }
        // The key of a removed directory becomes invalid, which the next watch() handles.
        key.reset();
    }
}
