package io.sluice.balance;

import io.sluice.model.Endpoint;
import io.sluice.model.IpAddress;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/**
 * Chooses endpoints for new connections and flows from an immutable list. All event loops, frontends and origins that
 * use an equal list of a service port share one instance. Choosing allocates nothing. Thread-safe.
 */
public abstract class Balancer {
    /** Up to this number of endpoints, a linear search is faster than hashing. */
    private static final int LINEAR_SEARCH_LIMIT = 8;

    private final List<Endpoint> endpoints;
    /** The targets of the endpoints, in the order of the list. */
    final EndpointTarget[] targets;

    private final AtomicLong position;
    private volatile @Nullable Map<Endpoint, EndpointTarget> targetsByEndpoint;

    /**
     * Creates a balancer.
     *
     * @param targets the targets of the endpoints, in the same order
     * @param start index of the endpoint at which round robin starts
     */
    Balancer(List<Endpoint> endpoints, EndpointTarget[] targets, int start) {
        this.endpoints = endpoints;
        this.targets = targets;
        position = new AtomicLong(start);
    }

    /**
     * Picks the endpoint for a new connection or flow. Endpoints that do not answer are passed over, unless no other
     * endpoint is left.
     *
     * @param tried endpoints not to pick, because attempts to connect to them have failed
     * @return the endpoint; null if all endpoints were tried or are at their connection limit
     */
    public final @Nullable EndpointTarget pick(IpAddress client, List<Endpoint> tried, long nowNanos) {
        EndpointTarget answering = pickAnswering(client, tried, nowNanos);
        return answering == null ? pickAny(client, tried) : answering;
    }

    /** Picks an endpoint as {@link #pick}, but none that is passed over; null if there is no other. */
    abstract @Nullable EndpointTarget pickAnswering(IpAddress client, List<Endpoint> tried, long nowNanos);

    /** Picks an endpoint even if it is passed over; null if all were tried or are at their connection limit. */
    @Nullable
    EndpointTarget pickAny(IpAddress client, List<Endpoint> tried) {
        for (int i = 0; i < targets.length; i++) {
            EndpointTarget next = next();
            if (next.isFree(tried)) {
                return next;
            }
        }
        return null;
    }

    /** Picks the next endpoint in round-robin order that is not passed over; null if there is none. */
    final @Nullable EndpointTarget nextAnswering(List<Endpoint> tried, long nowNanos) {
        for (int i = 0; i < targets.length; i++) {
            EndpointTarget next = next();
            if (next.isFree(tried) && next.allowsAttempt(nowNanos)) {
                return next;
            }
        }
        return null;
    }

    /** The next endpoint in round-robin order. Advances the position behind it. */
    final EndpointTarget next() {
        return targets[index(position.getAndIncrement())];
    }

    /** The round-robin position, which only ever increases; see {@link #index}. */
    final long count() {
        return position.get();
    }

    /** Advances the position, unless another thread has done so since it was read. */
    final boolean advance(long before, long after) {
        return position.compareAndSet(before, after);
    }

    /** The index of the endpoint at a round-robin position. */
    final int index(long count) {
        return (int) (count % targets.length);
    }

    /** The target of an endpoint; null if the list does not contain the endpoint. */
    public final @Nullable EndpointTarget find(Endpoint endpoint) {
        if (targets.length > LINEAR_SEARCH_LIMIT) {
            return targetsByEndpoint().get(endpoint);
        }
        for (EndpointTarget target : targets) {
            if (target.endpoint.equals(endpoint)) {
                return target;
            }
        }
        return null;
    }

    private Map<Endpoint, EndpointTarget> targetsByEndpoint() {
        Map<Endpoint, EndpointTarget> map = targetsByEndpoint;
        if (map == null) {
            map = new HashMap<>();
            for (EndpointTarget target : targets) {
                map.put(target.endpoint, target);
            }
            targetsByEndpoint = map;
        }
        return map;
    }

    /** Passes the targets of all endpoints to an action. */
    public final void forEach(Consumer<EndpointTarget> action) {
        for (EndpointTarget target : targets) {
            action.accept(target);
        }
    }

    /** Whether this is the balancer for an equal list. */
    final boolean isFor(List<Endpoint> list) {
        return endpoints.equals(list);
    }

    /** The endpoint at which the balancer of a new process continues, see {@link #resumeAt}. */
    Endpoint position() {
        return targets[index(position.get())].endpoint;
    }

    /** Continues at an endpoint. Does nothing if the list does not contain the endpoint. */
    void resumeAt(Endpoint endpoint) {
        int index = endpoints.indexOf(endpoint);
        if (index >= 0) {
            position.set(index);
        }
    }

    /**
     * The index at which the balancer of a later list continues: that of the first endpoint, from this balancer's
     * position on, that both lists contain; 0 if there is none.
     */
    final int startIn(List<Endpoint> later) {
        Map<Endpoint, Integer> indexes = new HashMap<>();
        for (int i = 0; i < later.size(); i++) {
            indexes.put(later.get(i), i);
        }
        int current = endpoints.indexOf(position());
        for (int i = 0; i < targets.length; i++) {
            Integer index = indexes.get(targets[(current + i) % targets.length].endpoint);
            if (index != null) {
                return index;
            }
        }
        return 0;
    }
}
