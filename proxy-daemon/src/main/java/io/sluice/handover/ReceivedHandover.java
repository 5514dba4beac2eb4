package io.sluice.handover;

import java.time.Duration;
import java.time.Instant;

/**
 * What this process received in a handover.
 *
 * @param fromPid process ID of the old process; 0 if it is in another PID namespace
 * @param connections number of established connections that continue in this process
 * @param connectionsLeft number of established connections that the old process kept
 * @param isComplete whether no more connections follow
 * @param duration time from connecting to the old process until its last message so far
 */
public record ReceivedHandover(
        int fromPid,
        int frontends,
        int flows,
        int connections,
        int connectionsLeft,
        boolean isComplete,
        Duration duration,
        Instant receivedAt) {
    ReceivedHandover withConnections(int moved, int left, boolean complete, Duration soFar) {
        return new ReceivedHandover(fromPid, frontends, flows, moved, left, complete, soFar, receivedAt);
    }
}
