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
    private final IpAddress peer;
    private final IpAddress client;
    /** Endpoints that failed or have reached their connection limit; empty for nearly all connections. */
    private List<Endpoint> excluded = List.of();

    // Bytes, because one object is created for every connection.
    private byte failures;

    private byte timedOut;
    private boolean allFull;
    /** The routing in which {@link #alternativeTo} found no other endpoint; it is not searched again. */
    private @Nullable FrontendRouting exhaustedRouting;

    /** @param peer the address from which packets arrive, see {@link FrontendRouting#balancerFor(IpAddress, IpAddress)} */
    EndpointAttempts(FrontendRoutes frontend, ServiceState service, IpAddress peer, IpAddress client) {
        this.frontend = frontend;
        this.service = service;
        this.peer = peer;
        this.client = client;
    }

    /** Returns the endpoint for the first attempt; null if the routing rejects or drops this client. */
    @Nullable
    EndpointTarget first(FrontendRouting routing, long nowNanos) {
        Balancer balancer = routing.service() == service ? routing.balancerFor(peer, client) : null;
        if (balancer == null) {
            return null;
        }
        EndpointTarget first = routing.pick(client, balancer, nowNanos);
        allFull = first == null;
        return first;
    }

    /** Returns the endpoint for the next attempt; null if no untried endpoint is left or too many attempts failed. */
    @Nullable
    EndpointTarget nextUntried(int maxTimedOut, long nowNanos) {
        return timedOut >= maxTimedOut ? null : findUntried(frontend.routing, null, nowNanos);
    }

    /**
     * Returns an endpoint to try instead of one that does not answer; null if there is none. After returning null, this
     * method does not search again until the routing changes.
     */
    @Nullable
    @SuppressWarnings("ReferenceEquality") // whether the routing was replaced
    EndpointTarget alternativeTo(EndpointTarget tried, int maxTimedOut, long nowNanos) {
        FrontendRouting routing = frontend.routing;
        if (timedOut + 1 >= maxTimedOut || routing == exhaustedRouting) {
            return null;
        }
        EndpointTarget next = findUntried(routing, tried.endpoint, nowNanos);
        exhaustedRouting = next == null ? routing : null;
        return next;
    }

    private @Nullable EndpointTarget findUntried(FrontendRouting routing, @Nullable Endpoint tried, long nowNanos) {
        Balancer balancer = routing.service() == service ? routing.balancerFor(peer, client) : null;
        if (balancer == null || failures >= MAX_FAILED) {
            return null;
        }
        List<Endpoint> except = excluded;
        if (tried != null) {
            except = new ArrayList<>(excluded);
            except.add(tried);
        }
        return balancer.pick(client, except, nowNanos);
    }

    /**
     * Returns an endpoint instead of one that has reached its connection limit; null if there is none. The limit may
     * have been reached after the endpoint was picked, and session affinity picks endpoints regardless of it.
     */
    @Nullable
    EndpointTarget otherThan(EndpointTarget full, long nowNanos) {
        exclude(full.endpoint);
        EndpointTarget other = findUntried(frontend.routing, null, nowNanos);
        allFull = other == null;
        return other;
    }

    private void exclude(Endpoint endpoint) {
        if (excluded.isEmpty()) {
            excluded = new ArrayList<>(2);
        }
        excluded.add(endpoint);
    }

    /** The currently active routing. */
    FrontendRouting routing() {
        return frontend.routing;
    }

    /**
     * Records a failed attempt.
     *
     * @param silent whether at least one complete connect timeout passed without an answer
     */
    void failed(EndpointTarget target, boolean silent) {
        exclude(target.endpoint);
        failures++;
        timedOut += (byte) (silent ? 1 : 0);
    }

    /**
     * Records that the endpoint accepted the connection. If other endpoints failed before and the Service has session
     * affinity, assigns the client to this endpoint.
     */
    void succeeded(EndpointTarget target, long nowNanos) {
        target.answered();
        if (failures > 0 && frontend.routing.hasSessionAffinity()) {
            service.affinityTable.hold(service, client, target.endpoint, nowNanos);
        }
    }

    boolean anyFailed() {
        return failures > 0;
    }

    /** Whether there are endpoints, but all have reached their connection limit. */
    boolean allFull() {
        return allFull;
    }
}
