package io.sluice.kube;

import io.sluice.model.ServiceSnapshot;
import java.time.Instant;
import java.util.List;
import java.util.Optional;
import java.util.function.Consumer;

/**
 * The control thread: owns the object store and the builder, and decides when a snapshot is built and handed on.
 */
public final class SyncLoop implements AutoCloseable {

    /**
     * @param target receives each new snapshot, on the control thread; never before the first complete list
     * @param onProblem told of each problem when it appears ({@code true}) and when it is gone ({@code false})
     */
    public SyncLoop(BuildOptions options, Consumer<ServiceSnapshot> target, ProblemListener onProblem) {}

    public void start() {}

    /** Whether the first complete list has been handed to the target. */
    public boolean synced() {
        return false;
    }

    /** When the oldest change that is not yet handed on arrived; empty if there is none. For health. */
    public Optional<Instant> pendingSince() {
        return Optional.empty();
    }

    /** When a snapshot was last handed on; empty before the first. */
    public Optional<Instant> lastApplied() {
        return Optional.empty();
    }

    /** All problems there are now, ordered by source and object. Any thread. */
    public List<Problem> problems() {
        return List.of();
    }

    /** The last snapshot handed on. Any thread. */
    public ServiceSnapshot snapshot() {
        return ServiceSnapshot.empty();
    }

    @Override
    public void close() {}

    @FunctionalInterface
    public interface ProblemListener {
        void changed(Problem problem, boolean appeared);
    }
}
