package io.sluice.forward;

import java.util.concurrent.TimeUnit;

/**
 * The timeout queues of flows with the same timeouts, on one loop.
 *
 * @param finished for flows that are probably finished, because their one or two requests were answered. They have the
 *     same timeout as unreplied flows, and end earlier if many flows are open
 */
record FlowTimeouts(TimeoutQueue unreplied, TimeoutQueue replied, TimeoutQueue finished) {
    /** Age from which a flow with a reply has the long timeout. */
    static final long MIN_REPLIED_AGE_NANOS = TimeUnit.SECONDS.toNanos(2);

    /** Whether no flow waits for one of the timeouts. */
    boolean areEmpty() {
        return unreplied.isEmpty() && replied.isEmpty() && finished.isEmpty();
    }

    /** The queue of a flow that has just forwarded a datagram. */
    TimeoutQueue queueOf(FlowTraffic traffic, long ageNanos) {
        if (traffic.replies > 0 && ageNanos >= MIN_REPLIED_AGE_NANOS) {
            return replied;
        }
        return traffic.isProbablyFinished() ? finished : unreplied;
    }
}
