package io.sluice.balance;

import io.sluice.model.Endpoint;
import io.sluice.model.IpAddress;
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
 * Round robin over a list of endpoints. Because all event loops share one instance, the distribution is exact.
 *
 * <p>When the endpoints change, a new instance resumes at the old position. Thread-safe.
 */
public final class RoundRobin implements Balancer {
    private final EndpointList list;
    private final EndpointTarget[] targets;
    private final AtomicLong position;

    private RoundRobin(
            List<Endpoint> endpoints, @Nullable RoundRobin before, Function<Endpoint, EndpointTarget> targetOf) {
        list = new EndpointList(endpoints, targetOf);
        targets = list.targets;
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
            List<Endpoint> endpoints,
            Collection<? extends Balancer> before,
            Function<Endpoint, EndpointTarget> targetOf) {
        RoundRobin nearest = null;
        int mostShared = 0;
        for (Balancer each : before) {
            if (!(each instanceof RoundRobin old)) {
                continue;
            }
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

    /** {@inheritDoc} Advances the position behind the endpoint. */
    @Override
    public @Nullable EndpointTarget pick(IpAddress client, List<Endpoint> tried, long nowNanos) {
        EndpointTarget notAnswering = null;
        for (int i = 0; i < targets.length; i++) {
            EndpointTarget next = targets[index(position.getAndIncrement())];
            if (next.isFull() || (!tried.isEmpty() && tried.contains(next.endpoint))) {
                continue;
            }
            if (next.allowsAttempt(nowNanos)) {
                return next;
            }
            notAnswering = notAnswering == null ? next : notAnswering;
        }
        return notAnswering;
    }

    @Override
    public Endpoint position() {
        return targets[index(position.get())].endpoint;
    }

    @Override
    public void resumeAt(Endpoint endpoint) {
        int index = list.endpoints.indexOf(endpoint);
        if (index >= 0) {
            position.set(index);
        }
    }

    private int index(long count) {
        return (int) (count % targets.length);
    }

    @Override
    public boolean isFor(List<Endpoint> other) {
        return list.endpoints.equals(other);
    }

    @Override
    public void forEach(Consumer<EndpointTarget> action) {
        for (EndpointTarget target : targets) {
            action.accept(target);
        }
    }

    @Override
    public @Nullable EndpointTarget find(Endpoint endpoint) {
        return list.find(endpoint);
    }
}
