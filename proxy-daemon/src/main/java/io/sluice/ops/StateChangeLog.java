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
 * Turns changes of state into log lines: none for what stayed as it was, one for each of a few, and one in all for many.
 *
 * <p>Those who report may be event loops, so they only leave a note here; a thread of its own writes.
 */
public final class StateChangeLog implements AutoCloseable {
    private static final Logger log = LoggerFactory.getLogger("io.sluice.State");

    /** So many lines at a time, then a summary. */
    private static final int LINES = 10;

    private final Object lock = new Object();
    private final long delayMillis;
    private @Nullable Worker writer;

    /** What was noted since the last write; of several notes about one frontend the last counts. */
    private Map<FrontendAddress, FrontendStatus> frontends = new LinkedHashMap<>();

    private Map<Problem, Boolean> problems = new LinkedHashMap<>();

    /**
     * Why each failed frontend failed, as last written; so that a retry which fails alike is not told again. Guarded by
     * itself.
     */
    private final Map<FrontendAddress, String> failed = new HashMap<>();

    /** @param delay how long to wait for more of the same before writing */
    public StateChangeLog(Duration delay) {
        delayMillis = delay.toMillis();
    }

    public void frontend(FrontendStatus status) {
        if (status.state() == State.PENDING) {
            return;
        }
        synchronized (lock) {
            frontends.put(status.address(), status);
            lock.notifyAll();
        }
    }

    public void problem(Problem problem, boolean appeared) {
        synchronized (lock) {
            // Appeared and gone again before anybody was told: nothing to tell.
            if (!problems.remove(problem, !appeared)) {
                problems.put(problem, appeared);
            }
            lock.notifyAll();
        }
    }

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
            if (++lines > LINES) {
                log.warn("and {} more problems appeared or went; 'sluice check' lists them", changed.size() - LINES);
                return;
            }
            Problem problem = entry.getKey();
            if (!entry.getValue()) {
                log.info("solved: {}", problem);
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
        List<FrontendStatus> broken = new ArrayList<>();
        for (FrontendStatus status : changed) {
            if (status.state() != State.FAILED) {
                failed.remove(status.address());
                (status.state() == State.GONE ? gone : active).add(status);
            } else if (!reason(status).equals(failed.put(status.address(), reason(status)))) {
                broken.add(status);
            }
        }
        tell(active, "active");
        tell(gone, "gone");
        for (FrontendStatus status : broken.subList(0, Math.min(broken.size(), LINES))) {
            log.warn("frontend {} failed ({}): {}", status.address(), status.service(), reason(status));
        }
        if (broken.size() > LINES) {
            log.warn("and {} more frontends failed; /debug/frontends lists them", broken.size() - LINES);
        }
    }

    private static void tell(List<FrontendStatus> changed, String state) {
        if (changed.size() > LINES) {
            log.info("{} frontends {}", changed.size(), state);
            return;
        }
        for (FrontendStatus status : changed) {
            String detail = status.reason().isEmpty() ? "" : ": " + status.reason();
            log.info("frontend {} {} ({}){}", status.address(), state, status.service(), detail);
        }
    }

    /** Why a frontend failed, and what would help where that is known. */
    public static String reason(FrontendStatus status) {
        if (status.failure() != Failure.ADDRESS_NOT_LOCAL) {
            return status.reason();
        }
        IpAddress address = status.address().address();
        if (address.family() == Family.IPV6) {
            // There is no IPv6 range that is local without being told so, as 127.0.0.0/8 is.
            return address + " is not an address of this machine; add it to an interface, or listen elsewhere with"
                    + " --map-frontends";
        }
        Cidr range = new Cidr(address, 12);
        IpAddress loopback = IpAddress.v4((int) ((127L << 24) | (range.network().low() & 0xffffffL)));
        return address + " is not an address of this machine; to listen on the same ports under 127.0.0.0/8, add"
                + " --map-frontends " + range + "=" + new Cidr(loopback, 12);
    }

    /** Writes what is noted, and ends. */
    @Override
    public void close() {
        if (writer != null) {
            writer.close();
        }
        write();
    }
}
