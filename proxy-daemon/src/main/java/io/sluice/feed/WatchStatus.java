package io.sluice.feed;

import java.time.Instant;
import java.util.Optional;

/**
 * The status of the watch on one API server collection.
 *
 * @param resource name of the collection, such as {@code endpointslices.discovery.k8s.io}
 * @param synced whether the collection has been listed completely at least once
 * @param lastEvent time of the last event, including bookmarks
 * @param reconnects number of watch requests after the first one
 * @param relists number of list requests after the first one
 * @param server API server of the last request
 * @param trouble reason why the collection cannot be watched now; empty if the watch works
 */
public record WatchStatus(
        String resource,
        boolean synced,
        Optional<Instant> lastEvent,
        long reconnects,
        long relists,
        String server,
        String trouble) {

    /** Returns a copy that is not synced, because the list does not contain a required object. */
    public WatchStatus withMissingObject(String what) {
        return new WatchStatus(resource, false, lastEvent, reconnects, relists, server, what);
    }
}
