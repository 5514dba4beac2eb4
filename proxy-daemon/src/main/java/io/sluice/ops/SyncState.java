package io.sluice.ops;

import io.sluice.feed.WatchStatus;
import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.Optional;

/**
 * Progress of the daemon in applying its input, at one moment. Its cost does not depend on the number of Services, as
 * every probe requests it.
 *
 * @param pendingSince when the oldest change that has not been applied yet arrived
 * @param lastApplied when a change was last applied; empty until the first complete feed is applied
 * @param lastOffered when the feed or the API server last delivered an update, with or without changes
 * @param nodeIneligibleReason why load balancers should send no new traffic to this node; empty if they may
 * @param watches state of the watches of the API server; empty if objects come from files
 */
public record SyncState(
        boolean stopping,
        Optional<Instant> pendingSince,
        Optional<Instant> lastApplied,
        Optional<Instant> lastOffered,
        Optional<String> nodeIneligibleReason,
        List<WatchStatus> watches) {
    /** kube-proxy's value: twice its sync period. */
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

    /** Returns whether load balancers may send new traffic to this node; not while the daemon drains. */
    boolean nodeEligible() {
        return nodeIneligibleReason.isEmpty() && !stopping;
    }
}
