package io.sluice.balance;

import io.sluice.model.Endpoint;
import io.sluice.model.IpAddress;
import java.util.List;
import java.util.concurrent.ThreadLocalRandom;
import org.jspecify.annotations.Nullable;

/**
 * Picks the endpoint with the fewest open connections and flows, including attempts; the first one in round-robin order
 * if several have the fewest. Equal endpoints thus get equal numbers of connections.
 *
 * <p>Of up to 16 endpoints, all are compared. Of more endpoints, eight are compared: the next one in round-robin order
 * and seven random ones. An endpoint whose trial connection is due gets it, however many connections it has.
 */
final class LeastConnections extends Balancer {
    private static final int COMPARED = 8;
    private static final int ALL_COMPARED = 16;

    LeastConnections(List<Endpoint> endpoints, EndpointTarget[] targets, int start) {
        super(endpoints, targets, start);
    }

    @Override
    @Nullable
    EndpointTarget pickAnswering(IpAddress client, List<Endpoint> tried, long nowNanos) {
        if (targets.length <= ALL_COMPARED) {
            return leastOfAll(tried, nowNanos);
        }
        EndpointTarget least = leastOfSome(tried, nowNanos);
        return least == null ? nextAnswering(tried, nowNanos) : least;
    }

    private @Nullable EndpointTarget leastOfAll(List<Endpoint> tried, long nowNanos) {
        while (true) {
            long count = count();
            long after = count;
            EndpointTarget least = null;
            int fewest = 0;
            int index = index(count);
            for (int i = 0; i < targets.length; i++) {
                EndpointTarget next = targets[index];
                index = index + 1 == targets.length ? 0 : index + 1;
                boolean ejected = next.isEjected();
                if (!next.isFree(tried) || !next.allowsAttempt(nowNanos)) {
                    continue;
                }
                if (ejected) {
                    return next;
                }
                int connections = next.connections();
                if (least == null || connections < fewest) {
                    least = next;
                    fewest = connections;
                    after = count + i + 1;
                }
            }
            // Another thread may just have picked the same endpoint, so this one compares again.
            if (least == null || advance(count, after)) {
                return least;
            }
        }
    }

    private @Nullable EndpointTarget leastOfSome(List<Endpoint> tried, long nowNanos) {
        ThreadLocalRandom random = ThreadLocalRandom.current();
        EndpointTarget least = null;
        int fewest = 0;
        for (int i = 0; i < COMPARED; i++) {
            EndpointTarget next = i == 0 ? next() : targets[index(random)];
            boolean ejected = next.isEjected();
            if (!next.isFree(tried) || !next.allowsAttempt(nowNanos)) {
                continue;
            }
            if (ejected) {
                return next;
            }
            int connections = next.connections();
            if (least == null || connections < fewest) {
                least = next;
                fewest = connections;
            }
        }
        return least;
    }

    /** A random index. Unlike {@link ThreadLocalRandom#nextInt(int)}, this needs no division. */
    private int index(ThreadLocalRandom random) {
        return (int) (((random.nextInt() & 0xffffffffL) * targets.length) >>> 32);
    }
}
