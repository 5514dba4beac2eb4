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
import io.sluice.rules.Tracer;
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
 * The control thread. Owns the object store and the snapshot builder, and decides when a snapshot is built and applied.
 *
 * <p>Reflectors offer the current states of their sources. Only the last state of each source is kept, so pending
 * offers never exceed the size of the sources. A burst of changes becomes one snapshot.
 */
public final class SyncLoop implements AutoCloseable {
    private static final Logger log = LoggerFactory.getLogger(SyncLoop.class);

    /** Minimum time between snapshots: combines a burst of changes without a noticeable delay. */
    private static final long MIN_INTERVAL_NANOS = TimeUnit.MILLISECONDS.toNanos(10);

    /** Maximum number of triggers recorded for one snapshot. Triggers are used only for a histogram. */
    private static final int MAX_TRIGGERS = 1_000;

    /** Time without a heartbeat after which the control thread counts as stuck; the same time as in kube-proxy. */
    private static final Duration STUCK_AFTER = Duration.ofSeconds(60);

    private static final long HEARTBEAT_NANOS = TimeUnit.SECONDS.toNanos(10);

    private static final long FIRST_BACK_OFF_NANOS = TimeUnit.MILLISECONDS.toNanos(100);
    private static final long MAX_BACK_OFF_NANOS = TimeUnit.SECONDS.toNanos(5);
    /** Maximum back-off after {@link NotNowException}. */
    private static final long MAX_WAIT_NANOS = TimeUnit.SECONDS.toNanos(1);

    private final Consumer<ServiceSnapshot> target;
    private final ProblemTracker.Listener onProblem;
    private final RoundListener onRound;
    private @Nullable Worker worker;
    private @Nullable Heartbeat heartbeat;

    // Used on the control thread only.
    private final ProblemTracker problemTracker = new ProblemTracker();
    private final ObjectStore store = new ObjectStore(problemTracker);
    private final SnapshotBuilder builder;
    private final List<Trigger> triggers = new ArrayList<>();
    /** Offers taken from {@link #offered} but not yet added to the store. */
    private final Map<String, SourceState> taken = new LinkedHashMap<>();

    private long lastRoundNanos = System.nanoTime() - MIN_INTERVAL_NANOS;
    private long backOffNanos;
    /** Whether the last attempt to apply a snapshot failed, and the failure was logged. */
    private boolean failing;

    private final Questions questions = new Questions();
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

    /** Whether the Node exists; null to look for it in the store. */
    private volatile @Nullable Boolean nodeExists;

    private volatile View view = new View(List.of(), Optional.empty(), ServiceSnapshot.empty(), null);

    /** State published for other threads; {@code lastApplied} is null before the first snapshot was applied. */
    private record View(
            List<Problem> problems,
            Optional<String> nodeIneligibleReason,
            ServiceSnapshot snapshot,
            @Nullable Instant lastApplied) {}

    /**
     * Creates a loop that is not started yet.
     *
     * @param target callback that applies each new snapshot on the control thread; not called until all initial lists
     *     are complete. If the callback throws, it is called again with the same snapshot after a back-off
     * @param onProblem callback for a problem that appears ({@code true}) or is resolved ({@code false})
     * @param onRound callback for each applied snapshot, on the control thread
     */
    public SyncLoop(
            BuildOptions options,
            Consumer<ServiceSnapshot> target,
            ProblemTracker.Listener onProblem,
            RoundListener onRound) {
        this.target = target;
        this.onProblem = onProblem;
        this.onRound = onRound;
        builder = new SnapshotBuilder(options, store, problemTracker);
    }

    /** Starts the control thread. */
    public void start(Supervisor supervisor) {
        heartbeat = supervisor.heartbeat("sluice-sync", STUCK_AFTER);
        worker = supervisor.loop("sluice-sync", this::run);
    }

    /**
     * Offers the current states of some sources as one change; no snapshot contains only a part of it. Does not wait
     * for the snapshot. Thread-safe.
     *
     * @param complete whether every source of the reflector has been offered at least once, including this call
     */
    public void offer(Map<String, SourceState> changes, boolean complete) {
        offer(changes, complete, List.of());
    }

    /**
     * Offers states with the times of their causes. See {@link #offer(Map, boolean)}.
     *
     * @param triggers times at which the causes of the changes happened, for objects that record that time
     */
    public void offer(Map<String, SourceState> changes, boolean complete, List<Trigger> triggers) {
        lock.lock();
        try {
            if (offeredTriggers.size() + triggers.size() <= MAX_TRIGGERS) {
                offeredTriggers.addAll(triggers);
            }
            changes.forEach((source, state) -> offered.merge(source, state, SourceState::then));
            listed |= complete;
            work = true;
            lastOffered = Instant.now();
            // Before the lists are complete nothing is applied, so nothing is pending.
            if (offeredSince == null && listed) {
                offeredSince = lastOffered;
            }
            changed.signal();
        } finally {
            lock.unlock();
        }
    }

    /** Sets the current addresses of this machine's interfaces. Thread-safe. */
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

    /** Passes a tracer to an action on the control thread; {@link NotNowException} if that is busy or has stopped. */
    public void trace(Consumer<Tracer> action) {
        questions.ask(() -> action.accept(builder.tracer(view.snapshot)), this::wakeUp);
    }

    private void wakeUp() {
        lock.lock();
        try {
            changed.signal();
        } finally {
            lock.unlock();
        }
    }

    private void run() throws InterruptedException {
        while (awaitWork()) {
            // After a failure, the builder's objects are newer than the applied snapshot.
            if (!questions.answer(synced() && backOffNanos == 0)) {
                round();
            }
        }
    }

    /** Waits until a snapshot is due or a question was asked; returns false once the loop is closed. */
    private boolean awaitWork() throws InterruptedException {
        lock.lockInterruptibly();
        try {
            while (!closed) {
                Objects.requireNonNull(heartbeat).beat();
                long wait = work
                        ? lastRoundNanos + Math.max(MIN_INTERVAL_NANOS, backOffNanos) - System.nanoTime()
                        : HEARTBEAT_NANOS;
                if (wait <= 0 || !questions.isEmpty()) {
                    return true;
                }
                changed.awaitNanos(Math.min(wait, HEARTBEAT_NANOS));
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
            // Before the lists are complete, a Node that is not in the store may exist, unless it is known to be
            // missing.
            Optional<String> nodeIneligibleReason = complete || Boolean.FALSE.equals(nodeExists)
                    ? builder.nodeIneligibleReason(nodeExists)
                    : Optional.empty();
            logNodeEligibility(nodeIneligibleReason);
            view = new View(problemTracker.publish(onProblem), nodeIneligibleReason, view.snapshot, view.lastApplied);
            if (complete) {
                apply(snapshot, startNanos);
            }
            if (failing) {
                log.info("the new state was applied after a failure");
            }
            failing = false;
            backOffNanos = 0;
        } catch (NotNowException e) {
            log.debug("the new state is not applied yet", e);
            retryLater(MAX_WAIT_NANOS);
        } catch (RuntimeException e) {
            if (!failing) {
                log.error("could not apply the new state; retrying", e);
            }
            failing = true;
            retryLater(MAX_BACK_OFF_NANOS);
        } catch (Error e) {
            // The supervisor restarts this thread, which then retries.
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
        // Remove each offer only when it is in the store, so that an exception does not lose the others.
        for (var each = taken.entrySet().iterator(); each.hasNext(); each.remove()) {
            Map.Entry<String, SourceState> next = each.next();
            store.replace(next.getKey(), next.getValue());
        }
        return complete;
    }

    private void logNodeEligibility(Optional<String> reason) {
        if (reason.equals(view.nodeIneligibleReason)) {
            return;
        }
        reason.ifPresentOrElse(
                why -> log.warn("this node is not eligible for new traffic: {}", why),
                () -> log.info("this node is eligible for new traffic again"));
    }

    private void apply(ServiceSnapshot snapshot, long startNanos) {
        if (view.lastApplied == null || snapshot != view.snapshot) {
            target.accept(snapshot);
            view = new View(view.problems, view.nodeIneligibleReason, snapshot, Instant.now());
            onRound.snapshotApplied(System.nanoTime() - startNanos, List.copyOf(triggers));
        }
        triggers.clear();
        lock.lock();
        try {
            takenSince = null;
        } finally {
            lock.unlock();
        }
    }

    private void retryLater(long maxNanos) {
        backOffNanos = Math.min(maxNanos, Math.max(FIRST_BACK_OFF_NANOS, 2 * backOffNanos));
        lock.lock();
        try {
            work = true;
        } finally {
            lock.unlock();
        }
    }

    /**
     * Sets whether this node's Node exists on the API server; the store may still contain a deleted one. Takes effect
     * with the next offer. Thread-safe.
     */
    public void nodeExists(boolean exists) {
        nodeExists = exists;
    }

    /** Whether {@link #nodeExists(boolean)} was last called with true. */
    public boolean nodeExists() {
        return Boolean.TRUE.equals(nodeExists);
    }

    /** Whether the first snapshot with complete lists has been applied. */
    public boolean synced() {
        return view.lastApplied != null;
    }

    /** Time at which the oldest pending change was offered; empty if none is pending, or the lists are incomplete. */
    public Optional<Instant> pendingSince() {
        lock.lock();
        try {
            return Optional.ofNullable(takenSince != null ? takenSince : offeredSince);
        } finally {
            lock.unlock();
        }
    }

    /** Time at which a reflector last called {@code offer}; empty before the first call. Used for metrics. */
    public Optional<Instant> lastOffered() {
        lock.lock();
        try {
            return Optional.ofNullable(lastOffered);
        } finally {
            lock.unlock();
        }
    }

    /** Reason why this node is not eligible for new traffic; empty if eligible or not yet determined. Thread-safe. */
    public Optional<String> nodeIneligibleReason() {
        return view.nodeIneligibleReason;
    }

    /** Time at which a snapshot was last applied; empty before the first. */
    public Optional<Instant> lastApplied() {
        return Optional.ofNullable(view.lastApplied);
    }

    /** All current problems, ordered by source and object. Thread-safe. */
    public List<Problem> problems() {
        return view.problems;
    }

    /** The last applied snapshot. Thread-safe. */
    public ServiceSnapshot snapshot() {
        return view.snapshot;
    }

    /** Stops the control thread, after it has applied the current snapshot. */
    @Override
    public void close() {
        if (worker == null || heartbeat == null) {
            return;
        }
        worker.stop();
        heartbeat.close();
        questions.close();
        lock.lock();
        try {
            closed = true;
            changed.signal();
        } finally {
            lock.unlock();
        }
        try {
            if (!worker.join(STUCK_AFTER)) {
                log.warn("the control thread is still applying a change; stopping without waiting for it");
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    /** The time of the event that caused a change, and the address family that the change affects. */
    public record Trigger(Instant at, Family family) {}
}
