package io.sluice.forward;

import io.netty.channel.IoEventLoop;
import io.netty.util.concurrent.Future;
import io.sluice.forward.TimeoutQueue.Kind;
import io.sluice.model.TrafficPolicy;
import io.sluice.socket.Descriptors;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.function.Function;
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

    /** Number of queues from which those without entries are dropped. */
    private static final int MAX_UNUSED = 256;

    /** Number of times that a connection with unacknowledged output is checked within one stalled timeout. */
    private static final int CHECKS_PER_STALL = 6;

    /**
     * Connections whose endpoint has not answered; {@link Connector} regularly checks their connect timeout and connect
     * deadline.
     */
    final TimeoutQueue connecting = new TimeoutQueue(Kind.CONNECTING, CONNECT_CHECK_NANOS);
    /**
     * Connections less than two seconds old, for which the socket options of long-lived connections are not set yet.
     */
    final TimeoutQueue newSessions = new TimeoutQueue(Kind.NEW_SESSION, TimeUnit.SECONDS.toNanos(2));

    /** Connections with output that may be unacknowledged. Idle connections are not in any queue. */
    final TimeoutQueue unacknowledged;

    /** Connections that are closed in one direction, or whose last bytes are waiting for a reader. */
    final TimeoutQueue halfClosed;

    /** The timeouts of flows of Services whose traffic policy sets none. */
    final FlowTimeouts defaultFlows;

    /** The timeouts of all flows; more than one entry if a traffic policy sets others. */
    private final Map<FlowDurations, FlowTimeouts> allFlows = new LinkedHashMap<>();

    /** Queues of timeouts that traffic policies set. */
    private final Map<Timeout, TimeoutQueue> others = new HashMap<>();

    /** The queues that may not be empty. */
    private final ArrayList<TimeoutQueue> checked = new ArrayList<>();

    private final IoEventLoop executor;
    private final LongSupplier nanoClock;
    private final FlowLimit flows;
    private final long udpNanos;
    private final long udpUnrepliedNanos;
    private boolean ticking;

    private record Timeout(Kind kind, long nanos) {}

    private record FlowDurations(long repliedNanos, long unrepliedNanos) {}

    Timeouts(IoEventLoop executor, ForwarderConfig config, FlowLimit flows) {
        this.executor = executor;
        this.nanoClock = config.nanoClock();
        this.flows = flows;
        unacknowledged =
                new TimeoutQueue(Kind.UNACKNOWLEDGED, config.stalledTimeout().toNanos() / CHECKS_PER_STALL);
        halfClosed =
                new TimeoutQueue(Kind.HALF_CLOSED, config.halfClosedTimeout().toNanos());
        udpNanos = config.udpRepliedTimeout().toNanos();
        udpUnrepliedNanos = config.udpUnrepliedTimeout().toNanos();
        defaultFlows = flows(udpNanos, udpUnrepliedNanos);
    }

    /** The timeouts of the flows of a Service. */
    FlowTimeouts flows(TrafficPolicy.Timeouts policy) {
        if (policy.udpNanos() == 0 && policy.udpUnrepliedNanos() == 0) {
            return defaultFlows;
        }
        return flows(
                policy.udpNanos() == 0 ? udpNanos : policy.udpNanos(),
                policy.udpUnrepliedNanos() == 0 ? udpUnrepliedNanos : policy.udpUnrepliedNanos());
    }

    private FlowTimeouts flows(long repliedNanos, long unrepliedNanos) {
        return allFlows.computeIfAbsent(
                new FlowDurations(repliedNanos, unrepliedNanos),
                key -> new FlowTimeouts(
                        queue(Kind.UNREPLIED_FLOW, unrepliedNanos),
                        queue(Kind.REPLIED_FLOW, repliedNanos),
                        queue(Kind.FINISHED_FLOW, unrepliedNanos)));
    }

    /** The queue for a timeout that a traffic policy sets. */
    TimeoutQueue queue(Kind kind, long nanos) {
        return others.computeIfAbsent(new Timeout(kind, nanos), key -> new TimeoutQueue(kind, nanos));
    }

    /** Starts or restarts the timeout of an entry in the given queue. */
    void await(TimeoutQueue queue, TimeoutEntry entry, long nowNanos) {
        if (!queue.checked) {
            queue.checked = true;
            checked.add(queue);
        }
        queue.touch(entry, nowNanos);
        startTicking();
    }

    /**
     * Starts the half-closed timeout of a connection; if no bytes are forwarded before it expires, the connection is
     * reset.
     *
     * @param policy the timeouts of the Service
     */
    void startHalfClosed(TimeoutEntry session, TrafficPolicy.Timeouts policy) {
        long ofService = policy.halfClosedNanos();
        await(ofService == 0 ? halfClosed : queue(Kind.HALF_CLOSED, ofService), session, nanoClock.getAsLong());
    }

    /** Whether the half-closed timeout is running. */
    static boolean isHalfClosed(TimeoutEntry session) {
        return session.queue != null && session.queue.kind == Kind.HALF_CLOSED;
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
        forgetUnusedTimeouts();
        // Entries that expire may start timeouts in other queues, which are added at the end.
        for (int i = 0; i < checked.size(); ) {
            TimeoutQueue queue = checked.get(i);
            if (queue.isEmpty()) {
                queue.checked = false;
                checked.set(i, checked.get(checked.size() - 1));
                checked.remove(checked.size() - 1);
            } else {
                // This comes first, so that an exception in expire does not stop the ticks.
                startTicking();
                queue.expire(now);
                i++;
            }
        }
        endFinishedFlows(now);
    }

    /** Bounds the number of queues, however often traffic policies change. A queue without entries can be created again. */
    private void forgetUnusedTimeouts() {
        if (others.size() > MAX_UNUSED) {
            others.values().removeIf(TimeoutQueue::isEmpty);
            allFlows.values().removeIf(timeouts -> !timeouts.equals(defaultFlows) && timeouts.areEmpty());
        }
    }

    /**
     * Ends finished flows early: two seconds after their last datagram while more than half of the flow limit is in
     * use, and at once while more than three quarters of it or of the descriptors are. This avoids evicting flows that
     * are still active.
     */
    void endFinishedFlows(long nowNanos) {
        while (flows.isMoreThanHalf() || Descriptors.areScarce()) {
            boolean atOnce = flows.isScarce() || Descriptors.areScarce();
            TimeoutEntry oldest = oldest(FlowTimeouts::finished);
            if (oldest == null || oldest.queue == null || (nowNanos - oldest.sinceNanos < FINISHED_NANOS && !atOnce)) {
                return;
            }
            oldest.queue.expire(oldest, nowNanos);
        }
    }

    /** The entry that has been longest in one of the queues; null if they are empty. */
    private @Nullable TimeoutEntry oldest(Function<FlowTimeouts, TimeoutQueue> queueOf) {
        TimeoutEntry oldest = null;
        for (FlowTimeouts timeouts : allFlows.values()) {
            TimeoutEntry entry = queueOf.apply(timeouts).oldest();
            if (oldest == null || (entry != null && entry.sinceNanos - oldest.sinceNanos < 0)) {
                oldest = entry;
            }
        }
        return oldest;
    }

    /**
     * The flow to evict: the longest-idle finished flow or, if no flow is finished, the longest-idle flow; null if this
     * loop has no flows.
     */
    @Nullable
    TimeoutEntry idlestFlow() {
        TimeoutEntry finished = oldest(FlowTimeouts::finished);
        if (finished != null) {
            return finished;
        }
        TimeoutEntry unreplied = oldest(FlowTimeouts::unreplied);
        TimeoutEntry replied = oldest(FlowTimeouts::replied);
        boolean repliedFirst = unreplied == null || (replied != null && replied.sinceNanos - unreplied.sinceNanos < 0);
        return repliedFirst ? replied : unreplied;
    }
}
