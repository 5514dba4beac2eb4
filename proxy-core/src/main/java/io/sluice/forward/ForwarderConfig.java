package io.sluice.forward;

import io.sluice.socket.KeepAlive;
import java.time.Duration;
import java.util.function.LongSupplier;
import org.jspecify.annotations.Nullable;

/**
 * Settings of the forwarder.
 *
 * @param loops number of event loops, 1 to 64
 * @param busyPoll whether a loop polls for the next event instead of sleeping if its events follow each other closely
 * @param connectTimeout how long to wait for one endpoint before trying the next one, if there is one
 * @param connectDeadline total time for all attempts to connect to an endpoint, per client connection; after that the
 *     client connection is reset
 * @param connectAttempts maximum number of endpoints that may time out for one connection
 * @param halfClosedTimeout how long a connection that is closed in one direction may forward no byte in the other
 * @param keepAlive TCP keep-alive settings for both the client connection and the endpoint connection
 * @param stalledTimeout how long a peer may send nothing, not even an acknowledgement, while data sent to it is
 *     unacknowledged
 * @param udpUnrepliedTimeout idle timeout of a UDP flow without a reply or last used in its first two seconds
 * @param udpRepliedTimeout idle timeout of all other UDP flows
 * @param maxFlows maximum number of UDP flows; 0 derives it from the available descriptors and local ports
 * @param maxClientSharePercent percentage of the descriptors, and of the UDP flows, that one client address may hold
 *     while more than three quarters of them are in use; 100 for no limit
 * @param bufferBudgetBytes number of bytes buffered for slow readers, over all connections, from which no new
 *     connections are accepted; 0 for half of the JVM's direct memory
 * @param transparentSockets options of transparent sockets in node mode; null in bind mode
 * @param nanoClock monotonic clock; tests replace it
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
