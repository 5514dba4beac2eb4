package io.sluice.daemon;

import io.sluice.forward.FrontendCounts;
import io.sluice.kube.Problem;
import java.util.List;

/**
 * The daemon at one moment, as metrics see it.
 *
 * @param heldBytes what is kept for readers that do not take it
 */
record DaemonState(SyncState sync, FrontendCounts frontends, List<Problem> problems, long heldBytes) {}
