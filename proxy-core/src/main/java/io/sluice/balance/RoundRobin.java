package io.sluice.balance;

import io.sluice.model.Endpoint;
import io.sluice.model.IpAddress;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * Round robin over a list of endpoints. Because all event loops share one instance, the distribution is exact.
 *
 * <p>With slow start, a new endpoint is picked in only some of the rounds. Its share grows linearly, compared with the
 * oldest endpoint of the list: if all of them are new, they do not wait for each other.
 */
final class RoundRobin extends Balancer {
    private final long slowStartNanos;
    /** The slow start of the oldest endpoint; null if it has none. */
    private final @Nullable SlowStart oldest;

    /** @param slowStartNanos time in which the share of a new endpoint grows to that of the others; 0 for none */
    RoundRobin(List<Endpoint> endpoints, EndpointTarget[] targets, int start, long slowStartNanos) {
        super(endpoints, targets, start);
        this.slowStartNanos = slowStartNanos;
        oldest = SlowStart.oldest(targets);
    }

    @Override
    @Nullable
    EndpointTarget pickAnswering(IpAddress client, List<Endpoint> tried, long nowNanos) {
        long windowNanos = slowStartNanos;
        if (windowNanos > 0 && oldest != null) {
            windowNanos = Math.min(windowNanos, oldest.ageNanos(nowNanos));
        }
        EndpointTarget picked = windowNanos > 0 ? pickWithSlowStart(tried, nowNanos, windowNanos) : null;
        // Without a result, only new endpoints are left.
        return picked == null ? nextAnswering(tried, nowNanos) : picked;
    }

    private @Nullable EndpointTarget pickWithSlowStart(List<Endpoint> tried, long nowNanos, long windowNanos) {
        for (int i = 0; i < targets.length; i++) {
            EndpointTarget next = next();
            if (!next.isFree(tried)) {
                continue;
            }
            SlowStart slowStart = next.slowStart();
            if ((slowStart == null || slowStart.takesTurn(nowNanos, windowNanos)) && next.allowsAttempt(nowNanos)) {
                return next;
            }
        }
        return null;
    }
}
