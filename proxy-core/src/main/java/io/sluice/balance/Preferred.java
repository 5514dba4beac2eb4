package io.sluice.balance;

import io.sluice.model.Endpoint;
import io.sluice.model.IpAddress;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * Picks a preferred endpoint, for example one in the zone of this node. The others are picked only while no preferred
 * endpoint is left: each is ejected, at its connection limit, or was tried by this connection.
 */
final class Preferred extends Balancer {
    private final Balancer preferred;
    private final Balancer others;

    /**
     * Creates a balancer.
     *
     * @param preferred chooses among the preferred endpoints
     * @param others chooses among all others
     */
    Preferred(List<Endpoint> endpoints, EndpointTarget[] targets, Balancer preferred, Balancer others) {
        super(endpoints, targets, 0);
        this.preferred = preferred;
        this.others = others;
    }

    @Override
    @Nullable
    EndpointTarget pickAnswering(IpAddress client, List<Endpoint> tried, long nowNanos) {
        EndpointTarget picked = preferred.pickAnswering(client, tried, nowNanos);
        return picked == null ? others.pickAnswering(client, tried, nowNanos) : picked;
    }

    @Override
    @Nullable
    EndpointTarget pickAny(IpAddress client, List<Endpoint> tried) {
        EndpointTarget picked = preferred.pickAny(client, tried);
        return picked == null ? others.pickAny(client, tried) : picked;
    }

    /** The position among the preferred endpoints. */
    @Override
    Endpoint position() {
        return preferred.position();
    }

    @Override
    void resumeAt(Endpoint endpoint) {
        preferred.resumeAt(endpoint);
    }
}
