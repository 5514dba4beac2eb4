package io.sluice.forward;

import io.sluice.balance.EndpointTarget;
import io.sluice.balance.FrontendRouting;
import io.sluice.balance.ServiceLimits.Refusal;
import io.sluice.forward.EndedConnection.End;
import io.sluice.forward.TimeoutQueue.Kind;
import io.sluice.model.Endpoint;
import io.sluice.model.IpAddress;
import io.sluice.model.TrafficPolicy;
import io.sluice.stats.Counter;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;

/**
 * What the traffic policy of a Service requires of one connection: its part in the limits, and its timeouts. Created
 * only for connections of Services whose policy needs it, so that the others cost nothing. Used only by the loop's
 * thread.
 */
final class SessionPolicy {
    /** Time without a forwarded byte after which a connection is quiet. */
    private static final long QUIET_NANOS = TimeUnit.SECONDS.toNanos(1);

    /** The maximum age varies by this fraction, so that connections opened together are not closed together. */
    private static final double AGE_JITTER = 0.1;

    /** Number of times that the age of a connection is checked until it has reached its maximum. */
    private static final int AGE_CHECKS = 50;

    final TcpSession session;
    private final Loop loop;
    /** The address from which packets arrive; differs from the client's if a PROXY protocol header said so. */
    private final IpAddress peer;

    /** Null while the connection counts toward no limit. */
    private @Nullable Permit permit;

    private @Nullable SessionTimer idle;
    private @Nullable SessionTimer age;
    private @Nullable SessionTimer drain;
    private long maxAgeNanos;
    private long ageCheckNanos;
    private long lastActiveNanos;

    SessionPolicy(TcpSession session) {
        this.session = session;
        this.loop = session.loop;
        this.peer = session.clientAddress;
        this.lastActiveNanos = session.openedNanos;
    }

    /** Whether connections of a Service need an instance from the start. */
    static boolean isNeeded(TrafficPolicy policy) {
        return Permit.isNeeded(policy)
                || policy.timeouts().idleNanos() > 0
                || policy.lifetime().maxAgeNanos() > 0;
    }

    IpAddress peer() {
        return peer;
    }

    /** Counts the connection toward the limits; returns the counter of the limit that it exceeds, or null. */
    @Nullable
    Counter admit(TrafficPolicy policy) {
        if (!Permit.isNeeded(policy)) {
            return null;
        }
        Permit asked = new Permit(session.service, session.clientAddress);
        permit = asked;
        Refusal refusal = asked.admit(policy, loop.now());
        if (refusal == null) {
            return null;
        }
        return switch (refusal) {
            case SERVICE -> Counter.SESSIONS_OVER_SERVICE_LIMIT;
            case CLIENT -> Counter.SESSIONS_OVER_CLIENT_LIMIT;
            case RATE -> Counter.SESSIONS_OVER_CLIENT_RATE;
        };
    }

    /** Counts an attempt with an endpoint; returns false if the endpoint has reached its limit. */
    boolean tryAcquire(EndpointTarget target, TrafficPolicy policy) {
        return permit == null || !policy.countsPerEndpoint() || permit.tryAcquire(target);
    }

    /** Ends an attempt that failed. */
    void releaseEndpoint() {
        if (permit != null) {
            permit.releaseEndpoint();
        }
    }

    /** Applies the current policy to an established connection; called again when the policy changes. */
    static void apply(TcpSession session, long nowNanos) {
        TrafficPolicy policy = session.frontend.routing.policy();
        Relay relay = session.relay;
        if (!session.isOver() && relay != null && (session.policy != null || isNeeded(policy))) {
            session.policyOrNew().apply(policy, relay.target, nowNanos);
        }
        // The endpoint may have been removed while the connection was being established.
        if (policy.lifetime().removal() != TrafficPolicy.Removal.KEEP && !isEndpointServing(session)) {
            endpointRemoved(session, policy.lifetime());
        }
    }

    private void apply(TrafficPolicy policy, EndpointTarget target, long nowNanos) {
        if (Permit.isNeeded(policy)) {
            if (permit == null) {
                permit = new Permit(session.service, session.clientAddress);
            }
            permit.adopt(policy, target);
        }
        SessionTimer.cancel(idle);
        idle = null;
        long idleNanos = policy.timeouts().idleNanos();
        if (idleNanos > 0) {
            idle = new SessionTimer(this);
            loop.timeouts.await(loop.timeouts.queue(Kind.IDLE, idleNanos), idle, nowNanos);
        }
        applyAge(policy.lifetime().maxAgeNanos(), nowNanos);
    }

    private void applyAge(long nanos, long nowNanos) {
        if (nanos == 0) {
            SessionTimer.cancel(age);
            age = null;
            return;
        }
        double factor = 1 + AGE_JITTER * (2 * ThreadLocalRandom.current().nextDouble() - 1);
        maxAgeNanos = (long) (nanos * factor);
        age = age == null ? new SessionTimer(this) : age;
        ageCheckNanos = Math.max(QUIET_NANOS, nanos / AGE_CHECKS);
        loop.timeouts.await(loop.timeouts.queue(Kind.AGE, ageCheckNanos), age, nowNanos);
    }

    /** Records that bytes were forwarded. */
    void active(long nowNanos) {
        lastActiveNanos = nowNanos;
        SessionTimer timer = idle;
        if (timer != null && timer.queue != null) {
            timer.queue.touch(timer, nowNanos);
        }
    }

    /** Ends an established connection whose endpoint is gone or no longer serving, as the policy says. */
    static void endpointRemoved(TcpSession session, TrafficPolicy.Lifetime lifetime) {
        if (session.isOver() || session.relay == null) {
            return;
        }
        if (lifetime.removal() == TrafficPolicy.Removal.DRAIN) {
            session.policyOrNew().drain(lifetime.drainNanos());
        } else {
            session.close(Counter.SESSIONS_REMOVED, End.REMOVED, true);
        }
    }

    private void drain(long nanos) {
        if (drain == null || drain.queue == null) {
            drain = new SessionTimer(this);
            loop.timeouts.await(loop.timeouts.queue(Kind.DRAIN, nanos), drain, loop.now());
        }
    }

    void expired(Kind kind, long nowNanos) {
        switch (kind) {
            case IDLE -> session.close(Counter.SESSIONS_IDLE, End.IDLE, false);
            case AGE -> closeIfOldAndQuiet(nowNanos);
            case DRAIN -> {
                // The endpoint may serve again.
                if (!isEndpointServing(session)) {
                    session.close(Counter.SESSIONS_REMOVED, End.REMOVED, true);
                }
            }
            default -> throw new IllegalStateException("unexpected timeout " + kind);
        }
    }

    private static boolean isEndpointServing(TcpSession session) {
        FrontendRouting routing = session.frontend.routing;
        Endpoint endpoint = session.endpoint();
        return routing.service() == session.service
                && endpoint != null
                && routing.servicePort().servingEndpoints().contains(endpoint);
    }

    private void closeIfOldAndQuiet(long nowNanos) {
        Relay relay = session.relay;
        boolean isOld = nowNanos - session.openedNanos >= maxAgeNanos;
        if (isOld && nowNanos - lastActiveNanos >= QUIET_NANOS && relay != null && relay.isQuiet()) {
            session.close(Counter.SESSIONS_TOO_OLD, End.AGE, false);
        } else if (age != null) {
            long checkNanos = isOld ? QUIET_NANOS : ageCheckNanos;
            loop.timeouts.await(loop.timeouts.queue(Kind.AGE, checkNanos), age, nowNanos);
        }
    }

    /** Ends the connection's part in the limits, and its timeouts. */
    void release() {
        SessionTimer.cancel(idle);
        SessionTimer.cancel(age);
        SessionTimer.cancel(drain);
        if (permit != null) {
            permit.release();
        }
    }
}
