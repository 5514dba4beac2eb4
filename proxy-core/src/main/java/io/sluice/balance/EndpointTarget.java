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
import org.jspecify.annotations.Nullable;

/**
 * An endpoint of a service port, with its socket address, counters and health. All {@link Balancer}s of the service port
 * share it. Thread-safe.
 *
 * <p>By default, an endpoint is ejected after three consecutive failures, or after two connect timeouts, in two attempts
 * or in one that waited that long. One timeout covers only a SYN and its first retransmission. At 3 % packet loss, one
 * attempt in a thousand loses both, and a healthy endpoint would then lose its share of the connections. Two timeouts
 * cover four packets; all four are lost in one case in a million. As a drawback, one more client waits for a dead
 * endpoint.
 */
public final class EndpointTarget {
    /**
     * Time without an error after which a UDP endpoint no longer counts as failing. Longer than the second for which
     * the kernel may withhold ICMP errors of one host (icmp_ratelimit).
     */
    private static final long NO_ERROR_NANOS = TimeUnit.SECONDS.toNanos(10);

    private static final VarHandle STATS;
    private static final VarHandle CONNECTIONS;

    static {
        try {
            MethodHandles.Lookup lookup = MethodHandles.lookup();
            STATS = lookup.findVarHandle(EndpointTarget.class, "stats", EndpointStats.class);
            CONNECTIONS = lookup.findVarHandle(EndpointTarget.class, "connections", int.class);
        } catch (ReflectiveOperationException e) {
            throw new ExceptionInInitializerError(e);
        }
    }

    public final Endpoint endpoint;
    private final ServiceStats service;
    private final Ejections ejections;

    // Created on first use, because few of 250,000 endpoints are ever connected to. A race is harmless: it creates two
    // equal objects.
    private @Nullable InetSocketAddress socketAddress;

    /** Changed by {@link Ejections} only. */
    private volatile EndpointCondition condition = EndpointCondition.INITIAL;
    /** Whether {@link #condition} is that of an ejected endpoint; a copy, because every choice of an endpoint reads it. */
    private volatile boolean ejected;
    /** Whether the endpoint gets new connections; guarded by {@link #ejections}. */
    private boolean inUse;

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
     * @param ejections the ejections of the service port
     */
    EndpointTarget(ServiceStats service, Ejections ejections, Endpoint endpoint) {
        this.service = service;
        this.ejections = ejections;
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

    /**
     * Records that the endpoint gets no new connections because the service port no longer has it, or uses others.
     *
     * @param drainNanos time after which its connections are reset; negative if they are not
     */
    void removed(Instant now, long drainNanos) {
        OutOfUse before = outOfUse;
        Instant until = drainNanos < 0 ? null : now.plusNanos(drainNanos);
        if (before == null || before.byOperator()) {
            outOfUse = new OutOfUse(false, State.DRAINING, now, until);
        } else if ((before.until() == null) != (until == null)) {
            outOfUse = new OutOfUse(false, State.DRAINING, before.since(), until);
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
        EndpointHealth health = condition.health();
        EndpointHealth now = reason == null ? health : health.with(reason.state(), reason.since());
        EndpointStats known = stats;
        return new EndpointStatus(
                service.name(),
                endpoint,
                now,
                known == null ? EndpointStats.NONE : known,
                reason == null ? health.ejectedUntil() : reason.until());
    }

    EndpointCondition condition() {
        return condition;
    }

    /** Replaces the condition. Called by {@link Ejections} with its lock held. */
    void condition(EndpointCondition newCondition) {
        condition = newCondition;
        ejected = newCondition.isEjected();
    }

    /** Whether the endpoint gets new connections. Called by {@link Ejections} with its lock held. */
    boolean isInUse() {
        return inUse;
    }

    /** Sets whether the endpoint gets new connections. Called by {@link Ejections} with its lock held. */
    void setInUse(boolean newInUse) {
        inUse = newInUse;
    }

    /** Whether the endpoint is passed over, except for a trial connection. */
    public boolean isEjected() {
        return ejected;
    }

    /**
     * Whether a new connection may use this endpoint. Once an endpoint has been ejected for long enough, this returns
     * true to one caller, whose connection is the trial.
     */
    public boolean allowsAttempt(long nowNanos) {
        return !ejected || (nowNanos - condition.ejectedUntilNanos() >= 0 && ejections.startTrial(this, nowNanos));
    }

    /** Records that the endpoint answered. */
    public void answered() {
        if (condition.health().state() != State.UP) {
            ejections.answered(this);
        }
    }

    /**
     * Records that datagrams have been sent for seconds without an ICMP error. An endpoint that never replies, such as a
     * log server, would otherwise count as failing forever after one error.
     */
    public void sentWithoutError(long nowNanos) {
        EndpointCondition now = condition;
        boolean sent = now.health().state() == State.REFUSING || (now.isEjected() && now.onTrial());
        if (sent && now.failing() == State.REFUSING && nowNanos - now.lastErrorNanos() >= NO_ERROR_NANOS) {
            ejections.withoutErrors(this);
        }
    }

    /**
     * Records a failure that the endpoint or the network to it reported.
     *
     * @param error text such as {@code connection refused}
     */
    public void refused(String error, long nowNanos) {
        ejections.failed(this, State.REFUSING, error, EndpointCondition.FAILURE_WEIGHT, nowNanos);
    }

    /**
     * Records a connection attempt that the endpoint did not answer.
     *
     * @param timeouts number of complete connect timeouts that passed; 0 does not count towards an ejection
     * @param error text such as {@code connect timeout}
     */
    public void timedOut(long timeouts, String error, long nowNanos) {
        int weight =
                timeouts > 1 ? EndpointCondition.TIMEOUTS_WEIGHT : (int) timeouts * EndpointCondition.TIMEOUT_WEIGHT;
        ejections.failed(this, State.SILENT, error, weight, nowNanos);
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
