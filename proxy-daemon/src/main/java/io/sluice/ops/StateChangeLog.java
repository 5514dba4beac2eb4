package io.sluice.ops;

import io.sluice.balance.EndpointChange;
import io.sluice.document.Problem;
import io.sluice.forward.FrontendStatus;
import io.sluice.forward.FrontendStatus.Failure;
import io.sluice.forward.FrontendStatus.State;
import io.sluice.model.Cidr;
import io.sluice.model.Endpoint;
import io.sluice.model.Family;
import io.sluice.model.FrontendAddress;
import io.sluice.model.IpAddress;
import io.sluice.model.ServicePortName;
import io.sluice.text.Table;
import io.sluice.thread.Supervisor;
import io.sluice.thread.Worker;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import java.util.function.Function;
import java.util.function.LongSupplier;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.slf4j.event.Level;
import org.slf4j.spi.LoggingEventBuilder;

/**
 * Logs changes of Services, frontends and endpoints, and problems of the feed. Up to ten changes of a kind are logged
 * one per line; further changes are summarized. Changes and failures are also added to the {@link EventLog}.
 *
 * <p>A frontend that becomes active is logged only at startup, or if it had failed: later, the change of its Service is
 * logged instead.
 *
 * <p>Changes are also reported on event loops, which must not block; a separate thread therefore writes the log.
 */
public final class StateChangeLog implements AutoCloseable {
    private static final Logger log = LoggerFactory.getLogger("io.sluice.State");

    /** Maximum number of lines for one kind of change in a write; further changes are summarized. */
    private static final int MAX_LINES = 10;

    private static final long SECOND_NANOS = TimeUnit.SECONDS.toNanos(1);
    private static final long CHECK_MILLIS = 5_000;

    private final Object lock = new Object();
    private final long delayMillis;
    private final EventLog events;
    private @Nullable Worker writer;

    // Changes since the last write; guarded by the lock.
    private Pending pending = new Pending();
    private boolean synced;

    // Used by the thread that writes; guarded by failed.
    /** Last logged reason for each failed frontend, so that a retry that fails in the same way is not logged again. */
    private final Map<FrontendAddress, String> failed = new HashMap<>();

    private final EndpointHealthLog endpointHealth;
    private final LineLimit serviceLimit;

    /** What has changed since the last write. */
    private static final class Pending {
        final List<ServiceChange> services = new ArrayList<>();
        final Map<Problem, Boolean> problems = new LinkedHashMap<>();
        /** Latest status of each frontend. */
        final Map<FrontendAddress, FrontendStatus> frontends = new LinkedHashMap<>();
        /** Frontends that became active at startup. */
        final Set<FrontendAddress> activeAtStartup = new HashSet<>();

        final Map<EndpointKey, EndpointChange> endpoints = new LinkedHashMap<>();

        boolean isEmpty() {
            return services.isEmpty() && problems.isEmpty() && frontends.isEmpty() && endpoints.isEmpty();
        }
    }

    private record EndpointKey(ServicePortName service, Endpoint endpoint) {}

    /**
     * Creates a log that writes nothing until {@link #start} is called.
     *
     * @param delay time to wait for further changes before writing
     * @param events receives changes and failures, for the admin API
     * @param endpoints returns how many endpoints of a service port there are and how many are failing; called on the
     *     thread that writes
     * @param reports receives endpoints and service ports that start or stop failing, on the thread that writes
     * @param nanoTime monotonic clock for the rate limits
     */
    public StateChangeLog(
            Duration delay,
            EventLog events,
            Function<ServicePortName, EndpointCounts> endpoints,
            Consumer<EndpointReport> reports,
            LongSupplier nanoTime) {
        delayMillis = delay.toMillis();
        this.events = events;
        endpointHealth = new EndpointHealthLog(log, events, endpoints, reports, nanoTime);
        serviceLimit = new LineLimit(MAX_LINES, SECOND_NANOS, nanoTime);
    }

    /** Records the new status of a frontend. May be called on any thread; never blocks for long. */
    public void frontend(FrontendStatus status) {
        if (status.state() == State.PENDING || status.state() == State.DRAINING) {
            return;
        }
        synchronized (lock) {
            pending.frontends.put(status.address(), status);
            if (!synced) {
                pending.activeAtStartup.add(status.address());
            }
            lock.notifyAll();
        }
    }

    /** Records a change of an endpoint's health. May be called on any thread; never blocks for long. */
    public void endpoint(EndpointChange change) {
        synchronized (lock) {
            pending.endpoints.merge(
                    new EndpointKey(change.service(), change.endpoint()), change, StateChangeLog::combined);
            lock.notifyAll();
        }
    }

    private static EndpointChange combined(EndpointChange first, EndpointChange second) {
        return new EndpointChange(first.service(), first.endpoint(), first.before(), second.after());
    }

    /** Records the Services that an applied snapshot has changed. May be called on any thread. */
    void services(List<ServiceChange> changes) {
        synchronized (lock) {
            pending.services.addAll(changes);
            lock.notifyAll();
        }
    }

    /** Records that the first snapshot has been applied. From now on, new frontends are logged with their Service. */
    void synced() {
        synchronized (lock) {
            synced = true;
        }
    }

    /** Records that a problem has appeared or was resolved. May be called on any thread. */
    public void problem(Problem problem, boolean appeared) {
        synchronized (lock) {
            // A problem that appeared and was resolved since the last write is not logged.
            if (!pending.problems.remove(problem, !appeared)) {
                pending.problems.put(problem, appeared);
            }
            lock.notifyAll();
        }
    }

    /**
     * Starts the thread that writes the log.
     *
     * @param rejections checked on this thread
     */
    public void start(Supervisor supervisor, RejectionLog rejections) {
        writer = supervisor.loop("sluice-state-log", () -> run(rejections));
    }

    private void run(RejectionLog rejections) throws InterruptedException {
        while (true) {
            synchronized (lock) {
                if (pending.isEmpty()) {
                    lock.wait(CHECK_MILLIS);
                }
            }
            TimeUnit.MILLISECONDS.sleep(delayMillis);
            write();
            rejections.check();
        }
    }

    private void write() {
        Pending changed;
        synchronized (lock) {
            changed = pending;
            pending = new Pending();
        }
        synchronized (failed) {
            writeServices(changed.services);
            writeProblems(changed.problems);
            writeFrontends(changed.frontends.values(), changed.activeAtStartup);
            endpointHealth.write(changed.endpoints.values());
            endpointHealth.endpointsChanged(changed.services);
            endpointHealth.writeSuppressed(Instant.now());
        }
    }

    private void writeServices(List<ServiceChange> changes) {
        Set<String> others = new HashSet<>();
        int evicted = changes.size() - EventLog.CAPACITY;
        for (int i = 0; i < changes.size(); i++) {
            ServiceChange change = changes.get(i);
            boolean logged = others.isEmpty() && serviceLimit.next("") == LineLimit.Decision.LOG;
            if (!logged) {
                others.add(change.service());
            }
            // Descriptions are not free, so none is created for an event that the following ones would evict.
            if (!logged && i < evicted) {
                continue;
            }
            String text = change.text();
            if (logged) {
                log.atInfo()
                        .addKeyValue("service", change.service())
                        .addKeyValue("reason", text)
                        .log("{}: {}", change.service(), text);
            }
            events.add(change.time(), EventLog.Kind.CHANGE, change.service(), null, text);
        }
        if (!others.isEmpty()) {
            log.info("{} changed", Table.count(others.size(), "more Service"));
        }
    }

    private void writeProblems(Map<Problem, Boolean> changed) {
        int lines = 0;
        for (Map.Entry<Problem, Boolean> entry : changed.entrySet()) {
            if (++lines > MAX_LINES) {
                log.warn(
                        "{} more problems appeared or were resolved; 'sluice check' lists those of a feed",
                        changed.size() - MAX_LINES);
                return;
            }
            Problem problem = entry.getKey();
            if (!entry.getValue()) {
                log.info("resolved: {}", problem);
            } else if (problem.severity() == Problem.Severity.NOTE) {
                log.info("{}", problem);
            } else {
                log.warn("{}", problem);
            }
        }
    }

    private void writeFrontends(Collection<FrontendStatus> changed, Set<FrontendAddress> atStartup) {
        List<FrontendStatus> active = new ArrayList<>();
        List<FrontendStatus> recovered = new ArrayList<>();
        List<FrontendStatus> newlyFailed = new ArrayList<>();
        for (FrontendStatus status : changed) {
            String reason = reason(status);
            if (status.state() == State.FAILED) {
                if (!reason.equals(failed.put(status.address(), reason))) {
                    newlyFailed.add(status);
                    addEvent(EventLog.Kind.FAILURE, status, "failed: " + reason);
                }
            } else if (failed.remove(status.address()) != null && status.state() == State.ACTIVE) {
                recovered.add(status);
                addEvent(EventLog.Kind.RECOVERY, status, "active again");
            } else if (status.state() == State.ACTIVE && atStartup.contains(status.address())) {
                active.add(status);
            }
        }
        logChanges(active, "active");
        logChanges(recovered, "active again");
        for (FrontendStatus status : newlyFailed.subList(0, Math.min(newlyFailed.size(), MAX_LINES))) {
            event(Level.WARN, status)
                    .log("frontend {} failed ({}): {}", status.address(), status.service(), reason(status));
        }
        if (newlyFailed.size() > MAX_LINES) {
            log.warn("{} more frontends failed; /debug/frontends lists them", newlyFailed.size() - MAX_LINES);
        }
    }

    private void addEvent(EventLog.Kind kind, FrontendStatus status, String what) {
        events.add(
                status.since(), kind, status.service().toString(), null, "frontend " + status.address() + " " + what);
    }

    private static void logChanges(List<FrontendStatus> changed, String state) {
        if (changed.size() > MAX_LINES) {
            log.info("{} frontends {}", changed.size(), state);
            return;
        }
        for (FrontendStatus status : changed) {
            String detail = status.reason().isEmpty() ? "" : ": " + reason(status);
            event(Level.INFO, status).log("frontend {} {} ({}){}", status.address(), state, status.service(), detail);
        }
    }

    private static LoggingEventBuilder event(Level level, FrontendStatus status) {
        LoggingEventBuilder event =
                log.atLevel(level).addKeyValue("service", status.service()).addKeyValue("frontend", status.address());
        return status.reason().isEmpty() ? event : event.addKeyValue("reason", reason(status));
    }

    /** Returns the reason of a frontend's state on one line, with a remedy if the address is not local. */
    public static String reason(FrontendStatus status) {
        if (status.failure() != Failure.ADDRESS_NOT_LOCAL) {
            return Problem.oneLine(status.reason());
        }
        IpAddress address = status.address().address();
        if (address.family() == Family.IPV6) {
            // Unlike 127.0.0.0/8, no IPv6 range is local without configuration.
            return address + " is not an address of this machine; add it to an interface, or map it to a local address"
                    + " with --map-frontends";
        }
        Cidr range = new Cidr(address, 12);
        IpAddress loopback = IpAddress.v4((int) ((127L << 24) | (range.network().low() & 0xffffffL)));
        return address + " is not an address of this machine; to listen on the same ports under 127.0.0.0/8, add"
                + " --map-frontends " + range + "=" + new Cidr(loopback, 12);
    }

    /** Stops the thread and writes the changes recorded so far. */
    @Override
    public void close() {
        if (writer != null) {
            writer.close();
        }
        write();
    }
}
