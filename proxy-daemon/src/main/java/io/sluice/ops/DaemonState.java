package io.sluice.ops;

import io.sluice.document.Problem;
import io.sluice.forward.FrontendCounts;
import java.util.List;

/**
 * The daemon at one moment, as metrics see it.
 *
 * @param heldBytes what is kept for readers that do not take it
 */
public record DaemonState(SyncState sync, FrontendCounts frontends, List<Problem> problems, long heldBytes) {}
