package io.sluice.ops;

import io.sluice.feed.WatchStatus;
import java.time.Duration;
import java.time.Instant;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

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

    /** Returns a JSON object for each watch. */
    public List<Map<String, @Nullable Object>> watchesAsJson(Instant now) {
        return watches.stream().map(watch -> json(watch, now)).toList();
    }

    private static Map<String, @Nullable Object> json(WatchStatus watch, Instant now) {
        Map<String, @Nullable Object> json = new LinkedHashMap<>();
        json.put("resource", watch.resource());
        json.put("synced", watch.synced());
        json.put(
                "lastEventAgeSeconds",
                watch.lastEvent()
                        .map(at -> Math.max(0, Duration.between(at, now).toMillis()) / 1e3)
                        .orElse(null));
        json.put("reconnects", watch.reconnects());
        json.put("relists", watch.relists());
        json.put("server", watch.server());
        json.put("trouble", watch.trouble());
        return json;
    }
}
