package io.sluice.apiserver;

import io.sluice.feed.SyncLoop.Trigger;
import io.sluice.rules.ObjectStore.SourceState;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/** Learns what a {@link ListWatch} finds; called on the thread of the watch. */
interface WatchListener {
    /** What objects are now, by their paths, and what led to that. */
    void changed(Map<String, SourceState> objects, List<Trigger> triggers);

    /** The collection is known completely. */
    void listed(Resource resource);

    /** It cannot be known now, and is not required. */
    void waived(Resource resource);

    /** Why it cannot be watched now; empty when it can again. Told only when it changes. */
    void trouble(Resource resource, String server, String trouble);

    /** The server does not have this collection at all. Returns the one to watch instead; null to go on trying. */
    @Nullable
    Resource absent(Resource resource);
}
