package io.sluice.apiserver;

import io.sluice.feed.SyncLoop.Trigger;
import io.sluice.rules.ObjectStore.SourceState;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/** Receives the objects and the state of a {@link ListWatch}. Called on the watch's thread. */
interface WatchListener {
    /** Called with the new states of changed objects, by path, and with the times of the changes behind them. */
    void changed(Map<String, SourceState> objects, List<Trigger> triggers);

    /** Called when the collection has been listed completely. */
    void listed(Resource resource);

    /** Called when a collection that is not required is missing or forbidden. */
    void unavailable(Resource resource);

    /** Called when the reason for a watch failure changes; {@code trouble} is empty once the watch works again. */
    void trouble(Resource resource, String server, String trouble);

    /** Called when a server responds 404 to the first list. Returns the collection to watch instead; null to retry. */
    @Nullable
    Resource fallbackFor(Resource resource);
}
