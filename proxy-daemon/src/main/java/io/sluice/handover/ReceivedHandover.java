package io.sluice.handover;

import java.time.Duration;
import java.time.Instant;

/**
 * What this process received in a handover.
 *
 * @param fromPid process ID of the old process; 0 if it is in another PID namespace
 * @param connections number of established connections that continue in this process
 * @param connectionsLeft number of established connections that the old process kept
 * @param duration time from connecting to the old process until its final reply
 */
public record ReceivedHandover(
        int fromPid,
        int frontends,
        int flows,
        int connections,
        int connectionsLeft,
        Duration duration,
        Instant receivedAt) {}
