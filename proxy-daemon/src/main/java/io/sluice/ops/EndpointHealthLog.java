package io.sluice.ops;

import io.sluice.balance.EndpointChange;
import io.sluice.balance.EndpointHealth;
import io.sluice.balance.EndpointHealth.State;
import io.sluice.model.Endpoint;
import io.sluice.model.Protocol;
import io.sluice.model.ServicePort;
import io.sluice.model.ServicePortName;
import io.sluice.ops.ServiceChange.PortChange;
import java.time.Duration;
import java.time.Instant;
import java.util.Collection;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import java.util.function.Function;
import java.util.function.LongSupplier;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.event.Level;
import org.slf4j.spi.LoggingEventBuilder;

/**
 * Logs endpoints that start or stop failing, and service ports of which no endpoint answers. Each logged line is also
 * an event of the {@link EventLog} and an {@link EndpointReport}. Used by one thread.
 */
final class EndpointHealthLog {
    private static final long MINUTE_NANOS = TimeUnit.MINUTES.toNanos(1);
    private static final int MAX_LINES = 10;

    private final Logger log;
    private final EventLog events;
    private final Function<ServicePortName, EndpointCounts> counts;
    private final Consumer<EndpointReport> reports;
    private final LineLimit endpointLimit;
    /** Separate, so that many failing endpoints do not suppress the line that no endpoint is left. */
    private final LineLimit serviceLimit;

    /** The failing endpoints, with the time at which each started to fail. */
    private final Map<ServicePortName, Map<Endpoint, Instant>> failing = new HashMap<>();

    /** The service ports that were logged as having no endpoint that answers. */
    private final Set<ServicePortName> withoutAnswer = new HashSet<>();

    /** The service ports with changes that a limit has suppressed. */
    private final Set<ServicePortName> suppressed = new LinkedHashSet<>();

    EndpointHealthLog(
            Logger log,
            EventLog events,
            Function<ServicePortName, EndpointCounts> counts,
            Consumer<EndpointReport> reports,
            LongSupplier nanoTime) {
        this.log = log;
        this.events = events;
        this.counts = counts;
        this.reports = reports;
        this.endpointLimit = new LineLimit(MAX_LINES, MINUTE_NANOS, nanoTime);
        this.serviceLimit = new LineLimit(MAX_LINES, MINUTE_NANOS, nanoTime);
    }

    /** Logs changes of endpoints, at most one for each endpoint. */
    void write(Collection<EndpointChange> changes) {
        Map<ServicePortName, Instant> changed = new LinkedHashMap<>();
        for (EndpointChange change : changes) {
            changed.put(change.service(), change.after().since());
            write(change);
        }
        changed.forEach(this::checkService);
    }

    /** Logs the present state of service ports whose last changes were suppressed, once the limit allows it. */
    void writeSuppressed(Instant now) {
        for (ServicePortName service : List.copyOf(suppressed)) {
            String key = service.serviceName();
            if (endpointLimit.isSuppressing(key) || serviceLimit.isSuppressing(key)) {
                continue;
            }
            suppressed.remove(service);
            EndpointCounts current = counts.apply(service);
            if (current.total() > 0) {
                event(Level.INFO, service).log("{}: after changes that were not logged, {}", service, current);
            }
            checkService(service, now);
        }
    }

    private void write(EndpointChange change) {
        EndpointHealth after = change.after();
        if (change.before().state().isFailing() == after.state().isFailing()) {
            if (after.state() == State.EJECTED && allows(change)) {
                // It started to fail earlier, so this is not another event.
                event(Level.INFO, change.service())
                        .addKeyValue("endpoint", change.endpoint())
                        .log("{}: endpoint {} {}", change.service(), change.endpoint(), text(after, change.service()));
            }
            return;
        }
        if (after.state().isFailing()) {
            failing.computeIfAbsent(change.service(), name -> new HashMap<>()).put(change.endpoint(), after.since());
            write(Level.WARN, change, text(after, change.service()));
            return;
        }
        String time = text(Duration.between(stoppedFailing(change), after.since()));
        String text = after.state() == State.UP ? "answers again after " : "has stopped reporting errors after ";
        write(Level.INFO, change, text + time);
    }

    private Instant stoppedFailing(EndpointChange change) {
        Map<Endpoint, Instant> ofService = failing.get(change.service());
        Instant since = ofService == null ? null : ofService.remove(change.endpoint());
        if (ofService != null && ofService.isEmpty()) {
            failing.remove(change.service());
        }
        return since == null ? change.before().since() : since;
    }

    private void write(Level level, EndpointChange change, String text) {
        ServicePortName service = change.service();
        String lastError = change.after().lastError();
        boolean fails = level == Level.WARN;
        if (allows(change)) {
            String reason = fails && !lastError.isEmpty() ? lastError : text;
            event(level, service)
                    .addKeyValue("endpoint", change.endpoint())
                    .addKeyValue("reason", reason)
                    .log("{}: endpoint {} {}", service, change.endpoint(), text);
            events.add(
                    change.after().since(),
                    fails ? EventLog.Kind.FAILURE : EventLog.Kind.RECOVERY,
                    service.toString(),
                    change.endpoint().toString(),
                    reason);
            report(service, change.endpoint(), fails, "endpoint " + change.endpoint() + " " + text);
        }
    }

    /** Whether the rate limit allows a line about this change. Logs when it begins to suppress lines. */
    private boolean allows(EndpointChange change) {
        ServicePortName service = change.service();
        LineLimit.Decision decision = endpointLimit.next(service.serviceName());
        if (decision == LineLimit.Decision.LOG) {
            return true;
        }
        suppressed.add(service);
        if (decision == LineLimit.Decision.BEGIN_SUPPRESSING) {
            event(Level.INFO, service)
                    .log("further changes of endpoints of {} are not logged for a minute", service.serviceName());
        }
        return false;
    }

    /** Checks the failing service ports whose endpoints a new snapshot has changed. */
    void endpointsChanged(Collection<ServiceChange> changes) {
        if (failing.isEmpty() && withoutAnswer.isEmpty()) {
            return;
        }
        for (ServiceChange change : changes) {
            change.ports().forEach(port -> endpointsChanged(port, change.time()));
        }
    }

    private void endpointsChanged(PortChange change, Instant time) {
        ServicePort known = change.before();
        if (known == null || !(failing.containsKey(known.name()) || withoutAnswer.contains(known.name()))) {
            return;
        }
        if (change.after() == null) {
            failing.remove(known.name());
            withoutAnswer.remove(known.name());
            suppressed.remove(known.name());
            return;
        }
        Map<Endpoint, Instant> ofService = failing.getOrDefault(known.name(), new HashMap<>());
        ofService.keySet().retainAll(ServiceChange.endpoints(change.after()));
        if (ofService.isEmpty()) {
            failing.remove(known.name());
        }
        checkService(known.name(), time);
    }

    private void checkService(ServicePortName service, Instant time) {
        EndpointCounts now = counts.apply(service);
        if (now.allFailing()) {
            if (!withoutAnswer.contains(service)
                    && writeService(Level.WARN, service, time, "no endpoint answers (" + now + ")")) {
                withoutAnswer.add(service);
            }
        } else if (now.total() == 0) {
            // Logged as a change of the Service.
            withoutAnswer.remove(service);
        } else if (now.working() > 0 && withoutAnswer.contains(service)) {
            // A new endpoint is not failing, but may not answer either.
            if (writeService(Level.INFO, service, time, "an endpoint works again (" + now + ")")) {
                withoutAnswer.remove(service);
            }
        }
    }

    /** Returns false if the rate limit suppresses the line. */
    private boolean writeService(Level level, ServicePortName service, Instant time, String text) {
        if (serviceLimit.next(service.serviceName()) != LineLimit.Decision.LOG) {
            suppressed.add(service);
            return false;
        }
        boolean fails = level == Level.WARN;
        event(level, service).addKeyValue("reason", text).log("{}: {}", service, text);
        events.add(time, fails ? EventLog.Kind.FAILURE : EventLog.Kind.RECOVERY, service.toString(), null, text);
        report(service, null, fails, text);
        return true;
    }

    private LoggingEventBuilder event(Level level, ServicePortName service) {
        return log.atLevel(level).addKeyValue("service", service);
    }

    private void report(ServicePortName service, @Nullable Endpoint endpoint, boolean fails, String text) {
        String port = service.port().isEmpty() ? "" : "port " + service.port() + ": ";
        reports.accept(new EndpointReport(service, endpoint, fails, port + text));
    }

    private static String text(EndpointHealth health, ServicePortName service) {
        String text = switch (health.state()) {
            case SILENT -> "is silent";
            case EJECTED -> "is ejected" + ejectionTime(health);
            default -> service.protocol() == Protocol.TCP ? "is refusing connections" : "is refusing datagrams";
        };
        return health.lastError().isEmpty() ? text : text + ": " + health.lastError();
    }

    private static String ejectionTime(EndpointHealth health) {
        Instant until = health.ejectedUntil();
        return until == null ? "" : " for " + text(Duration.between(health.since(), until));
    }

    private static String text(Duration time) {
        if (time.toSeconds() < 1) {
            return Math.max(0, time.toMillis()) + " ms";
        }
        if (time.toMinutes() < 2) {
            return time.toSeconds() + " s";
        }
        return time.toHours() < 2 ? time.toMinutes() + " min" : time.toHours() + " h";
    }
}
