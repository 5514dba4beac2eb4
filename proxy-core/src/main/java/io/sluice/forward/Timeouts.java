package io.sluice.forward;

import io.netty.channel.IoEventLoop;
import io.netty.util.concurrent.Future;
import io.sluice.socket.Descriptors;
import java.util.concurrent.TimeUnit;
import java.util.function.LongSupplier;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** What the sessions and flows of one loop wait for, and the clock that ends their waits. Belongs to the loop. */
final class Timeouts {
    private static final Logger log = LoggerFactory.getLogger(Timeouts.class);

    /** How precise timeouts are. */
    private static final long TICK_MILLIS = 50;

    /** How long a flow that seems to be over may wait for more while many are open. */
    private static final long BRIEF_NANOS = TimeUnit.SECONDS.toNanos(2);

    /** How often a session that waits for its endpoint looks at the clock; most are connected before the first time. */
    private static final long CONNECT_CHECK_NANOS = TimeUnit.MILLISECONDS.toNanos(100);

    /** How often a session with unacknowledged output is checked within the stalled timeout. */
    private static final int CHECKS_PER_STALL = 6;

    /** Of sessions whose endpoint has not answered yet; each compares its own times with the two limits. */
    final TimeoutQueue connecting = new TimeoutQueue(CONNECT_CHECK_NANOS);
    /** Of sessions that may be over before it is worth a system call to prepare them for a long life. */
    final TimeoutQueue young = new TimeoutQueue(TimeUnit.SECONDS.toNanos(2));

    /** Of sessions with output that their peers may not have acknowledged; an idle session is in no queue. */
    final TimeoutQueue watched;

    final TimeoutQueue halfClosed;
    final TimeoutQueue unrepliedFlows;
    final TimeoutQueue repliedFlows;
    /** Of flows that seem to be over; they wait for more like those without an answer, if few are open. */
    final TimeoutQueue briefFlows;

    private final TimeoutQueue[] queues;
    private final IoEventLoop executor;
    private final LongSupplier nanoClock;
    private final FlowLimit flows;
    private boolean ticking;

    Timeouts(IoEventLoop executor, ForwarderConfig config, FlowLimit flows) {
        this.executor = executor;
        this.nanoClock = config.nanoClock();
        this.flows = flows;
        watched = new TimeoutQueue(config.stalledTimeout().toNanos() / CHECKS_PER_STALL);
        halfClosed = new TimeoutQueue(config.halfClosedTimeout().toNanos());
        unrepliedFlows = new TimeoutQueue(config.udpUnrepliedTimeout().toNanos());
        repliedFlows = new TimeoutQueue(config.udpRepliedTimeout().toNanos());
        briefFlows = new TimeoutQueue(config.udpUnrepliedTimeout().toNanos());
        queues = new TimeoutQueue[] {connecting, young, watched, halfClosed, unrepliedFlows, repliedFlows, briefFlows};
    }

    /** The wait of {@code timed} in one of these queues starts, or starts again. */
    void await(TimeoutQueue queue, TimeoutEntry timed, long nowNanos) {
        queue.touch(timed, nowNanos);
        startTicking();
    }

    private void startTicking() {
        if (!ticking) {
            ticking = true;
            later(this::tick, TICK_MILLIS);
        }
    }

    /** Runs a task on the loop after a while; an exception it throws is logged. */
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
                // Before anything expires, so that a failure there does not stop the clock.
                startTicking();
                queue.expire(now);
            }
        }
        endBriefFlows(now);
    }

    /** Ends flows that seem to be finished. The fuller it gets, the sooner, so that no others have to go. */
    void endBriefFlows(long nowNanos) {
        while (flows.moreThanHalf() || Descriptors.areScarce()) {
            boolean atOnce = flows.areScarce() || Descriptors.areScarce();
            TimeoutEntry oldest = briefFlows.oldest();
            if (oldest == null || (nowNanos - oldest.sinceNanos < BRIEF_NANOS && !atOnce)) {
                return;
            }
            briefFlows.expire(oldest, nowNanos);
        }
    }

    /** The flow that has been idle longest, finished ones first. */
    @Nullable
    TimeoutEntry idlestFlow() {
        TimeoutEntry brief = briefFlows.oldest();
        if (brief != null) {
            return brief;
        }
        TimeoutEntry unreplied = unrepliedFlows.oldest();
        TimeoutEntry replied = repliedFlows.oldest();
        boolean repliedFirst = unreplied == null || (replied != null && replied.sinceNanos - unreplied.sinceNanos < 0);
        return repliedFirst ? replied : unreplied;
    }
}
