package io.sluice.stats;

import io.sluice.model.ServicePortName;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;

/**
 * All counters and histograms of one forwarder. A service port's figures live as long as it is in the snapshot; sessions
 * that outlive it count on where nobody looks. Any thread.
 */
public final class Stats {
    private final int loops;
    private final Map<ServicePortName, ServiceStats> services = new ConcurrentHashMap<>();
    private final Timings total = new Timings();

    public Stats(int loops) {
        this.loops = loops;
    }

    /** The figures of a service port, begun at zero if there are none. */
    public ServiceStats open(ServicePortName name) {
        return services.computeIfAbsent(name, n -> new ServiceStats(n, this, loops));
    }

    /** Drops the figures of a service port that is gone; whoever still counts on them counts into the void. */
    public void close(ServiceStats stats) {
        services.remove(stats.name(), stats);
    }

    /** All service ports, ordered by name. */
    public List<ServiceStats> services() {
        List<ServiceStats> all = new ArrayList<>(services.values());
        all.sort(Comparator.comparing((ServiceStats s) -> s.name().toString())
                .thenComparing(s -> s.name().protocol()));
        return all;
    }

    /** One counter, summed over all service ports. */
    public long sum(Counter counter) {
        long sum = 0;
        for (ServiceStats service : services.values()) {
            sum += service.get(counter);
        }
        return sum;
    }

    /** The histograms of all service ports together. */
    public Timings total() {
        return total;
    }
}
