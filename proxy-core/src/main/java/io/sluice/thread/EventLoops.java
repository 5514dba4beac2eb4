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

/** Netty event loops that are supervised: one that ends, or does nothing for a minute, is a failure of the process. */
public final class EventLoops {
    public static final Duration STUCK = Duration.ofSeconds(60);
    private static final long BEAT_SECONDS = 10;

    private final IoEventLoopGroup group;
    private final LibraryThreads threads;
    private final List<Heartbeat> heartbeats = new ArrayList<>();

    private EventLoops(Supervisor supervisor, String name, Function<ThreadFactory, IoEventLoopGroup> newGroup) {
        threads = supervisor.libraryThreads(name, new DefaultThreadFactory(name, true));
        group = newGroup.apply(threads);
        for (EventExecutor loop : group) {
            Heartbeat heartbeat = supervisor.heartbeat(name + "-" + (heartbeats.size() + 1), STUCK);
            heartbeats.add(heartbeat);
            beat(loop, heartbeat);
        }
    }

    /**
     * Starts loops.
     *
     * @param name of the threads, which are numbered
     */
    public static EventLoops start(Supervisor supervisor, String name, int loops, IoHandlerFactory ioHandlers) {
        return new EventLoops(supervisor, name, threads -> new MultiThreadIoEventLoopGroup(loops, threads, ioHandlers));
    }

    /**
     * Starts one loop that spends a limited time on tasks before it polls for events again. Netty's groups have no
     * parameter for that; their default is a second.
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

    @SuppressWarnings("FutureReturnValueIgnored") // should it fail, the loop counts as stuck
    private static void beat(EventExecutor loop, Heartbeat heartbeat) {
        loop.scheduleAtFixedRate(heartbeat::beat, 0, BEAT_SECONDS, TimeUnit.SECONDS);
    }

    public IoEventLoopGroup group() {
        return group;
    }

    /** Ends the loops; they may end from now on. Done when they have. */
    public Future<?> close(Duration quietPeriod, Duration timeout) {
        threads.close();
        heartbeats.forEach(Heartbeat::close);
        return group.shutdownGracefully(quietPeriod.toMillis(), timeout.toMillis(), TimeUnit.MILLISECONDS);
    }
}
