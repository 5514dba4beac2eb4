package io.sluice.ops;

import io.sluice.document.Problem;
import io.sluice.forward.FrontendCounts;
import java.util.List;

/**
 * State of the daemon at one moment, for metrics.
 *
 * @param bufferedBytes bytes buffered for slow clients and endpoints, summed over all connections
 */
public record DaemonState(SyncState sync, FrontendCounts frontends, List<Problem> problems, long bufferedBytes) {}
