package io.sluice.apiserver;

import io.sluice.feed.SyncLoop.Trigger;
import io.sluice.rules.ObjectStore.SourceState;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/** Receives the objects and the state of a {@link ListWatch}. Called on the watch's thread. */
interface WatchListener {
    /** Called when objects changed. Maps each path to the object's new state; {@code triggers} caused the change. */
    void changed(Map<String, SourceState> objects, List<Trigger> triggers);

    /** Called when the collection has been listed completely. */
    void listed(Resource resource);

    /** Called when the collection is unavailable but not required. */
    void unavailable(Resource resource);

    /** Called when the reason why the collection cannot be watched changes; empty once the watch works again. */
    void trouble(Resource resource, String server, String trouble);

    /** Called when the server responds 404 for the collection. Returns the one to watch instead; null to retry. */
    @Nullable
    Resource fallbackFor(Resource resource);
}
