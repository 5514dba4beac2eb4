package io.sluice.feed;

import io.sluice.document.Problem;
import io.sluice.model.Family;
import io.sluice.model.IpAddress;
import io.sluice.model.ServiceSnapshot;
import io.sluice.rules.BuildOptions;
import io.sluice.rules.ObjectStore;
import io.sluice.rules.ObjectStore.SourceState;
import io.sluice.rules.ProblemTracker;
import io.sluice.rules.SnapshotBuilder;
import io.sluice.thread.Heartbeat;
import io.sluice.thread.Supervisor;
import io.sluice.thread.Worker;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.ReentrantLock;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The control thread: owns the object store and the builder, and decides when a snapshot is built and handed on.
 *
 * <p>Reflectors offer what their sources hold now; of several offers for one source only the last is kept, so what
 * waits never exceeds what there is. A burst of changes becomes one snapshot.
 */
public final class SyncLoop implements AutoCloseable {
    private static final Logger log = LoggerFactory.getLogger(SyncLoop.class);

    /** Long enough to make one snapshot of a burst, too short for anybody to notice. */
    private static final long MIN_INTERVAL_NANOS = TimeUnit.MILLISECONDS.toNanos(10);

    /** Of one round; they are only for a histogram. */
    private static final int MOST_TRIGGERS = 1_000;

    /** As long as a change may take until it is applied, kube-proxy's limit too. */
    private static final Duration STUCK = Duration.ofSeconds(60);

    private static final long BEAT_NANOS = TimeUnit.SECONDS.toNanos(10);

    private static final long FIRST_BACK_OFF_NANOS = TimeUnit.MILLISECONDS.toNanos(100);
    private static final long MAX_BACK_OFF_NANOS = TimeUnit.SECONDS.toNanos(5);
    /** Between two attempts that are no failures. */
    private static final long MAX_WAIT_NANOS = TimeUnit.SECONDS.toNanos(1);

    private final Consumer<ServiceSnapshot> target;
    private final ProblemTracker.Listener onProblem;
    private final RoundListener onRound;
    private @Nullable Worker worker;
    private @Nullable Heartbeat heartbeat;

    // Used on the control thread only.
    private final ProblemTracker board = new ProblemTracker();
    private final ObjectStore store = new ObjectStore(board);
    private final SnapshotBuilder builder;
    private final List<Trigger> triggers = new ArrayList<>();
    /** Offers on their way into the store. */
    private final Map<String, SourceState> taken = new LinkedHashMap<>();

    private long lastRoundNanos = System.nanoTime() - MIN_INTERVAL_NANOS;
    private long backOffNanos;
    /** Whether the last snapshot could not be applied, and that was logged. */
    private boolean failing;

    private final ReentrantLock lock = new ReentrantLock();
    private final Condition changed = lock.newCondition();
    // Guarded by the lock.
    private final Map<String, SourceState> offered = new LinkedHashMap<>();
    private List<Trigger> offeredTriggers = new ArrayList<>();
    private List<IpAddress> interfaceAddresses = List.of();
    private boolean listed;
    private boolean work;
    private boolean closed;
    private @Nullable Instant offeredSince;
    private @Nullable Instant takenSince;
    private @Nullable Instant lastOffered;

    /** Null if only the objects tell. */
    private volatile @Nullable Boolean nodeExists;

    private volatile View view = new View(List.of(), Optional.empty(), ServiceSnapshot.empty(), null);

    /** What other threads see; {@code lastApplied} is null before the first snapshot was handed on. */
    private record View(
            List<Problem> problems,
            Optional<String> nodeIneligibleReason,
            ServiceSnapshot snapshot,
            @Nullable Instant lastApplied) {}

    /**
     * Makes a loop that is not yet started.
     *
     * @param target receives each new snapshot, on the control thread; never before the first complete list. One that it
     *     fails to apply it receives again after a while
     * @param onProblem told of each problem when it appears ({@code true}) and when it is gone ({@code false})
     * @param onRound told of each snapshot handed on, on the control thread
     */
    public SyncLoop(
            BuildOptions options,
            Consumer<ServiceSnapshot> target,
            ProblemTracker.Listener onProblem,
            RoundListener onRound) {
        this.target = target;
        this.onProblem = onProblem;
        this.onRound = onRound;
        builder = new SnapshotBuilder(options, store, board);
    }

    /** Starts the control thread. */
    public void start(Supervisor supervisor) {
        heartbeat = supervisor.heartbeat("sluice-sync", STUCK);
        worker = supervisor.loop("sluice-sync", this::run);
    }

    /**
     * Takes what some sources hold now, as one change: no snapshot shows a part of it. Never blocks for long. Any thread.
     *
     * @param complete whether with this everything the reflector lists has been offered at least once
     */
    public void offer(Map<String, SourceState> changes, boolean complete) {
        offer(changes, complete, List.of());
    }

    /**
     * The same, with the time of the cause.
     *
     * @param triggers when what led to these changes happened, where an object says so
     */
    public void offer(Map<String, SourceState> changes, boolean complete, List<Trigger> triggers) {
        lock.lock();
        try {
            if (offeredTriggers.size() + triggers.size() <= MOST_TRIGGERS) {
                offeredTriggers.addAll(triggers);
            }
            changes.forEach((source, state) -> offered.merge(source, state, SourceState::then));
            listed |= complete;
            work = true;
            lastOffered = Instant.now();
            // Until the lists are complete nothing is to be applied, so nothing can be late.
            if (offeredSince == null && listed) {
                offeredSince = lastOffered;
            }
            changed.signal();
        } finally {
            lock.unlock();
        }
    }

    /** The machine's interfaces have these addresses now. Any thread. */
    public void offerInterfaceAddresses(List<IpAddress> addresses) {
        lock.lock();
        try {
            interfaceAddresses = List.copyOf(addresses);
            work = true;
            changed.signal();
        } finally {
            lock.unlock();
        }
    }

    private void run() throws InterruptedException {
        while (awaitWork()) {
            round();
        }
    }

    /** Returns false when it is time to end. */
    private boolean awaitWork() throws InterruptedException {
        lock.lockInterruptibly();
        try {
            while (!closed) {
                Objects.requireNonNull(heartbeat).beat();
                long wait = work
                        ? lastRoundNanos + Math.max(MIN_INTERVAL_NANOS, backOffNanos) - System.nanoTime()
                        : BEAT_NANOS;
                if (wait <= 0) {
                    return true;
                }
                changed.awaitNanos(Math.min(wait, BEAT_NANOS));
            }
            return false;
        } finally {
            lock.unlock();
        }
    }

    private void round() {
        long startNanos = System.nanoTime();
        try {
            boolean complete = takeOffers();
            ServiceSnapshot snapshot = builder.build();
            // Before the lists are complete the Node may just not have arrived, unless it is known that there is none.
            Optional<String> nodeIneligibleReason = complete || Boolean.FALSE.equals(nodeExists)
                    ? builder.nodeIneligibleReason(nodeExists)
                    : Optional.empty();
            tellOfNode(nodeIneligibleReason);
            view = new View(board.publish(onProblem), nodeIneligibleReason, view.snapshot, view.lastApplied);
            if (complete) {
                handOn(snapshot, startNanos);
            }
            if (failing) {
                log.info("the state is applied again");
            }
            failing = false;
            backOffNanos = 0;
        } catch (NotNowException e) {
            log.debug("the new state is not applied yet", e);
            retryLater(MAX_WAIT_NANOS);
        } catch (RuntimeException e) {
            if (!failing) {
                log.error("the new state could not be applied; trying again until it can", e);
            }
            failing = true;
            retryLater(MAX_BACK_OFF_NANOS);
        } catch (Error e) {
            // The work is still to be done when this thread runs again.
            retryLater(MAX_BACK_OFF_NANOS);
            throw e;
        }
        lastRoundNanos = System.nanoTime();
    }

    private boolean takeOffers() {
        boolean complete;
        lock.lock();
        try {
            offered.forEach((source, state) -> taken.merge(source, state, SourceState::then));
            offered.clear();
            triggers.addAll(offeredTriggers);
            offeredTriggers = new ArrayList<>();
            work = false;
            complete = listed;
            builder.interfaceAddresses(interfaceAddresses);
            if (takenSince == null) {
                takenSince = offeredSince;
            }
            offeredSince = null;
        } finally {
            lock.unlock();
        }
        // One by one: what is not in the store yet stays if this fails.
        for (var each = taken.entrySet().iterator(); each.hasNext(); each.remove()) {
            Map.Entry<String, SourceState> next = each.next();
            store.replace(next.getKey(), next.getValue());
        }
        return complete;
    }

    private void tellOfNode(Optional<String> unfit) {
        if (unfit.equals(view.nodeIneligibleReason)) {
            return;
        }
        unfit.ifPresentOrElse(
                why -> log.warn("this node should get no new traffic: {}", why),
                () -> log.info("this node may get new traffic again"));
    }

    private void handOn(ServiceSnapshot snapshot, long startNanos) {
        if (view.lastApplied == null || snapshot != view.snapshot) {
            target.accept(snapshot);
            view = new View(view.problems, view.nodeIneligibleReason, snapshot, Instant.now());
            onRound.handedOn(System.nanoTime() - startNanos, List.copyOf(triggers));
        }
        triggers.clear();
        lock.lock();
        try {
            takenSince = null;
        } finally {
            lock.unlock();
        }
    }

    private void retryLater(long mostNanos) {
        backOffNanos = Math.min(mostNanos, Math.max(FIRST_BACK_OFF_NANOS, 2 * backOffNanos));
        lock.lock();
        try {
            work = true;
        } finally {
            lock.unlock();
        }
    }

    /**
     * Whether there is a Node of this name now, from a source that knows; the one in the store may be the last that there
     * was. In force with the next offer. Any thread.
     */
    public void nodeExists(boolean exists) {
        nodeExists = exists;
    }

    /** Whether it was said last that there is one. */
    public boolean nodeExists() {
        return Boolean.TRUE.equals(nodeExists);
    }

    /** Whether the first complete list has been handed to the target. */
    public boolean synced() {
        return view.lastApplied != null;
    }

    /**
     * When the oldest change that is not yet handed on arrived; empty if there is none, and before the first complete
     * list. For health.
     */
    public Optional<Instant> pendingSince() {
        lock.lock();
        try {
            return Optional.ofNullable(takenSince != null ? takenSince : offeredSince);
        } finally {
            lock.unlock();
        }
    }

    /** When a reflector last offered something, changed or not; empty before the first time. For metrics. */
    public Optional<Instant> lastOffered() {
        lock.lock();
        try {
            return Optional.ofNullable(lastOffered);
        } finally {
            lock.unlock();
        }
    }

    /** Why this node should get no new traffic; empty if it may, and before the first complete list. Any thread. */
    public Optional<String> nodeIneligibleReason() {
        return view.nodeIneligibleReason;
    }

    /** When a snapshot was last handed on; empty before the first. */
    public Optional<Instant> lastApplied() {
        return Optional.ofNullable(view.lastApplied);
    }

    /** All problems there are now, ordered by source and object. Any thread. */
    public List<Problem> problems() {
        return view.problems;
    }

    /** The last snapshot handed on. Any thread. */
    public ServiceSnapshot snapshot() {
        return view.snapshot;
    }

    /** Ends the control thread, after the round it may be in. */
    @Override
    public void close() {
        if (worker == null || heartbeat == null) {
            return;
        }
        worker.stop();
        heartbeat.close();
        lock.lock();
        try {
            closed = true;
            changed.signal();
        } finally {
            lock.unlock();
        }
        try {
            if (!worker.join(STUCK)) {
                log.warn("the last change does not end");
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    /** Thrown by a target that waits for something which is no fault, and is to receive the snapshot again. */
    public static final class NotNowException extends RuntimeException {
        private static final long serialVersionUID = 1;

        public NotNowException(String reason) {
            super(reason);
        }
    }

    /** When something happened that had to come into force, and for which family. */
    public record Trigger(Instant at, Family family) {}

    /** Called on the control thread; must not block. */
    @FunctionalInterface
    public interface RoundListener {
        /**
         * A snapshot is in force.
         *
         * @param nanos how long that took since it was taken up
         * @param triggers what led to it, as far as that is known
         */
        void handedOn(long nanos, List<Trigger> triggers);
    }
}
