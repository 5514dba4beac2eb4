package io.sluice.balance;

import io.sluice.model.Endpoint;
import io.sluice.model.Frontend;
import io.sluice.model.IpAddress;
import io.sluice.model.Origin;
import io.sluice.model.Route;
import io.sluice.model.ServicePort;
import java.util.function.Function;
import org.jspecify.annotations.Nullable;

/**
 * All a loop needs to decide about a new connection or flow of one frontend. Immutable, but for the cursors; swapped as
 * a whole, so that comparing the reference tells whether anything changed.
 *
 * @param pod where clients of this origin go; null refuses them
 * @param node likewise
 * @param external likewise
 */
public record FrontendRouting(
        ServiceState service,
        ServicePort servicePort,
        Frontend frontend,
        @Nullable RoundRobin pod,
        @Nullable RoundRobin node,
        @Nullable RoundRobin external,
        Function<IpAddress, Origin> originOf) {

    /** The endpoints a client may be sent to; null if it may not be served. */
    @Nullable
    public RoundRobin roundRobinFor(IpAddress client) {
        if (!frontend.admits(client)) {
            return null;
        }
        if (pod == node && node == external) {
            return external;
        }
        return switch (originOf.apply(client)) {
            case POD -> pod;
            case NODE -> node;
            case EXTERNAL -> external;
        };
    }

    /** Whether the endpoint should see this client's own address. */
    public boolean preservesClientAddress(IpAddress client) {
        return frontend.route(originOf.apply(client)).source() == Route.Source.CLIENT;
    }

    /** The endpoint for a new connection or flow of this client. */
    public EndpointTarget pick(IpAddress client, RoundRobin rotation, long nowNanos) {
        return hasSessionAffinity()
                ? service.affinityTable.pick(service, servicePort.affinity(), client, rotation, nowNanos)
                : rotation.next(nowNanos);
    }

    public boolean hasSessionAffinity() {
        return servicePort.affinity().byClientAddress();
    }

    /** Whether a UDP flow that goes to this endpoint may stay there. */
    public boolean keepsFlowOn(Endpoint endpoint) {
        return servicePort.flowEndpoints().contains(endpoint);
    }

    /** The same for what exists, but nothing new is let in. */
    public FrontendRouting rejectingNew() {
        return new FrontendRouting(service, servicePort, frontend, null, null, null, originOf);
    }
}
