package io.sluice.balance;

import io.sluice.model.Endpoint;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.Consumer;
import java.util.function.Function;
import org.jspecify.annotations.Nullable;

/**
 * Round robin over a list of endpoints. All event loops, frontends and origins that use an equal list of a service port
 * share one instance, which makes the distribution exact.
 *
 * <p>The list is immutable. When the endpoints change, a new instance resumes at the old position. Thread-safe.
 */
public final class RoundRobin {
    /** Up to this number of endpoints, a linear search is faster than hashing. */
    private static final int LINEAR_SEARCH_LIMIT = 8;

    private final List<Endpoint> endpoints;
    private final EndpointTarget[] targets;
    private final AtomicLong position;
    private volatile @Nullable Map<Endpoint, EndpointTarget> targetsByEndpoint;

    private RoundRobin(
            List<Endpoint> endpoints, @Nullable RoundRobin before, Function<Endpoint, EndpointTarget> targetOf) {
        this.endpoints = endpoints;
        targets = new EndpointTarget[endpoints.size()];
        for (int i = 0; i < targets.length; i++) {
            targets[i] = targetOf.apply(endpoints.get(i));
        }
        position = new AtomicLong(
                before == null ? ThreadLocalRandom.current().nextInt(targets.length) : before.startIn(endpoints));
    }

    /**
     * Returns the round robin for a list: the instance in {@code before} with an equal list, otherwise a new instance.
     * A new instance continues at the position of the instance that shares the most endpoints with it; if none shares
     * any, it starts at a random position.
     *
     * @param targetOf returns the target of an endpoint
     */
    public static RoundRobin of(
            List<Endpoint> endpoints, Collection<RoundRobin> before, Function<Endpoint, EndpointTarget> targetOf) {
        RoundRobin nearest = null;
        int mostShared = 0;
        for (RoundRobin old : before) {
            if (old.isFor(endpoints)) {
                return old;
            }
            int shared = 0;
            for (Endpoint endpoint : endpoints) {
                shared += old.find(endpoint) == null ? 0 : 1;
            }
            if (shared > mostShared) {
                mostShared = shared;
                nearest = old;
            }
        }
        return new RoundRobin(endpoints, nearest, targetOf);
    }

    /**
     * The start position in a later list: the index of the first endpoint, from this list's position on, that both
     * lists contain; 0 if there is none.
     */
    private int startIn(List<Endpoint> later) {
        Map<Endpoint, Integer> indexes = new HashMap<>();
        for (int i = 0; i < later.size(); i++) {
            indexes.put(later.get(i), i);
        }
        int current = index(position.get());
        for (int i = 0; i < targets.length; i++) {
            Integer index = indexes.get(targets[(current + i) % targets.length].endpoint);
            if (index != null) {
                return index;
            }
        }
        return 0;
    }

    /**
     * Returns the next endpoint and advances the position. Silent endpoints are skipped unless all are silent. {@link
     * #size} calls in a row return every endpoint that is not skipped, so a caller that needs a different endpoint
     * calls this method again.
     */
    public EndpointTarget next(long nowNanos) {
        EndpointTarget first = targets[index(position.getAndIncrement())];
        EndpointTarget next = first;
        for (int skipped = 0; !next.allowsAttempt(nowNanos); skipped++) {
            if (skipped == targets.length) {
                return first;
            }
            next = targets[index(position.getAndIncrement())];
        }
        return next;
    }

    /** The next endpoint, without advancing the position. */
    Endpoint peek() {
        return targets[index(position.get())].endpoint;
    }

    /** Moves the position to an endpoint. Does nothing if the list does not contain the endpoint. */
    void resumeAt(Endpoint endpoint) {
        int index = endpoints.indexOf(endpoint);
        if (index >= 0) {
            position.set(index);
        }
    }

    private int index(long count) {
        return (int) (count % targets.length);
    }

    /** Whether this is the round robin for an equal list. */
    boolean isFor(List<Endpoint> list) {
        return endpoints.equals(list);
    }

    void forEach(Consumer<EndpointTarget> action) {
        for (EndpointTarget target : targets) {
            action.accept(target);
        }
    }

    /** The number of endpoints. */
    public int size() {
        return targets.length;
    }

    /** The target of an endpoint; null if the list does not contain the endpoint. */
    @Nullable
    public EndpointTarget find(Endpoint endpoint) {
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
}
