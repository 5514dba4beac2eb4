package io.sluice.ops;

import io.sluice.document.Problem;
import io.sluice.forward.FrontendStatus;
import io.sluice.forward.FrontendStatus.Failure;
import io.sluice.forward.FrontendStatus.State;
import io.sluice.model.Cidr;
import io.sluice.model.Family;
import io.sluice.model.FrontendAddress;
import io.sluice.model.IpAddress;
import io.sluice.thread.Supervisor;
import io.sluice.thread.Worker;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Logs changes in the state of frontends and in the problems of the feed. Up to ten changes of a kind are logged one
 * per line; further changes are summarized.
 *
 * <p>Changes are also reported on event loops, which must not block; a separate thread therefore writes the log.
 */
public final class StateChangeLog implements AutoCloseable {
    private static final Logger log = LoggerFactory.getLogger("io.sluice.State");

    /** Maximum number of lines for one kind of change in a write; further changes are summarized. */
    private static final int MAX_LINES = 10;

    private final Object lock = new Object();
    private final long delayMillis;
    private @Nullable Worker writer;

    /** Latest status of each frontend that has changed since the last write. */
    private Map<FrontendAddress, FrontendStatus> frontends = new LinkedHashMap<>();

    private Map<Problem, Boolean> problems = new LinkedHashMap<>();

    /**
     * Last logged reason for each failed frontend, so that a retry that fails in the same way is not logged again.
     * Guarded by itself.
     */
    private final Map<FrontendAddress, String> failed = new HashMap<>();

    /**
     * Creates a log that writes nothing until {@link #start} is called.
     *
     * @param delay time to wait for further changes before writing
     */
    public StateChangeLog(Duration delay) {
        delayMillis = delay.toMillis();
    }

    /** Records the new status of a frontend. May be called on any thread; never blocks for long. */
    public void frontend(FrontendStatus status) {
        if (status.state() == State.PENDING) {
            return;
        }
        synchronized (lock) {
            frontends.put(status.address(), status);
            lock.notifyAll();
        }
    }

    /** Records that a problem has appeared or was resolved. May be called on any thread. */
    public void problem(Problem problem, boolean appeared) {
        synchronized (lock) {
            // A problem that appeared and was resolved since the last write is not logged.
            if (!problems.remove(problem, !appeared)) {
                problems.put(problem, appeared);
            }
            lock.notifyAll();
        }
    }

    /** Starts the thread that writes the log. */
    public void start(Supervisor supervisor) {
        writer = supervisor.loop("sluice-state-log", this::run);
    }

    private void run() throws InterruptedException {
        while (true) {
            synchronized (lock) {
                while (frontends.isEmpty() && problems.isEmpty()) {
                    lock.wait();
                }
            }
            TimeUnit.MILLISECONDS.sleep(delayMillis);
            write();
        }
    }

    private void write() {
        Map<FrontendAddress, FrontendStatus> changedFrontends;
        Map<Problem, Boolean> changedProblems;
        synchronized (lock) {
            changedFrontends = frontends;
            changedProblems = problems;
            frontends = new LinkedHashMap<>();
            problems = new LinkedHashMap<>();
        }
        synchronized (failed) {
            writeProblems(changedProblems);
            writeFrontends(new ArrayList<>(changedFrontends.values()));
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

    private void writeFrontends(List<FrontendStatus> changed) {
        List<FrontendStatus> active = new ArrayList<>();
        List<FrontendStatus> gone = new ArrayList<>();
        List<FrontendStatus> newlyFailed = new ArrayList<>();
        for (FrontendStatus status : changed) {
            if (status.state() != State.FAILED) {
                failed.remove(status.address());
                (status.state() == State.GONE ? gone : active).add(status);
            } else if (!reason(status).equals(failed.put(status.address(), reason(status)))) {
                newlyFailed.add(status);
            }
        }
        logChanges(active, "active");
        logChanges(gone, "removed");
        for (FrontendStatus status : newlyFailed.subList(0, Math.min(newlyFailed.size(), MAX_LINES))) {
            log.warn("frontend {} failed ({}): {}", status.address(), status.service(), reason(status));
        }
        if (newlyFailed.size() > MAX_LINES) {
            log.warn("{} more frontends failed; /debug/frontends lists them", newlyFailed.size() - MAX_LINES);
        }
    }

    private static void logChanges(List<FrontendStatus> changed, String state) {
        if (changed.size() > MAX_LINES) {
            log.info("{} frontends {}", changed.size(), state);
            return;
        }
        for (FrontendStatus status : changed) {
            String detail = status.reason().isEmpty() ? "" : ": " + status.reason();
            log.info("frontend {} {} ({}){}", status.address(), state, status.service(), detail);
        }
    }

    /** Returns the reason why a frontend failed, with a remedy if the address is not local. */
    public static String reason(FrontendStatus status) {
        if (status.failure() != Failure.ADDRESS_NOT_LOCAL) {
            return status.reason();
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
