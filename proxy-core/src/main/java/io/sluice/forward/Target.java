package io.sluice.forward;

import io.sluice.model.Endpoint;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.net.InetSocketAddress;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;

/**
 * An endpoint as the sockets want it, and whether it was silent of late.
 *
 * <p>One that did not answer within the connect timeout is passed over for a while: otherwise, with one of two endpoints
 * silent, every client would wait for it in turn. When the while is over, one connection tries it, and the rest go on
 * passing it over until that one has been answered. Any thread.
 */
final class Target {
    private static final long PASSED_OVER_NANOS = TimeUnit.SECONDS.toNanos(5);

    private static final VarHandle SILENT_UNTIL;

    static {
        try {
            SILENT_UNTIL = MethodHandles.lookup().findVarHandle(Target.class, "silentUntilNanos", long.class);
        } catch (ReflectiveOperationException e) {
            throw new ExceptionInInitializerError(e);
        }
    }

    private static final long ANSWERS = Long.MIN_VALUE;

    final Endpoint endpoint;

    // Made at first use: a quarter of a million endpoints are listed, few are dialled. A race makes it twice, equal.
    private @Nullable InetSocketAddress socketAddress;

    private volatile long silentUntilNanos = ANSWERS;

    Target(Endpoint endpoint) {
        this.endpoint = endpoint;
    }

    /** Whether it is this connection's to try. */
    boolean mayBeTried(long nowNanos) {
        long until = silentUntilNanos;
        return until == ANSWERS
                || (nowNanos - until >= 0 && SILENT_UNTIL.compareAndSet(this, until, nowNanos + PASSED_OVER_NANOS));
    }

    void wasSilent(long nowNanos) {
        silentUntilNanos = nowNanos + PASSED_OVER_NANOS;
    }

    void answered() {
        if (silentUntilNanos != ANSWERS) {
            silentUntilNanos = ANSWERS;
        }
    }

    InetSocketAddress socketAddress() {
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
