package io.sluice.feed;

import java.util.List;

/** Called on the control thread of a {@link SyncLoop}; must not block. */
@FunctionalInterface
public interface RoundListener {
    /**
     * Called when a snapshot has been applied.
     *
     * @param nanos time that building and applying the snapshot took
     * @param triggers known causes of the changes
     */
    void snapshotApplied(long nanos, List<SyncLoop.Trigger> triggers);
}
