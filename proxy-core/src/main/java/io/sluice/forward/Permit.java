package io.sluice.forward;

import io.sluice.balance.EndpointTarget;
import io.sluice.balance.ServiceLimits.Refusal;
import io.sluice.balance.ServiceState;
import io.sluice.model.IpAddress;
import io.sluice.model.TrafficPolicy;
import org.jspecify.annotations.Nullable;

/**
 * The part of a connection or flow in what a traffic policy counts: the connections of the service port, of the client
 * and of the endpoint. Created only if the policy counts any of them. Used only by the loop's thread.
 */
final class Permit {
    private final ServiceState service;
    private final IpAddress client;
    /** Whether this connection or flow is counted for the service port and the client. */
    private boolean counted;
    /** The endpoint for which it is counted; null if there is none. */
    private @Nullable EndpointTarget acquired;

    Permit(ServiceState service, IpAddress client) {
        this.service = service;
        this.client = client;
    }

    static boolean isNeeded(TrafficPolicy policy) {
        return policy.limits().restrictsClients() || policy.countsPerEndpoint();
    }

    /** Counts a new connection or flow, or returns why it exceeds a limit. */
    @Nullable
    Refusal admit(TrafficPolicy policy, long nowNanos) {
        if (!policy.limits().restrictsClients()) {
            return null;
        }
        Refusal refusal = service.limits().tryOpen(policy.limits(), client, nowNanos);
        counted = refusal == null;
        return refusal;
    }

    /** Counts an attempt with an endpoint; returns false if the endpoint has reached its limit. */
    boolean tryAcquire(EndpointTarget target) {
        if (!target.tryAcquire()) {
            return false;
        }
        acquired = target;
        return true;
    }

    /** Ends an attempt that failed. */
    void releaseEndpoint() {
        EndpointTarget target = acquired;
        if (target != null) {
            acquired = null;
            target.release();
        }
    }

    /** Counts an open connection or flow for what a new policy counts, even if it exceeds a limit. */
    void adopt(TrafficPolicy policy, EndpointTarget target) {
        adopt(policy);
        if (acquired == null && policy.countsPerEndpoint()) {
            acquired = target;
            target.acquire();
        }
    }

    /** As {@link #adopt(TrafficPolicy, EndpointTarget)}, for a connection without an endpoint. */
    void adopt(TrafficPolicy policy) {
        if (!counted && policy.limits().restrictsClients()) {
            counted = true;
            service.limits().opened(client);
        }
    }

    /** Ends the connection or flow. Idempotent. */
    void release() {
        releaseEndpoint();
        if (counted) {
            counted = false;
            service.limits().closed(client);
        }
    }
}
