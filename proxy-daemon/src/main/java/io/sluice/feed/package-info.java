/**
 * Fills the object store and decides when a new snapshot is built: the {@link io.sluice.feed.Reflector} interface, its
 * implementation for files, and the {@link io.sluice.feed.SyncLoop}.
 *
 * <p>This package may use {@link io.sluice.rules}, {@link io.sluice.objects}, {@link io.sluice.document}, {@link
 * io.sluice.model} and {@link io.sluice.thread}.
 */
@NullMarked
package io.sluice.feed;

import org.jspecify.annotations.NullMarked;
