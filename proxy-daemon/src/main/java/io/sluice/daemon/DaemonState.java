package io.sluice.daemon;

import io.sluice.forward.FrontendStatus;
import io.sluice.kube.Problem;
import java.util.List;

/**
 * The daemon at one moment, as metrics and readiness see it. Listing the frontends takes a while where there are many.
 *
 * @param heldBytes what is kept for readers that do not take it
 */
record DaemonState(SyncState sync, List<FrontendStatus> frontends, List<Problem> problems, long heldBytes) {

    long count(FrontendStatus.State state) {
        return frontends.stream().filter(f -> f.state() == state).count();
    }
}
