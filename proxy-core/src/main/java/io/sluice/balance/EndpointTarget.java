package io.sluice.balance;

import io.sluice.balance.EndpointHealth.State;
import io.sluice.model.Endpoint;
import io.sluice.stats.EndpointCells;
import io.sluice.stats.EndpointStats;
import io.sluice.stats.ServiceStats;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.net.InetSocketAddress;
import java.time.Instant;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import java.util.function.UnaryOperator;
import org.jspecify.annotations.Nullable;

/**
 * An endpoint of a service port, with its socket address, counters and passive health check. All {@link Balancer}s of
 * the service port share it.
 *
 * <p>An endpoint that does not answer is called silent and is skipped for five seconds. Otherwise, if one of two
 * endpoints were silent, every second client would have to wait for a timeout. After five seconds, a single connection
 * may try the endpoint again; other connections keep skipping it until that attempt succeeds.
 *
 * <p>An endpoint becomes silent after two connect timeouts in a row, in two attempts or in one that waited that long.
 * One timeout covers only a SYN and its first retransmission. At 3 % packet loss, one attempt in a thousand loses both,
 * and a healthy endpoint would then lose its share of the connections. Two timeouts cover four packets; all four are
 * lost in one case in a million. As a drawback, one more client waits for a dead endpoint. Thread-safe.
 */
public final class EndpointTarget {
    private static final long SKIP_NANOS = TimeUnit.SECONDS.toNanos(5);

    /**
     * Time without an error after which a UDP endpoint no longer counts as failing. Longer than the second for which
     * the kernel may withhold ICMP errors of one host (icmp_ratelimit).
     */
    private static final long NO_ERROR_NANOS = TimeUnit.SECONDS.toNanos(10);

    private static final VarHandle SILENT_UNTIL;
    private static final VarHandle HEALTH;
    private static final VarHandle STATS;
    private static final VarHandle CONNECTIONS;

    static {
        try {
            MethodHandles.Lookup lookup = MethodHandles.lookup();
            SILENT_UNTIL = lookup.findVarHandle(EndpointTarget.class, "silentUntilNanos", long.class);
            HEALTH = lookup.findVarHandle(EndpointTarget.class, "health", EndpointHealth.class);
            STATS = lookup.findVarHandle(EndpointTarget.class, "stats", EndpointStats.class);
            CONNECTIONS = lookup.findVarHandle(EndpointTarget.class, "connections", int.class);
        } catch (ReflectiveOperationException e) {
            throw new ExceptionInInitializerError(e);
        }
    }

    /** The value if the last attempt did not time out. */
    private static final long ANSWERS = Long.MIN_VALUE;
    /** The value if the last attempt timed out, but the attempt before it did not. */
    private static final long SUSPECT = Long.MIN_VALUE + 1;

    public final Endpoint endpoint;
    private final ServiceStats service;
    private final Consumer<EndpointChange> onChange;

    // Created on first use, because few of 250,000 endpoints are ever connected to. A race is harmless: it creates two
    // equal objects.
    private @Nullable InetSocketAddress socketAddress;

    /** {@link #ANSWERS}, {@link #SUSPECT}, or the time until which the endpoint is skipped. */
    private volatile long silentUntilNanos = ANSWERS;

    private volatile EndpointHealth health = EndpointHealth.NEVER_TRIED;
    private volatile long lastErrorNanos;
    /** Null until the first connection. */
    private volatile @Nullable EndpointStats stats;
    /**
     * The number of connections and flows that are open or being opened. Counted only if the traffic policy needs it,
     * because {@link #stats} has a cell for each event loop and does not count attempts.
     */
    private volatile int connections;
    /** Maximum of {@link #connections}; 0 for no limit. */
    private volatile int maxConnections;

    private volatile @Nullable SlowStart slowStart;

    /** Why the endpoint gets no new connections; null if it gets some. */
    private volatile @Nullable OutOfUse outOfUse;

    /**
     * Creates the target of an endpoint to which no connection has been attempted.
     *
     * @param service the counters of the service port
     * @param onChange callback for changes of the health, on an event loop; must not block
     */
    EndpointTarget(ServiceStats service, Consumer<EndpointChange> onChange, Endpoint endpoint) {
        this.service = service;
        this.onChange = onChange;
        this.endpoint = endpoint;
    }

    /** The counters of a loop. Must be called only from that loop. */
    public EndpointCells cells(int loop) {
        EndpointStats known = stats;
        if (known == null) {
            STATS.compareAndSet(this, null, new EndpointStats(service.loops()));
            known = (EndpointStats) STATS.getVolatile(this);
        }
        return known.cells(loop);
    }

    /** The number of open connections and flows. */
    long active() {
        EndpointStats known = stats;
        return known == null ? 0 : known.active();
    }

    /** Sets the maximum number of connections and flows; 0 for no limit. Open ones are not closed. */
    void maxConnections(int max) {
        maxConnections = max;
    }

    /** The number of counted connections and flows, including attempts. */
    int connections() {
        return connections;
    }

    /** Whether the endpoint has reached its connection limit. */
    boolean isFull() {
        int max = maxConnections;
        return max > 0 && connections >= max;
    }

    /** Whether the endpoint is neither at its connection limit nor in a list of endpoints that were tried. */
    boolean isFree(List<Endpoint> tried) {
        return !isFull() && (tried.isEmpty() || !tried.contains(endpoint));
    }

    /** Starts or, with null, ends the slow start. Called by the control thread only. */
    void slowStart(@Nullable SlowStart start) {
        slowStart = start;
    }

    /** The slow start; null if the endpoint was not new when the service port got it. It may have ended. */
    @Nullable
    SlowStart slowStart() {
        return slowStart;
    }

    /** Counts a new connection or flow, unless the endpoint has reached its connection limit. */
    public boolean tryAcquire() {
        int max = maxConnections;
        int before;
        do {
            before = connections;
            if (max > 0 && before >= max) {
                return false;
            }
        } while (!CONNECTIONS.compareAndSet(this, before, before + 1));
        return true;
    }

    /** Counts a connection that was open before connections were counted, even if it exceeds the limit. */
    public void acquire() {
        CONNECTIONS.getAndAdd(this, 1);
    }

    /** Counts the end of a connection or flow. */
    public void release() {
        CONNECTIONS.getAndAdd(this, -1);
    }

    /** Sets why the endpoint gets no new connections; null if it gets some. Called by the control thread only. */
    void outOfUse(@Nullable OutOfUse reason) {
        outOfUse = reason;
    }

    /** Records that the service port no longer has the endpoint, unless that is known. */
    void removed(Instant now) {
        OutOfUse reason = outOfUse;
        if (reason == null || reason.byOperator()) {
            outOfUse = new OutOfUse(false, State.DRAINING, now, null);
        }
    }

    /** Whether an operator has taken the endpoint out. */
    boolean isTakenOut() {
        OutOfUse reason = outOfUse;
        return reason != null && reason.byOperator();
    }

    /** Whether listings contain the endpoint: not once it was removed and its last connection has ended. */
    boolean isListed() {
        OutOfUse reason = outOfUse;
        return reason == null || reason.byOperator() || active() > 0;
    }

    /** The health and counters at this moment. */
    public EndpointStatus status() {
        OutOfUse reason = outOfUse;
        EndpointHealth now = reason == null ? health : health.with(reason.state(), reason.since());
        EndpointStats known = stats;
        return new EndpointStatus(
                service.name(),
                endpoint,
                now,
                known == null ? EndpointStats.NONE : known,
                reason == null ? null : reason.until());
    }

    /** Whether the endpoint is passed over, except for a trial connection. */
    boolean isEjected() {
        return silentUntilNanos > SUSPECT;
    }

    /**
     * Whether a new connection may use this endpoint. Once a silent endpoint has been skipped for long enough, this
     * returns true to one caller and starts the next skip period.
     */
    boolean allowsAttempt(long nowNanos) {
        long until = silentUntilNanos;
        return until <= SUSPECT
                || (nowNanos - until >= 0 && SILENT_UNTIL.compareAndSet(this, until, nowNanos + SKIP_NANOS));
    }

    /**
     * Records a connection attempt that the endpoint did not answer.
     *
     * @param severalTimes whether the attempt waited for more than one connect timeout
     */
    public void timedOut(boolean severalTimes, long nowNanos) {
        if (severalTimes || !SILENT_UNTIL.compareAndSet(this, ANSWERS, SUSPECT)) {
            silentUntilNanos = nowNanos + SKIP_NANOS;
        }
    }

    /** Records that the endpoint answered. */
    public void answered() {
        if (silentUntilNanos != ANSWERS) {
            silentUntilNanos = ANSWERS;
        }
        if (health.state() != State.UP) {
            recovered();
        }
    }

    private void recovered() {
        Instant now = Instant.now();
        change(before -> before.afterSuccess(now));
    }

    /**
     * Records that datagrams have been sent for seconds without an ICMP error. An endpoint that never replies, such as a
     * log server, would otherwise count as failing forever after one error.
     */
    public void sentWithoutError(long nowNanos) {
        if (health.state() == State.REFUSING && nowNanos - lastErrorNanos >= NO_ERROR_NANOS) {
            Instant now = Instant.now();
            change(before -> before.state() == State.REFUSING ? before.withoutErrors(now) : before);
        }
    }

    /**
     * Records a failure that the endpoint or the network to it caused.
     *
     * @param failing {@code REFUSING} or {@code SILENT}
     * @param error text such as {@code connection refused}
     */
    public void failed(State failing, String error, long nowNanos) {
        lastErrorNanos = nowNanos;
        Instant now = Instant.now();
        change(before -> before.afterFailure(failing, error, now));
    }

    private void change(UnaryOperator<EndpointHealth> change) {
        EndpointHealth before;
        EndpointHealth after;
        do {
            before = health;
            after = change.apply(before);
        } while (!HEALTH.compareAndSet(this, before, after));
        if (before.state() != after.state()) {
            onChange.accept(new EndpointChange(service.name(), endpoint, before, after));
        }
    }

    /** The address to connect to. */
    public InetSocketAddress socketAddress() {
        InetSocketAddress address = socketAddress;
        if (address == null) {
            address = endpoint.address().toSocketAddress(endpoint.port());
            socketAddress = address;
        }
        return address;
    }

    @Override
    public String toString() {
        return endpoint.toString();
    }
}
