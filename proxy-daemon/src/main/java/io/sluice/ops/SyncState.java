package io.sluice.ops;

import io.sluice.feed.WatchStatus;
import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.Optional;

/**
 * How far the daemon is with what it was told, at one moment. Cheap to take, however many Services there are: every probe
 * asks for it.
 *
 * @param pendingSince when the oldest change that is not yet in force arrived
 * @param lastApplied when a change last came into force; empty until the first complete feed is
 * @param lastOffered when the feed was last heard of
 * @param nodeUnfit why this node should get no new traffic
 * @param watches how the API server is followed; empty where objects come from files
 */
public record SyncState(
        boolean stopping,
        Optional<Instant> pendingSince,
        Optional<Instant> lastApplied,
        Optional<Instant> lastOffered,
        Optional<String> nodeUnfit,
        List<WatchStatus> watches) {
    /** kube-proxy's: twice its sync period. */
    private static final Duration STALE = Duration.ofSeconds(60);

    boolean synced() {
        return lastApplied.isPresent();
    }

    /** Whether no change is overdue. A daemon that was told nothing yet is well. */
    public boolean healthy(Instant now) {
        return pendingSince
                .map(since -> Duration.between(since, now).compareTo(STALE) < 0)
                .orElse(true);
    }

    /** Whether load balancers may send this node what any node can serve. A daemon that drains must get nothing new. */
    boolean nodeEligible() {
        return nodeUnfit.isEmpty() && !stopping;
    }
}
