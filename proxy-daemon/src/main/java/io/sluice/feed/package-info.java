/**
 * Gets objects into the object store and decides when a new snapshot is due: the {@link io.sluice.feed.Reflector}
 * port, the reflector for files, and the {@link io.sluice.feed.SyncLoop}.
 *
 * <p>May use {@link io.sluice.rules}, {@link io.sluice.objects}, {@link io.sluice.document}, {@link io.sluice.model} and
 * {@link io.sluice.thread}.
 */
@NullMarked
package io.sluice.feed;

import org.jspecify.annotations.NullMarked;
