package io.sluice.forward;

import io.sluice.socket.KeepAlive;
import java.time.Duration;
import java.util.function.LongSupplier;
import org.jspecify.annotations.Nullable;

/**
 * What may be set about forwarding.
 *
 * @param loops the number of event loops, 1 to 64
 * @param busyPoll whether a loop whose events follow each other closely polls for the next one instead of sleeping
 * @param connectTimeout how long one endpoint may take to answer before the next is tried, if there is one
 * @param connectDeadline how long a connection may take to reach an endpoint, over all attempts
 * @param connectAttempts how many endpoints are tried for one connection
 * @param halfClosedTimeout how long a session may be closed in one direction and silent in the other
 * @param keepAlive of both legs of a TCP connection
 * @param stalledTimeout how long a peer may send nothing, not even an acknowledgement, while there is output for it
 * @param udpUnrepliedTimeout how long a flow lives that never got an answer
 * @param udpRepliedTimeout how long a flow lives, silent, that did
 * @param maxFlows the most UDP flows at a time; 0 derives it from the descriptor limit
 * @param maxClientSharePercent how much of the descriptors, and of the flows, one client address may hold while more than
 *     three quarters are in use; 100 for no limit
 * @param maxHeldBytes the most that may be kept for slow readers before no new connection is accepted; 0 takes half of
 *     the JVM's direct memory
 * @param transparency null where all addresses are the machine's own
 * @param nanoClock monotonic time; tests inject their own
 */
public record ForwarderConfig(
        int loops,
        boolean busyPoll,
        Duration connectTimeout,
        Duration connectDeadline,
        int connectAttempts,
        Duration halfClosedTimeout,
        KeepAlive keepAlive,
        Duration stalledTimeout,
        Duration udpUnrepliedTimeout,
        Duration udpRepliedTimeout,
        int maxFlows,
        int maxClientSharePercent,
        long maxHeldBytes,
        @Nullable TransparentSockets transparency,
        LongSupplier nanoClock) {

    public static ForwarderConfig defaults() {
        return new ForwarderConfig(
                Math.min(Runtime.getRuntime().availableProcessors(), 8),
                true,
                Duration.ofMillis(1_500),
                Duration.ofSeconds(10),
                3,
                Duration.ofSeconds(60),
                new KeepAlive(60, 15, 8),
                Duration.ofSeconds(180),
                Duration.ofSeconds(30),
                Duration.ofSeconds(120),
                0,
                25,
                0,
                null,
                System::nanoTime);
    }

    public ForwarderConfig withLoops(int loops) {
        return new ForwarderConfig(
                loops,
                busyPoll,
                connectTimeout,
                connectDeadline,
                connectAttempts,
                halfClosedTimeout,
                keepAlive,
                stalledTimeout,
                udpUnrepliedTimeout,
                udpRepliedTimeout,
                maxFlows,
                maxClientSharePercent,
                maxHeldBytes,
                transparency,
                nanoClock);
    }

    public ForwarderConfig withTransparency(TransparentSockets theTransparency) {
        return new ForwarderConfig(
                loops,
                busyPoll,
                connectTimeout,
                connectDeadline,
                connectAttempts,
                halfClosedTimeout,
                keepAlive,
                stalledTimeout,
                udpUnrepliedTimeout,
                udpRepliedTimeout,
                maxFlows,
                maxClientSharePercent,
                maxHeldBytes,
                theTransparency,
                nanoClock);
    }
}
