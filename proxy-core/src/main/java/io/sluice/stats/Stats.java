package io.sluice.stats;

import io.sluice.model.ServicePortName;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.ConcurrentHashMap;
import org.jspecify.annotations.Nullable;

/**
 * The counters and histograms of a forwarder. The values of a service port are exported while the service port is in
 * the snapshot; what its connections record after its removal is not exported. Thread-safe.
 */
public final class Stats {
    private final int loops;
    private final Map<ServicePortName, ServiceStats> services = new ConcurrentHashMap<>();
    private final Timings total = new Timings();

    /**
     * Creates statistics that do not contain any service port yet.
     *
     * @param loops the number of event loops
     */
    public Stats(int loops) {
        this.loops = loops;
    }

    /** Returns the statistics of a service port; creates them, with all values zero, if there are none yet. */
    public ServiceStats open(ServicePortName name) {
        return services.computeIfAbsent(name, n -> new ServiceStats(n, this, loops));
    }

    /** Removes the statistics of a service port that no longer exists; values recorded later are not exported. */
    public void close(ServiceStats stats) {
        services.remove(stats.name(), stats);
    }

    /** The statistics of a service port; null if it does not exist. */
    public @Nullable ServiceStats find(ServicePortName name) {
        return services.get(name);
    }

    /** The statistics of all service ports, sorted by name. */
    public List<ServiceStats> services() {
        Map<String, ServiceStats> byKey = new TreeMap<>();
        services.forEach((name, stats) -> byKey.put(name.sortKey(), stats));
        return List.copyOf(byKey.values());
    }

    /** The value of a counter, summed over all service ports. */
    public long sum(Counter counter) {
        long sum = 0;
        for (ServiceStats service : services.values()) {
            sum += service.get(counter);
        }
        return sum;
    }

    /** TCP connections reset before an endpoint accepted them, for any reason, over all service ports. */
    public long rejectedSessions() {
        return services.values().stream()
                .mapToLong(ServiceStats::rejectedSessions)
                .sum();
    }

    /** The latency histograms of the whole process, over all service ports. */
    public Timings total() {
        return total;
    }
}
