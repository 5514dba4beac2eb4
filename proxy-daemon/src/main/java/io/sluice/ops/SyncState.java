package io.sluice.ops;

import io.sluice.feed.WatchStatus;
import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.Optional;

/**
 * Progress of the daemon in applying its input, at one moment. Created for every probe, so the cost of creating it must
 * not depend on the number of Services.
 *
 * @param pendingSince arrival time of the oldest change that has not been applied yet
 * @param lastApplied time when a change was last applied; empty until the first complete feed is applied
 * @param lastOffered time when the feed or the API server last delivered an update, even if nothing had changed
 * @param nodeIneligibleReason reason why load balancers should send no new traffic to this node; empty if they may
 * @param watches state of the watches on the API server; empty if objects come from files
 */
public record SyncState(
        boolean stopping,
        Optional<Instant> pendingSince,
        Optional<Instant> lastApplied,
        Optional<Instant> lastOffered,
        Optional<String> nodeIneligibleReason,
        List<WatchStatus> watches) {
    /** Age at which a pending change is overdue. kube-proxy uses the same value: twice its sync period. */
    private static final Duration STALE = Duration.ofSeconds(60);

    boolean synced() {
        return lastApplied.isPresent();
    }

    /** Returns whether no change is overdue. A daemon that has not received anything yet is healthy. */
    public boolean healthy(Instant now) {
        return pendingSince
                .map(since -> Duration.between(since, now).compareTo(STALE) < 0)
                .orElse(true);
    }

    /** Returns whether load balancers may send new traffic to this node; false while the daemon drains. */
    boolean nodeEligible() {
        return nodeIneligibleReason.isEmpty() && !stopping;
    }
}
