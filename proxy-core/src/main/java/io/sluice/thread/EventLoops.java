package io.sluice.thread;

import io.netty.channel.IoEventLoopGroup;
import io.netty.channel.IoHandlerFactory;
import io.netty.channel.MultiThreadIoEventLoopGroup;
import io.netty.channel.SingleThreadIoEventLoop;
import io.netty.util.concurrent.DefaultThreadFactory;
import io.netty.util.concurrent.EventExecutor;
import io.netty.util.concurrent.Future;
import io.netty.util.concurrent.RejectedExecutionHandlers;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ThreadFactory;
import java.util.concurrent.TimeUnit;
import java.util.function.Function;

/** A supervised group of Netty event loops: a loop that ends, or is blocked for a minute, is reported as a failure. */
public final class EventLoops {
    /** The time without running a task after which a loop counts as stuck. */
    public static final Duration STUCK_AFTER = Duration.ofSeconds(60);

    private static final long BEAT_SECONDS = 10;

    private final IoEventLoopGroup group;
    private final LibraryThreadFactory threads;
    private final List<Heartbeat> heartbeats = new ArrayList<>();

    private EventLoops(Supervisor supervisor, String name, Function<ThreadFactory, IoEventLoopGroup> newGroup) {
        threads = supervisor.libraryThreadFactory(name, new DefaultThreadFactory(name, true));
        group = newGroup.apply(threads);
        for (EventExecutor loop : group) {
            Heartbeat heartbeat = supervisor.heartbeat(name + "-" + (heartbeats.size() + 1), STUCK_AFTER);
            heartbeats.add(heartbeat);
            beat(loop, heartbeat);
        }
    }

    /**
     * Creates and starts a group of event loops.
     *
     * @param name the name of the threads, to which a number is appended
     */
    public static EventLoops start(Supervisor supervisor, String name, int loops, IoHandlerFactory ioHandlers) {
        return new EventLoops(supervisor, name, threads -> new MultiThreadIoEventLoopGroup(loops, threads, ioHandlers));
    }

    /**
     * Creates and starts one event loop with a limit on how long the loop runs tasks before it polls for events again.
     * Netty's event loop groups have no parameter for this limit, which is one second by default.
     */
    public static EventLoops startOne(
            Supervisor supervisor, String name, IoHandlerFactory ioHandlers, Duration taskTime) {
        return new EventLoops(
                supervisor,
                name,
                threads -> new SingleThreadIoEventLoop(
                        null,
                        threads,
                        ioHandlers,
                        Integer.MAX_VALUE,
                        RejectedExecutionHandlers.reject(),
                        taskTime.toMillis()));
    }

    @SuppressWarnings("FutureReturnValueIgnored") // if the task fails, the loop counts as stuck
    private static void beat(EventExecutor loop, Heartbeat heartbeat) {
        loop.scheduleAtFixedRate(heartbeat::beat, 0, BEAT_SECONDS, TimeUnit.SECONDS);
    }

    /** The Netty group of these loops. */
    public IoEventLoopGroup group() {
        return group;
    }

    /** Shuts down the loops and stops supervising them. The returned future completes when the loops have ended. */
    public Future<?> close(Duration quietPeriod, Duration timeout) {
        threads.close();
        heartbeats.forEach(Heartbeat::close);
        return group.shutdownGracefully(quietPeriod.toMillis(), timeout.toMillis(), TimeUnit.MILLISECONDS);
    }
}
