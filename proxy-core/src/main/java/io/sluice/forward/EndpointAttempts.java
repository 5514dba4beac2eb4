package io.sluice.forward;

import io.sluice.balance.EndpointTarget;
import io.sluice.balance.FrontendRouting;
import io.sluice.balance.RoundRobin;
import io.sluice.balance.ServiceState;
import io.sluice.model.Endpoint;
import io.sluice.model.IpAddress;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * Which endpoints one connection tries, one after the other: the first by affinity or turn, then the next in turn, never
 * one twice, by the routes in force at that moment. Belongs to the session's loop.
 */
final class EndpointAttempts {
    /** Endpoints that refuse cost nothing, but a list of a thousand that all do must not be walked for every client. */
    private static final int MOST = 16;

    private final FrontendRoutes frontend;
    private final ServiceState service;
    private final IpAddress client;
    private final int mostSilent;
    /** Empty for nearly every session. */
    private List<Endpoint> failed = List.of();

    private int silent;
    /** The routes that had no other endpoint to try instead of a silent one. */
    private @Nullable FrontendRouting exhausted;

    EndpointAttempts(FrontendRoutes frontend, ServiceState service, IpAddress client, int mostSilent) {
        this.frontend = frontend;
        this.service = service;
        this.client = client;
        this.mostSilent = mostSilent;
    }

    /** Null if this client may not be served. */
    @Nullable
    EndpointTarget first(FrontendRouting routing, long nowNanos) {
        RoundRobin rotation = routing.roundRobinFor(client);
        return rotation == null ? null : routing.pick(client, rotation, nowNanos);
    }

    /** Null if there is none left to try. */
    @Nullable
    EndpointTarget another(long nowNanos) {
        return silent >= mostSilent ? null : untried(frontend.routing, null, nowNanos);
    }

    /** An endpoint to try instead of one that is silent; null if that one is the last. Asked again, it costs nothing. */
    @Nullable
    @SuppressWarnings("ReferenceEquality") // a routing is replaced as a whole
    EndpointTarget insteadOf(EndpointTarget tried, long nowNanos) {
        FrontendRouting routing = frontend.routing;
        if (silent + 1 >= mostSilent || routing == exhausted) {
            return null;
        }
        EndpointTarget next = untried(routing, tried.endpoint, nowNanos);
        exhausted = next == null ? routing : null;
        return next;
    }

    private @Nullable EndpointTarget untried(FrontendRouting routing, @Nullable Endpoint tried, long nowNanos) {
        RoundRobin rotation = routing.service() == service ? routing.roundRobinFor(client) : null;
        if (rotation == null || failed.size() >= MOST) {
            return null;
        }
        for (int turn = 0; turn < rotation.size(); turn++) {
            EndpointTarget next = rotation.next(nowNanos);
            if (!next.endpoint.equals(tried) && !failed.contains(next.endpoint)) {
                return next;
            }
        }
        return null;
    }

    /** What is in force now. */
    FrontendRouting routing() {
        return frontend.routing;
    }

    /**
     * Notes a failed attempt.
     *
     * @param timeouts how many connect timeouts it waited for an answer; 0 if it failed otherwise or soon
     */
    void failed(EndpointTarget target, long timeouts, long nowNanos) {
        if (failed.isEmpty()) {
            failed = new ArrayList<>(2);
        }
        failed.add(target.endpoint);
        if (timeouts > 0) {
            silent++;
            target.timedOut(timeouts > 1, nowNanos);
        }
    }

    /** Holds the client to the endpoint that answered, if it is held at all and the one before did not. */
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
