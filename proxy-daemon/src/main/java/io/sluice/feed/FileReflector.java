package io.sluice.feed;

import io.sluice.document.FileVersion;
import io.sluice.document.Problem;
import io.sluice.model.IpAddress;
import io.sluice.model.ServiceSnapshot;
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
 * Keeps the store equal to the manifests in a file or a folder, and follows their changes.
 *
 * <p>The kernel's notice of a change only says when to look; what has changed is always found by looking, so a lost
 * notice costs a moment and nothing else.
 */
public final class FileReflector implements Reflector {
    private static final Logger log = LoggerFactory.getLogger(FileReflector.class);

    /** How often to look where the kernel gives notice: it does not for the target of a link, or over a network. */
    private static final long WATCHED_NANOS = TimeUnit.MILLISECONDS.toNanos(500);

    private static final long UNWATCHED_NANOS = TimeUnit.MILLISECONDS.toNanos(50);

    private static final long MIN_PAUSE_NANOS = TimeUnit.MILLISECONDS.toNanos(3);

    /** Looking must not become a load: a folder of thousands of files is looked at less often. */
    private static final int PAUSE_PER_COST = 50;

    private static final long MAX_PAUSE_NANOS = TimeUnit.SECONDS.toNanos(2);

    /** A file of a network that does not answer may hold up a read for ever. */
    private static final Duration STUCK = Duration.ofSeconds(60);

    private static final Duration END = Duration.ofSeconds(2);

    private final Path path;
    private final Feed feed;
    private final Offers offers;
    // Guarded by this.
    private @Nullable Worker worker;
    private volatile @Nullable Heartbeat heartbeat;

    private volatile boolean rescan;
    /** Read, and not yet offered to the loop. */
    private final Map<String, SourceState> unoffered = new HashMap<>();

    private final Set<String> written = new HashSet<>();
    private final Set<String> touched = new HashSet<>();
    private @Nullable WatchKey watched;
    private @Nullable FileVersion watchedFolder;
    /** Whether {@link #written} can be relied upon since the last scan. */
    private boolean sawAllWrites;

    /** Whether a link inside the folder changed, and with it any of the files. */
    private boolean linkTouched;

    private long lastFullNanos;
    private long fullCostNanos;
    private boolean complete;

    /** What takes the changes, as {@link SyncLoop#offer(Map, boolean)} does. */
    interface Offers {
        void offer(Map<String, SourceState> changes, boolean complete);
    }

    public FileReflector(Path feed, BuildOptions options, SyncLoop loop) {
        this(feed, options, loop::offer);
    }

    FileReflector(Path feed, BuildOptions options, Offers offers) {
        this.path = feed.toAbsolutePath();
        this.feed = new Feed(feed, options.serviceProxyName());
        this.offers = offers;
    }

    /** Starts the watching thread. A feed that does not exist yet is waited for, and reported once. */
    @Override
    public synchronized void start(Supervisor supervisor) {
        heartbeat = supervisor.heartbeat("sluice-feed", STUCK);
        worker = supervisor.loop("sluice-feed", this::run);
    }

    @Override
    public List<WatchStatus> watches() {
        return List.of();
    }

    /** The next look, within two seconds, is at every file. */
    @Override
    public void rescan() {
        rescan = true;
    }

    @Override
    public synchronized void close() {
        if (worker != null) {
            if (!stop(worker)) {
                log.warn("reading a file of feed {} does not end", path);
            }
            worker = null;
        }
        Heartbeat beating = heartbeat;
        if (beating != null) {
            beating.close();
        }
    }

    /** False if its thread does not end. */
    private static boolean stop(Worker worker) {
        worker.close();
        try {
            return worker.join(END);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            return false;
        }
    }

    /**
     * Reads the feed once, without following it: what would be programmed, and every problem found.
     *
     * @param interfaceAddresses those of this machine; used if the feed's node is this machine, as far as can be told
     */
    public static Reading read(Path feed, BuildOptions options, List<IpAddress> interfaceAddresses) {
        ProblemTracker board = new ProblemTracker();
        ObjectStore store = new ObjectStore(board);
        Feed files = new Feed(feed, options.serviceProxyName());
        // A second look is due only if a file changed while it was read.
        for (int look = 0; look < 3; look++) {
            Feed.Scan scan = files.scan(look * WriteSettleTimer.STILL_NANOS, null);
            scan.changes().forEach(store::replace);
            if (scan.waitNanos() == Long.MAX_VALUE) {
                break;
            }
        }
        SnapshotBuilder builder = new SnapshotBuilder(options, store, board);
        builder.build();
        List<IpAddress> node = builder.localNode().addresses();
        if (node.isEmpty() || node.stream().anyMatch(interfaceAddresses::contains)) {
            builder.interfaceAddresses(interfaceAddresses);
        }
        ServiceSnapshot snapshot = builder.build();
        board.put(FeedLint.class, FeedLint.of(store, builder.localNode()));
        return new Reading(
                snapshot,
                board.publish((problem, appeared) -> {}),
                new Tracer(options, store, builder.localNode(), snapshot));
    }

    /** What a feed says. */
    public record Reading(ServiceSnapshot snapshot, List<Problem> problems, Tracer tracer) {}

    private void run() throws InterruptedException {
        // Of a watch service that has ended, if this runs again.
        watched = null;
        sawAllWrites = false;
        try (WatchService watcher = openWatcher()) {
            while (!Thread.currentThread().isInterrupted()) {
                beat();
                if (rescan) {
                    rescan = false;
                    sawAllWrites = false;
                }
                if (watcher != null) {
                    watch(watcher);
                }
                long before = System.nanoTime();
                boolean all = !sawAllWrites || linkTouched || before - lastFullNanos >= calmNanos();
                Feed.Scan scan = feed.scan(before, sawAllWrites ? written : null, all ? null : touched);
                written.clear();
                touched.clear();
                linkTouched = false;
                sawAllWrites = watched != null;
                scan.changes().forEach((name, state) -> unoffered.merge(name, state, SourceState::then));
                if (!unoffered.isEmpty() || scan.complete() != complete) {
                    complete = scan.complete();
                    offers.offer(Map.copyOf(unoffered), complete);
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
            log.warn("the file watch could not be closed: {}", e.toString());
        }
    }

    private void beat() {
        Heartbeat beating = heartbeat;
        if (beating != null) {
            beating.beat();
        }
    }

    /** Returns null where the kernel has no watch to give; then looking often has to do. */
    private static @Nullable WatchService openWatcher() {
        try {
            return FileSystems.getDefault().newWatchService();
        } catch (IOException e) {
            log.info("files cannot be watched, so they are looked at often: {}", e.toString());
            return null;
        }
    }

    /** Sees to it that the folder there is now is the one that is watched. */
    private void watch(WatchService watcher) {
        Path parent = path.getParent();
        Path folder = parent == null || Files.isDirectory(path) ? path : parent;
        try {
            FileVersion stamp = FileVersion.of(folder);
            if (watched != null && watched.isValid() && watchedFolder != null && stamp.sameFile(watchedFolder)) {
                return;
            }
            unwatch();
            watched = folder.register(
                    watcher,
                    StandardWatchEventKinds.ENTRY_CREATE,
                    StandardWatchEventKinds.ENTRY_MODIFY,
                    StandardWatchEventKinds.ENTRY_DELETE);
            watchedFolder = stamp;
        } catch (IOException e) {
            // Not there yet, or no watch to be had. The scan reports what matters; looking often does for the rest.
            log.debug("{} cannot be watched: {}", folder, e.toString());
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

    /** How long after a look at every file the next one is due though nothing happens. */
    private long calmNanos() {
        long usual = watched == null ? UNWATCHED_NANOS : WATCHED_NANOS;
        return Math.max(usual, Math.min(MAX_PAUSE_NANOS, fullCostNanos * PAUSE_PER_COST));
    }

    /** Waits until something happens, or the feed is due to be looked at again. */
    private void pause(@Nullable WatchService watcher, long costNanos, long dueNanos) throws InterruptedException {
        long rest = Math.min(UNWATCHED_NANOS, Math.max(MIN_PAUSE_NANOS, costNanos));
        TimeUnit.NANOSECONDS.sleep(rest);
        long calm = lastFullNanos + calmNanos() - System.nanoTime();
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
        // A folder that is gone makes its key invalid; the next watch() sees that.
        key.reset();
    }
}
