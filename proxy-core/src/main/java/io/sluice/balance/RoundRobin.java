package io.sluice.balance;

import io.sluice.model.Endpoint;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.atomic.AtomicLong;
import org.jspecify.annotations.Nullable;

/**
 * A list of endpoints and the cursor that goes round it. One exists per service port and distinct list, shared by all
 * loops, frontends and origins that use the list: that is what makes round robin exact.
 *
 * <p>The list never changes; a changed list is a new rotation that goes on where the old one stood. Any thread.
 */
public final class RoundRobin {
    /** Up to here a walk over the array is faster than hashing. */
    private static final int FEW = 8;

    private final List<Endpoint> endpoints;
    private final EndpointTarget[] targets;
    private final AtomicLong cursor;
    private volatile @Nullable Map<Endpoint, EndpointTarget> byEndpoint;

    private RoundRobin(List<Endpoint> endpoints, @Nullable RoundRobin before) {
        this.endpoints = endpoints;
        targets = new EndpointTarget[endpoints.size()];
        for (int i = 0; i < targets.length; i++) {
            EndpointTarget known = before == null ? null : before.find(endpoints.get(i));
            targets[i] = known == null ? new EndpointTarget(endpoints.get(i)) : known;
        }
        cursor = new AtomicLong(
                before == null ? ThreadLocalRandom.current().nextInt(targets.length) : before.positionIn(endpoints));
    }

    /**
     * The rotation for a list: the one of {@code before} that has the same list, or else a new one that goes on where
     * the one with most endpoints in common stood, or else one that starts anywhere.
     */
    public static RoundRobin of(List<Endpoint> endpoints, Collection<RoundRobin> before) {
        RoundRobin nearest = null;
        int mostShared = 0;
        for (RoundRobin old : before) {
            if (old.holds(endpoints)) {
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
        return new RoundRobin(endpoints, nearest);
    }

    /** Where {@code later} goes on: at the first endpoint still listed, counted from the one whose turn it is here. */
    private int positionIn(List<Endpoint> later) {
        Map<Endpoint, Integer> places = new HashMap<>();
        for (int i = 0; i < later.size(); i++) {
            places.put(later.get(i), i);
        }
        int turn = place(cursor.get());
        for (int i = 0; i < targets.length; i++) {
            Integer place = places.get(targets[(turn + i) % targets.length].endpoint);
            if (place != null) {
                return place;
            }
        }
        return 0;
    }

    /**
     * The endpoint whose turn it is; one that was silent a moment ago loses its turn, unless all were. The next call
     * returns the next one: a caller that needs another endpoint calls it {@link #size} times and meets each.
     */
    public EndpointTarget next(long nowNanos) {
        EndpointTarget first = targets[place(cursor.getAndIncrement())];
        EndpointTarget next = first;
        for (int passedOver = 0; !next.mayBeTried(nowNanos); passedOver++) {
            if (passedOver == targets.length) {
                return first;
            }
            next = targets[place(cursor.getAndIncrement())];
        }
        return next;
    }

    /** Whose turn it is. */
    Endpoint turn() {
        return targets[place(cursor.get())].endpoint;
    }

    /** Makes it the turn of an endpoint, if it is listed. */
    void resumeAt(Endpoint endpoint) {
        int place = endpoints.indexOf(endpoint);
        if (place >= 0) {
            cursor.set(place);
        }
    }

    private int place(long turn) {
        return (int) (turn % targets.length);
    }

    boolean holds(List<Endpoint> list) {
        return endpoints.equals(list);
    }

    public int size() {
        return targets.length;
    }

    @Nullable
    public EndpointTarget find(Endpoint endpoint) {
        if (targets.length > FEW) {
            return index().get(endpoint);
        }
        for (EndpointTarget target : targets) {
            if (target.endpoint.equals(endpoint)) {
                return target;
            }
        }
        return null;
    }

    private Map<Endpoint, EndpointTarget> index() {
        Map<Endpoint, EndpointTarget> index = byEndpoint;
        if (index == null) {
            index = new HashMap<>();
            for (EndpointTarget target : targets) {
                index.put(target.endpoint, target);
            }
            byEndpoint = index;
        }
        return index;
    }
}
