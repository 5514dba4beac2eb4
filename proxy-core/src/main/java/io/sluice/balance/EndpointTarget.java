package io.sluice.balance;

import io.sluice.model.Endpoint;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.net.InetSocketAddress;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;

/**
 * An endpoint as the sockets want it, and whether it is considered silent.
 *
 * <p>A silent endpoint is skipped for five seconds: otherwise, with one of two endpoints silent, every other client would
 * wait for it. After that, one connection tries it, and the others keep skipping it until that attempt succeeds.
 *
 * <p>It takes two connect timeouts in a row to be considered silent, of two attempts or of one that waited as long. One
 * timeout is only a SYN and its first retransmission: at 3 % packet loss one attempt in a thousand loses both, and a healthy
 * endpoint would lose its share of the connections for it. Two timeouts are four packets, which one attempt in a million
 * loses; a dead endpoint costs one more client a connect timeout. Any thread.
 */
public final class EndpointTarget {
    private static final long PASSED_OVER_NANOS = TimeUnit.SECONDS.toNanos(5);

    private static final VarHandle SILENT_UNTIL;

    static {
        try {
            SILENT_UNTIL = MethodHandles.lookup().findVarHandle(EndpointTarget.class, "silentUntilNanos", long.class);
        } catch (ReflectiveOperationException e) {
            throw new ExceptionInInitializerError(e);
        }
    }

    private static final long ANSWERS = Long.MIN_VALUE;
    /** The last attempt timed out, the one before did not. */
    private static final long SUSPECT = Long.MIN_VALUE + 1;

    public final Endpoint endpoint;

    // Made at first use: a quarter of a million endpoints are listed, few are dialled. A race makes it twice, equal.
    private @Nullable InetSocketAddress socketAddress;

    private volatile long silentUntilNanos = ANSWERS;

    public EndpointTarget(Endpoint endpoint) {
        this.endpoint = endpoint;
    }

    /** Whether it is this connection's to try. */
    boolean mayBeTried(long nowNanos) {
        long until = silentUntilNanos;
        return until <= SUSPECT
                || (nowNanos - until >= 0 && SILENT_UNTIL.compareAndSet(this, until, nowNanos + PASSED_OVER_NANOS));
    }

    /** An attempt waited for a connect timeout, or for several, and got no answer. */
    public void timedOut(boolean severalTimes, long nowNanos) {
        if (severalTimes || !SILENT_UNTIL.compareAndSet(this, ANSWERS, SUSPECT)) {
            silentUntilNanos = nowNanos + PASSED_OVER_NANOS;
        }
    }

    public void answered() {
        if (silentUntilNanos != ANSWERS) {
            silentUntilNanos = ANSWERS;
        }
    }

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
