package io.sluice.balance;

import io.sluice.model.Endpoint;
import io.sluice.model.IpAddress;
import java.util.List;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/**
 * Chooses endpoints for new connections and flows from an immutable list. All event loops, frontends and origins that
 * use an equal list of a service port share one instance. Choosing allocates nothing. Thread-safe.
 */
public interface Balancer {
    /**
     * Picks the endpoint for a new connection or flow. Endpoints that do not answer are passed over, unless no other
     * endpoint is left.
     *
     * @param tried endpoints not to pick, because attempts to connect to them have failed
     * @return the endpoint; null if all endpoints were tried or are at their connection limit
     */
    @Nullable
    EndpointTarget pick(IpAddress client, List<Endpoint> tried, long nowNanos);

    /** The target of an endpoint; null if the list does not contain the endpoint. */
    @Nullable
    EndpointTarget find(Endpoint endpoint);

    /** Passes the targets of all endpoints to an action. */
    void forEach(Consumer<EndpointTarget> action);

    /** Whether this is the balancer for an equal list. */
    boolean isFor(List<Endpoint> list);

    /** The endpoint at which the balancer of a new process continues, see {@link #resumeAt}. */
    Endpoint position();

    /** Continues at an endpoint. Does nothing if the list does not contain the endpoint. */
    void resumeAt(Endpoint endpoint);
}
