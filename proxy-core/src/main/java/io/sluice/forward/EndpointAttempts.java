package io.sluice.forward;

import io.sluice.balance.Balancer;
import io.sluice.balance.EndpointTarget;
import io.sluice.balance.FrontendRouting;
import io.sluice.balance.ServiceState;
import io.sluice.model.Endpoint;
import io.sluice.model.IpAddress;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * Chooses the endpoints that one connection tries: the first by session affinity or with the balancer, the others with
 * the balancer, and none twice. Each choice uses the routing that is active at that moment. Used only by the loop's thread.
 */
final class EndpointAttempts {
    /**
     * Maximum number of failed attempts. A refused attempt costs little, but without this limit a client of a thousand
     * refusing endpoints would try them all.
     */
    private static final int MAX_FAILED = 16;

    private final FrontendRoutes frontend;
    private final ServiceState service;
    private final IpAddress client;
    private final int maxTimedOut;
    /** Endpoints that failed; empty for nearly all connections. */
    private List<Endpoint> failed = List.of();

    private int timedOut;
    /** The routing in which {@link #alternativeTo} found no other endpoint; it is not searched again. */
    private @Nullable FrontendRouting exhaustedRouting;

    EndpointAttempts(FrontendRoutes frontend, ServiceState service, IpAddress client, int maxTimedOut) {
        this.frontend = frontend;
        this.service = service;
        this.client = client;
        this.maxTimedOut = maxTimedOut;
    }

    /** Returns the endpoint for the first attempt; null if the routing rejects or drops this client. */
    @Nullable
    EndpointTarget first(FrontendRouting routing, long nowNanos) {
        Balancer balancer = routing.balancerFor(client);
        return balancer == null ? null : routing.pick(client, balancer, nowNanos);
    }

    /** Returns the endpoint for the next attempt; null if no untried endpoint is left or too many attempts failed. */
    @Nullable
    EndpointTarget nextUntried(long nowNanos) {
        return timedOut >= maxTimedOut ? null : findUntried(frontend.routing, null, nowNanos);
    }

    /**
     * Returns an endpoint to try instead of one that does not answer; null if there is none. After returning null, this
     * method does not search again until the routing changes.
     */
    @Nullable
    @SuppressWarnings("ReferenceEquality") // whether the routing was replaced
    EndpointTarget alternativeTo(EndpointTarget tried, long nowNanos) {
        FrontendRouting routing = frontend.routing;
        if (timedOut + 1 >= maxTimedOut || routing == exhaustedRouting) {
            return null;
        }
        EndpointTarget next = findUntried(routing, tried.endpoint, nowNanos);
        exhaustedRouting = next == null ? routing : null;
        return next;
    }

    private @Nullable EndpointTarget findUntried(FrontendRouting routing, @Nullable Endpoint tried, long nowNanos) {
        Balancer balancer = routing.service() == service ? routing.balancerFor(client) : null;
        if (balancer == null || failed.size() >= MAX_FAILED) {
            return null;
        }
        List<Endpoint> excluded = failed;
        if (tried != null) {
            excluded = new ArrayList<>(failed);
            excluded.add(tried);
        }
        return balancer.pick(client, excluded, nowNanos);
    }

    /** The currently active routing. */
    FrontendRouting routing() {
        return frontend.routing;
    }

    /**
     * Records a failed attempt.
     *
     * @param timeouts number of complete connect timeouts that passed without an answer; 0 for other failures
     */
    void failed(EndpointTarget target, long timeouts, long nowNanos) {
        if (failed.isEmpty()) {
            failed = new ArrayList<>(2);
        }
        failed.add(target.endpoint);
        if (timeouts > 0) {
            timedOut++;
            target.timedOut(timeouts > 1, nowNanos);
        }
    }

    /**
     * Records that the endpoint accepted the connection. If other endpoints failed before and the Service has session
     * affinity, assigns the client to this endpoint.
     */
    void succeeded(EndpointTarget target, long nowNanos) {
        target.answered();
        if (!failed.isEmpty() && frontend.routing.hasSessionAffinity()) {
            service.affinityTable.hold(service, client, target.endpoint, nowNanos);
        }
    }

    boolean anyFailed() {
        return !failed.isEmpty();
    }
}
