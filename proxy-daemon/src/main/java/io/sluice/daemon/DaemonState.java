package io.sluice.daemon;

import io.sluice.forward.FrontendStatus;
import io.sluice.kube.Problem;
import java.time.Instant;
import java.util.List;
import java.util.Optional;

/**
 * The daemon at one moment, as health and metrics see it.
 *
 * @param synced whether the first complete feed is in force
 * @param pendingSince when the oldest change that is not yet in force arrived
 * @param lastApplied when a change last came into force
 * @param heldBytes what is kept for readers that do not take it
 */
record DaemonState(
        boolean stopping,
        boolean synced,
        Optional<Instant> pendingSince,
        Optional<Instant> lastApplied,
        List<FrontendStatus> frontends,
        List<Problem> problems,
        long heldBytes) {

    long count(FrontendStatus.State state) {
        return frontends.stream().filter(f -> f.state() == state).count();
    }
}
