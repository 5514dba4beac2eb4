package io.sluice.forward;

import io.sluice.socket.KeepAlive;
import java.time.Duration;
import java.util.function.LongSupplier;
import org.jspecify.annotations.Nullable;

/**
 * Settings of the forwarder.
 *
 * @param loops number of event loops, 1 to 64
 * @param busyPoll whether a loop whose events follow closely polls for the next one instead of sleeping
 * @param connectTimeout how long to wait for one endpoint before the next one is tried, if there is one
 * @param connectDeadline how long a connection may take to reach an endpoint, over all attempts; then the client is
 *     reset
 * @param connectAttempts maximum number of endpoints that may time out for one connection
 * @param halfClosedTimeout how long a connection may be closed in one direction and without a byte in the other
 * @param keepAlive TCP keep-alive of the client and the endpoint connection
 * @param stalledTimeout how long a peer may send nothing, not even an acknowledgement, while it has data to acknowledge
 * @param udpUnrepliedTimeout idle timeout of a UDP flow without a reply, or less than two seconds old
 * @param udpRepliedTimeout idle timeout of a UDP flow with a reply
 * @param maxFlows maximum number of UDP flows; 0 derives it from the limits of descriptors and local ports
 * @param maxClientSharePercent share of the descriptors, and of the UDP flows, that one client address may hold while
 *     more than three quarters are in use; 100 for no limit
 * @param bufferBudgetBytes buffer budget for slow readers, over all connections; when it is used up, no new connection is
 *     accepted. 0 for half of the JVM's direct memory
 * @param transparentSockets how to open transparent sockets (node mode); null in bind mode
 * @param nanoClock monotonic clock; replaced in tests
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
        long bufferBudgetBytes,
        @Nullable TransparentSockets transparentSockets,
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
                bufferBudgetBytes,
                transparentSockets,
                nanoClock);
    }

    public ForwarderConfig withTransparentSockets(TransparentSockets sockets) {
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
                bufferBudgetBytes,
                sockets,
                nanoClock);
    }
}
