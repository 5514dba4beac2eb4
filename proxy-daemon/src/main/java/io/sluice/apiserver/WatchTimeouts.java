package io.sluice.apiserver;

import java.time.Duration;

/**
 * Timeouts and back-off limits of the watches.
 *
 * @param idle time without data after which a watch is restarted; longer than a minute, because a server sends a
 *     bookmark only about once a minute
 * @param serverSilence time without data on any watch of a server, or without the start of a response, after which the
 *     server is probed
 * @param probe timeout of a probe and of other small requests
 * @param initialBackOff delay before the second attempt
 * @param maxBackOff maximum delay between attempts while servers are unreachable or respond with 429 or 5xx
 * @param maxErrorBackOff maximum delay between attempts after other error responses; also caps Retry-After
 * @param resumeSpread interval within which each collection resumes at a random time once a server responds again
 * @param nodeWait maximum time that the initial sync waits for this node's Node
 */
record WatchTimeouts(
        Duration idle,
        Duration serverSilence,
        Duration probe,
        Duration initialBackOff,
        Duration maxBackOff,
        Duration maxErrorBackOff,
        Duration resumeSpread,
        Duration nodeWait) {
    static final WatchTimeouts DEFAULT = new WatchTimeouts(
            Duration.ofSeconds(90),
            Duration.ofSeconds(8),
            Duration.ofSeconds(5),
            Duration.ofMillis(200),
            Duration.ofSeconds(5),
            Duration.ofSeconds(30),
            Duration.ofSeconds(1),
            Duration.ZERO);

    WatchTimeouts withNodeWait(Duration other) {
        return new WatchTimeouts(
                idle, serverSilence, probe, initialBackOff, maxBackOff, maxErrorBackOff, resumeSpread, other);
    }

    /** Interval between checks for silent watches and servers. */
    Duration checkInterval() {
        Duration shorter = idle.compareTo(serverSilence) < 0 ? idle : serverSilence;
        return shorter.dividedBy(8);
    }
}
