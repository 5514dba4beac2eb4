package io.sluice.ops;

import io.sluice.model.Protocol;
import io.sluice.model.ServicePortName;
import io.sluice.stats.Counter;
import io.sluice.stats.ServiceStats;
import io.sluice.stats.Stats;
import java.time.Instant;
import java.util.EnumMap;
import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.function.LongSupplier;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Logs when a traffic policy begins to reject connections or to drop datagrams, and adds a failure to the {@link
 * EventLog}. It logs the same reason again only after a minute without rejections. Used by one thread.
 */
public final class RejectionLog {
    private static final Logger log = LoggerFactory.getLogger("io.sluice.State");
    private static final long CHECK_NANOS = TimeUnit.SECONDS.toNanos(5);
    private static final long QUIET_NANOS = TimeUnit.MINUTES.toNanos(1);
    private static final int MAX_LINES = 10;

    private static final Map<Counter, String> TCP = new EnumMap<>(Map.of(
            Counter.SESSIONS_OVER_SERVICE_LIMIT, "max-connections reached",
            Counter.SESSIONS_OVER_CLIENT_LIMIT, "max-connections-per-client reached",
            Counter.SESSIONS_OVER_CLIENT_RATE, "connection-rate-per-client exceeded",
            Counter.SESSIONS_OVER_ENDPOINT_LIMIT, "max-connections-per-endpoint reached",
            Counter.SESSIONS_WITHOUT_HEADER, "no valid PROXY protocol header",
            Counter.SESSIONS_OVER_HOLD_LIMIT, "hold-limit reached",
            Counter.SESSIONS_HOLD_TIMED_OUT, "no endpoint within the time of hold"));

    private static final Map<Counter, String> UDP = new EnumMap<>(Map.of(
            Counter.DATAGRAMS_OVER_SERVICE_LIMIT, "max-connections reached",
            Counter.DATAGRAMS_OVER_CLIENT_LIMIT, "max-connections-per-client reached",
            Counter.DATAGRAMS_OVER_CLIENT_RATE, "connection-rate-per-client exceeded",
            Counter.DATAGRAMS_OVER_ENDPOINT_LIMIT, "max-connections-per-endpoint reached"));

    private final Stats stats;
    private final EventLog events;
    private final LongSupplier nanoTime;
    private final LineLimit limit;
    private Map<ServicePortName, Map<Counter, Series>> known = new HashMap<>();
    private long checkedNanos;

    /** The last value of a counter. */
    private static final class Series {
        long value;
        long increasedNanos;
        boolean logged;
    }

    public RejectionLog(Stats stats, EventLog events, LongSupplier nanoTime) {
        this.stats = stats;
        this.events = events;
        this.nanoTime = nanoTime;
        this.limit = new LineLimit(MAX_LINES, QUIET_NANOS, nanoTime);
        this.checkedNanos = nanoTime.getAsLong() - CHECK_NANOS;
    }

    /** Compares the counters with their last values, at most every 5 seconds. */
    public void check() {
        long now = nanoTime.getAsLong();
        if (now - checkedNanos < CHECK_NANOS) {
            return;
        }
        checkedNanos = now;
        Map<ServicePortName, Map<Counter, Series>> next = new HashMap<>();
        for (ServiceStats service : stats.services()) {
            if (service.hadTraffic()) {
                check(service, now, next);
            }
        }
        known = next;
    }

    private void check(ServiceStats service, long now, Map<ServicePortName, Map<Counter, Series>> next) {
        ServicePortName name = service.name();
        Map<Counter, Series> before = known.getOrDefault(name, Map.of());
        boolean tcp = name.protocol() == Protocol.TCP;
        (tcp ? TCP : UDP).forEach((counter, text) -> {
            long value = service.get(counter);
            if (value == 0) {
                return;
            }
            Series series = before.getOrDefault(counter, new Series());
            next.computeIfAbsent(name, key -> new EnumMap<>(Counter.class)).put(counter, series);
            if (value != series.value) {
                series.value = value;
                series.increasedNanos = now;
                series.logged = series.logged || write(name, tcp, text, value);
            } else if (now - series.increasedNanos >= QUIET_NANOS) {
                series.logged = false;
            }
        });
    }

    /** Returns false if the rate limit suppresses the line, which the next rejection then causes. */
    private boolean write(ServicePortName name, boolean tcp, String text, long value) {
        LineLimit.Decision decision = limit.next("");
        if (decision == LineLimit.Decision.BEGIN_SUPPRESSING) {
            log.info("rejections by other traffic policies are not logged for a minute");
        }
        if (decision != LineLimit.Decision.LOG) {
            return false;
        }
        String reason =
                (tcp ? "rejecting new connections: " : "dropping datagrams: ") + text + " (" + value + " so far)";
        log.atWarn().addKeyValue("service", name).addKeyValue("reason", reason).log("{}: {}", name, reason);
        events.add(Instant.now(), EventLog.Kind.FAILURE, name.toString(), null, reason);
        return true;
    }
}
