package io.sluice.daemon;

import io.sluice.apiserver.EventRecorder;
import io.sluice.apiserver.EventRecorder.Reason;
import io.sluice.document.Problem;
import io.sluice.forward.EndedConnection;
import io.sluice.forward.ForwarderCallbacks;
import io.sluice.forward.FrontendStatus;
import io.sluice.model.Endpoint;
import io.sluice.model.ServicePortName;
import io.sluice.model.ServiceSnapshot;
import io.sluice.ops.ChangeLog;
import io.sluice.ops.EndpointCounts;
import io.sluice.ops.EndpointReport;
import io.sluice.ops.EventLog;
import io.sluice.ops.RejectionLog;
import io.sluice.ops.StateChangeLog;
import io.sluice.stats.Stats;
import io.sluice.thread.Supervisor;
import java.time.Clock;
import java.time.Duration;
import java.util.function.Consumer;
import java.util.function.Function;
import org.jspecify.annotations.Nullable;

/**
 * Reports changes of Services, frontends and endpoints, and problems: to the log, to the event log of the admin API,
 * and as Kubernetes Events. The methods never block for long.
 */
final class ChangeReporter implements AutoCloseable {
    private static final Duration DELAY = Duration.ofMillis(200);

    private final EventLog eventLog = new EventLog();
    private final StateChangeLog stateLog;
    private final ChangeLog changeLog;
    private volatile @Nullable EventRecorder recorder;

    /** @param endpoints returns the number of endpoints of a service port and of those that are failing */
    ChangeReporter(Function<ServicePortName, EndpointCounts> endpoints) {
        stateLog = new StateChangeLog(DELAY, eventLog, endpoints, this::report, System::nanoTime);
        changeLog = new ChangeLog(stateLog, Clock.systemUTC());
    }

    /** Also creates Kubernetes Events from now on. */
    void recordEvents(EventRecorder events) {
        recorder = events;
    }

    /** The events for the admin API. */
    EventLog eventLog() {
        return eventLog;
    }

    /**
     * Callbacks that report what the forwarder observes, and pass finished connections on.
     *
     * @param onService called with each service port whose frontends or endpoints in use may have changed
     */
    ForwarderCallbacks callbacks(@Nullable Consumer<EndedConnection> onEnd, Consumer<ServicePortName> onService) {
        return new ForwarderCallbacks(this::frontend, stateLog::endpoint, this::putBack, name -> {}, onEnd)
                .withServiceChanges(onService);
    }

    void start(Supervisor supervisor, Stats stats) {
        stateLog.start(supervisor, new RejectionLog(stats, eventLog, System::nanoTime));
    }

    /** Reports that a snapshot was applied. Called on the control thread. */
    void applied(ServiceSnapshot snapshot) {
        changeLog.applied(snapshot);
    }

    /** Reports the new status of a frontend. Called on any thread, including event loops. */
    private void frontend(FrontendStatus status) {
        stateLog.frontend(status);
        EventRecorder events = recorder;
        // In bind mode most addresses are not local, which is expected and does not justify an Event.
        if (events != null
                && status.state() == FrontendStatus.State.FAILED
                && status.failure() != FrontendStatus.Failure.ADDRESS_NOT_LOCAL) {
            events.failed(status.service(), status.address() + ": " + status.reason());
        }
    }

    /** Reports that an endpoint is used again because the time set by an operator has passed. */
    private void putBack(String service, Endpoint endpoint) {
        eventLog.operatorChange(service, endpoint, "enabled, because the time set by an operator has passed");
    }

    /** Reports that a problem has appeared or was resolved. */
    void problem(Problem problem, boolean appeared) {
        stateLog.problem(problem, appeared);
        EventRecorder events = recorder;
        if (events != null && appeared) {
            events.problem(problem);
        }
    }

    private void report(EndpointReport report) {
        EventRecorder events = recorder;
        if (events == null) {
            return;
        }
        Reason reason = report.endpoint() == null
                ? report.failing() ? Reason.NO_ENDPOINT_ANSWERS : Reason.SERVICE_RECOVERED
                : report.failing() ? Reason.ENDPOINT_FAILING : Reason.ENDPOINT_RECOVERED;
        events.service(report.service(), reason, report.message());
    }

    @Override
    public void close() {
        stateLog.close();
    }
}
