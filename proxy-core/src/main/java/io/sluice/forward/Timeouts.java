package io.sluice.forward;

import io.netty.channel.IoEventLoop;
import io.netty.util.concurrent.Future;
import io.sluice.socket.Descriptors;
import java.util.concurrent.TimeUnit;
import java.util.function.LongSupplier;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** The timeout queues of one loop, and the task that expires their entries. Used only by the loop's thread. */
final class Timeouts {
    private static final Logger log = LoggerFactory.getLogger(Timeouts.class);

    /** Interval at which the queues are checked, and therefore the precision of all timeouts. */
    private static final long TICK_MILLIS = 50;

    /** Idle timeout of finished flows while many flows are open. */
    private static final long FINISHED_NANOS = TimeUnit.SECONDS.toNanos(2);

    /**
     * Interval at which the timeouts of a connection attempt are checked; most attempts succeed before the first check.
     */
    private static final long CONNECT_CHECK_NANOS = TimeUnit.MILLISECONDS.toNanos(100);

    /** Number of times that a connection with unacknowledged output is checked within one stalled timeout. */
    private static final int CHECKS_PER_STALL = 6;

    /**
     * Connections whose endpoint has not answered; {@link Connector} regularly checks their connect timeout and connect
     * deadline.
     */
    final TimeoutQueue connecting = new TimeoutQueue(CONNECT_CHECK_NANOS);
    /**
     * Connections less than two seconds old, for which the socket options of long-lived connections are not set yet.
     */
    final TimeoutQueue newSessions = new TimeoutQueue(TimeUnit.SECONDS.toNanos(2));

    /** Connections with output that may be unacknowledged. Idle connections are not in any queue. */
    final TimeoutQueue unacknowledged;

    /** Connections that are closed in one direction, or whose last bytes are waiting for a reader. */
    final TimeoutQueue halfClosed;

    final TimeoutQueue unrepliedFlows;
    final TimeoutQueue repliedFlows;
    /**
     * Flows that are probably finished, because their one or two requests were answered. They have the same timeout as
     * unreplied flows, and end earlier if many flows are open.
     */
    final TimeoutQueue finishedFlows;

    private final TimeoutQueue[] queues;
    private final IoEventLoop executor;
    private final LongSupplier nanoClock;
    private final FlowLimit flows;
    private boolean ticking;

    Timeouts(IoEventLoop executor, ForwarderConfig config, FlowLimit flows) {
        this.executor = executor;
        this.nanoClock = config.nanoClock();
        this.flows = flows;
        unacknowledged = new TimeoutQueue(config.stalledTimeout().toNanos() / CHECKS_PER_STALL);
        halfClosed = new TimeoutQueue(config.halfClosedTimeout().toNanos());
        unrepliedFlows = new TimeoutQueue(config.udpUnrepliedTimeout().toNanos());
        repliedFlows = new TimeoutQueue(config.udpRepliedTimeout().toNanos());
        finishedFlows = new TimeoutQueue(config.udpUnrepliedTimeout().toNanos());
        queues = new TimeoutQueue[] {
            connecting, newSessions, unacknowledged, halfClosed, unrepliedFlows, repliedFlows, finishedFlows
        };
    }

    /** Starts or restarts the timeout of an entry in the given queue. */
    void await(TimeoutQueue queue, TimeoutEntry entry, long nowNanos) {
        queue.touch(entry, nowNanos);
        startTicking();
    }

    private void startTicking() {
        if (!ticking) {
            ticking = true;
            later(this::tick, TICK_MILLIS);
        }
    }

    /** Runs a task on the loop after a delay. An exception thrown by the task is logged. */
    void later(Runnable task, long delayMillis) {
        Future<?> scheduled = executor.schedule(task, delayMillis, TimeUnit.MILLISECONDS);
        scheduled.addListener(done -> {
            if (done.cause() != null && !done.isCancelled()) {
                log.error("internal error in a scheduled task", done.cause());
            }
        });
    }

    private void tick() {
        ticking = false;
        long now = nanoClock.getAsLong();
        for (TimeoutQueue queue : queues) {
            if (!queue.isEmpty()) {
                // This comes first, so that an exception in expire does not stop the ticks.
                startTicking();
                queue.expire(now);
            }
        }
        endFinishedFlows(now);
    }

    /**
     * Ends finished flows early: two seconds after their last datagram while more than half of the flow limit is in
     * use, and at once while more than three quarters of it or of the descriptors are. This avoids evicting flows that
     * are still active.
     */
    void endFinishedFlows(long nowNanos) {
        while (flows.isMoreThanHalf() || Descriptors.areScarce()) {
            boolean atOnce = flows.isScarce() || Descriptors.areScarce();
            TimeoutEntry oldest = finishedFlows.oldest();
            if (oldest == null || (nowNanos - oldest.sinceNanos < FINISHED_NANOS && !atOnce)) {
                return;
            }
            finishedFlows.expire(oldest, nowNanos);
        }
    }

    /**
     * The flow to evict: the longest-idle finished flow or, if no flow is finished, the longest-idle flow; null if this
     * loop has no flows.
     */
    @Nullable
    TimeoutEntry idlestFlow() {
        TimeoutEntry finished = finishedFlows.oldest();
        if (finished != null) {
            return finished;
        }
        TimeoutEntry unreplied = unrepliedFlows.oldest();
        TimeoutEntry replied = repliedFlows.oldest();
        boolean repliedFirst = unreplied == null || (replied != null && replied.sinceNanos - unreplied.sinceNanos < 0);
        return repliedFirst ? replied : unreplied;
    }
}
