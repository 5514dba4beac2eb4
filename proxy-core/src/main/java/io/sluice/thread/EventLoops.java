package io.sluice.thread;

import io.netty.channel.IoEventLoopGroup;
import io.netty.channel.IoHandlerFactory;
import io.netty.channel.MultiThreadIoEventLoopGroup;
import io.netty.util.concurrent.DefaultThreadFactory;
import io.netty.util.concurrent.EventExecutor;
import io.netty.util.concurrent.Future;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;

/** Netty event loops that are supervised: one that ends, or does nothing for a minute, is a failure of the process. */
public final class EventLoops {
    public static final Duration STUCK = Duration.ofSeconds(60);
    private static final long BEAT_SECONDS = 10;

    private final IoEventLoopGroup group;
    private final LibraryThreads threads;
    private final List<Heartbeat> heartbeats = new ArrayList<>();

    /** @param name of the threads, which are numbered */
    public EventLoops(Supervisor supervisor, String name, int loops, IoHandlerFactory ioHandlers) {
        threads = supervisor.libraryThreads(name, new DefaultThreadFactory(name, true));
        group = new MultiThreadIoEventLoopGroup(loops, threads, ioHandlers);
        for (EventExecutor loop : group) {
            Heartbeat heartbeat = supervisor.heartbeat(name + "-" + (heartbeats.size() + 1), STUCK);
            heartbeats.add(heartbeat);
            beat(loop, heartbeat);
        }
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
