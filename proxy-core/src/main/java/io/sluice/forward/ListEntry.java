package io.sluice.forward;

import org.jspecify.annotations.Nullable;

/** An entry of a {@link LoopList}: a connection, a flow, or the position of a {@link LoopWalk}. */
abstract class ListEntry {
    @Nullable
    ListEntry before;

    @Nullable
    ListEntry after;

    /** The position in the order in which the loop's entries were added; 0 for the position of a walk. */
    long number;
}
