package io.sluice.feed;

import java.time.Instant;
import java.util.Optional;

/**
 * How well one collection of an API server is followed.
 *
 * @param resource its name, such as {@code endpointslices.discovery.k8s.io}
 * @param synced whether it was listed completely at least once
 * @param lastEvent when the server last said anything about it, bookmarks included
 * @param reconnects watches begun after the first
 * @param relists lists after the first
 * @param server the one asked last
 * @param trouble why it cannot be followed now; empty if it can
 */
public record WatchStatus(
        String resource,
        boolean synced,
        Optional<Instant> lastEvent,
        long reconnects,
        long relists,
        String server,
        String trouble) {

    /** The same, for a collection that was listed but lacks something that has to be there. */
    public WatchStatus lacking(String what) {
        return new WatchStatus(resource, false, lastEvent, reconnects, relists, server, what);
    }
}
