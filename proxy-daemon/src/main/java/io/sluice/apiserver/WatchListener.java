package io.sluice.apiserver;

import io.sluice.feed.SyncLoop.Trigger;
import io.sluice.rules.ObjectStore.SourceState;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/** Receives the objects and the state of a {@link ListWatch}; called on the thread of the watch. */
interface WatchListener {
    /** Objects changed. Maps paths to the new state of the objects; {@code triggers} are the causes of the change. */
    void changed(Map<String, SourceState> objects, List<Trigger> triggers);

    /** The collection has been listed completely. */
    void listed(Resource resource);

    /** The collection is unavailable, and not required. */
    void unavailable(Resource resource);

    /** The reason why the collection cannot be watched has changed; empty when the watch works again. */
    void trouble(Resource resource, String server, String trouble);

    /** The server responded 404 for the collection. Returns the collection to watch instead; null to retry. */
    @Nullable
    Resource fallbackFor(Resource resource);
}
