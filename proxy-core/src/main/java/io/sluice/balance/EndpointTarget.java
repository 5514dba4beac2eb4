package io.sluice.balance;

import io.sluice.model.Endpoint;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.net.InetSocketAddress;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;

/**
 * An endpoint of a {@link RoundRobin}, with its socket address and passive health check.
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

    private static final VarHandle SILENT_UNTIL;

    static {
        try {
            SILENT_UNTIL = MethodHandles.lookup().findVarHandle(EndpointTarget.class, "silentUntilNanos", long.class);
        } catch (ReflectiveOperationException e) {
            throw new ExceptionInInitializerError(e);
        }
    }

    /** The value if the last attempt did not time out. */
    private static final long ANSWERS = Long.MIN_VALUE;
    /** The value if the last attempt timed out, but the attempt before it did not. */
    private static final long SUSPECT = Long.MIN_VALUE + 1;

    public final Endpoint endpoint;

    // Created on first use, because few of 250,000 endpoints are ever connected to. A race is harmless: it creates two
    // equal objects.
    private @Nullable InetSocketAddress socketAddress;

    /** {@link #ANSWERS}, {@link #SUSPECT}, or the time until which the endpoint is skipped. */
    private volatile long silentUntilNanos = ANSWERS;

    public EndpointTarget(Endpoint endpoint) {
        this.endpoint = endpoint;
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
