package io.sluice.apiserver;

import java.time.Duration;

/**
 * How long to wait for what.
 *
 * @param idle how long a watch may be silent before it is taken up again: what is silent may be dead, but a server
 *     sends a bookmark about once a minute only
 * @param silence how long a server may send nothing on any of its watches, or no beginning of an answer, before it is
 *     asked whether it is alive
 * @param alive how long the answer to that, or to any other small question, may take
 * @param firstBackOff before the second attempt
 * @param longestBackOff between two attempts to reach servers that do not answer, are overloaded or broken
 * @param longestRefusal between two attempts that a server answers with anything else, and the most that it may ask for
 * @param spread within which collections resume once a server answers again
 * @param nodeWait how long nothing is complete without this node's Node
 */
record WatchTimeouts(
        Duration idle,
        Duration silence,
        Duration alive,
        Duration firstBackOff,
        Duration longestBackOff,
        Duration longestRefusal,
        Duration spread,
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
        return new WatchTimeouts(idle, silence, alive, firstBackOff, longestBackOff, longestRefusal, spread, other);
    }

    /** How often to look whether anything has been silent for too long. */
    Duration look() {
        Duration shorter = idle.compareTo(silence) < 0 ? idle : silence;
        return shorter.dividedBy(8);
    }
}
