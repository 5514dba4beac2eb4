package io.sluice.daemon;

import io.sluice.forward.Forwarder;
import io.sluice.stats.Counter;
import io.sluice.stats.ServiceStats;
import io.sluice.text.Table;
import java.time.Duration;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Collectors;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Waits for the open connections of a process that drains, and regularly logs which Services still have some. */
final class DrainProgress {
    private static final Logger log = LoggerFactory.getLogger(DrainProgress.class);

    private static final Duration INTERVAL = Duration.ofSeconds(5);
    /** Number of Services named in a line. */
    private static final int MAX_SERVICES = 5;

    private DrainProgress() {}

    /** Waits until all TCP connections have ended or the timeout has passed, and returns the number still open. */
    static int await(Forwarder forwarder, Duration timeout) throws InterruptedException {
        int open = forwarder.sessions();
        if (open > 0) {
            log.info(
                    "draining {} for at most {} s: {}",
                    Table.count(open, "open connection"),
                    timeout.plusMillis(999).toSeconds(),
                    byService(forwarder));
        }
        long deadlineNanos = System.nanoTime() + timeout.toNanos();
        while (true) {
            long leftNanos = Math.max(0, deadlineNanos - System.nanoTime());
            open = forwarder.drain(Duration.ofNanos(Math.min(leftNanos, INTERVAL.toNanos())));
            if (open == 0) {
                return 0;
            }
            if (leftNanos <= INTERVAL.toNanos()) {
                log.warn(
                        "drain timeout expired; closing {}: {}",
                        Table.count(open, "open connection"),
                        byService(forwarder));
                return open;
            }
            log.info(
                    "draining: {} left, {} s remaining: {}",
                    Table.count(open, "open connection"),
                    Duration.ofNanos(deadlineNanos - System.nanoTime()).toSeconds(),
                    byService(forwarder));
        }
    }

    /** Open connections by Service, most first, such as {@code shop/web 10, shop/db 2}. */
    private static String byService(Forwarder forwarder) {
        Map<String, Long> counts = new TreeMap<>();
        for (ServiceStats service : forwarder.stats().services()) {
            long active = service.get(Counter.SESSIONS_ACTIVE);
            if (active > 0) {
                counts.merge(service.name().serviceName(), active, Long::sum);
            }
        }
        List<Map.Entry<String, Long>> most = counts.entrySet().stream()
                .sorted(Map.Entry.comparingByValue(Comparator.reverseOrder()))
                .toList();
        String named = most.stream()
                .limit(MAX_SERVICES)
                .map(entry -> entry.getKey() + " " + entry.getValue())
                .collect(Collectors.joining(", "));
        if (most.size() > MAX_SERVICES) {
            return named + " and " + (most.size() - MAX_SERVICES) + " more";
        }
        // Connections of Services that were removed while they were open are not counted by Service.
        return named.isEmpty() ? "Services that were removed" : named;
    }
}
