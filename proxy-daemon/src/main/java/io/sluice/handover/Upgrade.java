package io.sluice.handover;

import io.sluice.thread.Supervisor;
import io.sluice.thread.Worker;
import java.io.File;
import java.io.IOException;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.Lock;
import java.util.function.BooleanSupplier;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Starts the process that replaces this one, and watches it until it has taken over. The new process requests the
 * handover itself. If it exits before that, or takes too long, this process continues to serve.
 */
public final class Upgrade implements AutoCloseable {
    private static final Logger log = LoggerFactory.getLogger(Upgrade.class);

    /**
     * How long the new process may take to exit after SIGTERM. It cannot handle SIGTERM during a handover, so that a
     * longer wait would not help.
     */
    private static final Duration STOP_TIMEOUT = Duration.ofSeconds(2);

    /** Exit codes of a process that was ended by a signal start here. */
    private static final int SIGNALED = 128;

    /** Progress of the last upgrade. */
    public enum State {
        /** No upgrade was requested. */
        NONE,
        /** The new process has not taken over yet. */
        STARTING,
        /** The new process was started, but did not take over. */
        FAILED
    }

    /**
     * The last upgrade.
     *
     * @param pid process ID of the new process; 0 if there was none
     * @param reason why the upgrade failed; empty if it did not
     */
    public record Status(State state, long pid, String reason) {}

    private final Supervisor supervisor;
    private final Lock changes;
    private final BooleanSupplier serving;
    /** Why this process must not start another one; empty if it may. */
    private final String unavailable;

    private volatile List<String> command = List.of();

    // The following fields are guarded by this.
    private Status status = new Status(State.NONE, 0, "");
    private @Nullable Process process;
    private @Nullable Worker watcher;
    /** Why the new process is being stopped; empty while it is not. */
    private String stopReason = "";

    private boolean ended;

    /**
     * Creates the object without starting a process.
     *
     * @param changes lock that is held during a handover, so that the new process is not stopped in the middle of one
     * @param serving whether this process serves, and can thus hand over
     * @param handoverEnabled whether there is a handover socket
     * @param exitsAfterHandover false in a pod, whose container would end together with this process
     */
    public Upgrade(
            Supervisor supervisor,
            Lock changes,
            BooleanSupplier serving,
            boolean handoverEnabled,
            boolean exitsAfterHandover) {
        this.supervisor = supervisor;
        this.changes = changes;
        this.serving = serving;
        this.unavailable = unavailable(handoverEnabled, exitsAfterHandover);
    }

    private static String unavailable(boolean handoverEnabled, boolean exitsAfterHandover) {
        if (!handoverEnabled) {
            return "--handover-socket is not set, so a new process cannot take over; restart Sluice with this flag";
        }
        if (exitsAfterHandover && ProcessHandle.current().pid() != 1) {
            return "";
        }
        return "the container of this process would end with it, and with it the new process; update the DaemonSet or"
                + " the image instead";
    }

    /** Sets the command that starts a new process: the launcher and its arguments. */
    public void setCommand(List<String> command) {
        this.command = List.copyOf(command);
    }

    /**
     * Starts the new process.
     *
     * @param timeout how long it may take to take over
     * @throws IllegalStateException if an upgrade is not possible now; the message gives the reason in one line
     */
    public synchronized Status start(Duration timeout) {
        requireAvailable();
        try {
            // The new process has the same output, and thus the same log. Java closes all other descriptors in it.
            Process started = new ProcessBuilder(command)
                    .redirectInput(new File("/dev/null"))
                    .redirectOutput(ProcessBuilder.Redirect.INHERIT)
                    .redirectError(ProcessBuilder.Redirect.INHERIT)
                    .start();
            process = started;
            stopReason = "";
            status = new Status(State.STARTING, started.pid(), "");
            log.info(
                    "upgrade: started process {} with '{}'; waiting up to {} s until it takes over",
                    started.pid(),
                    command.get(0),
                    timeout.toSeconds());
            watcher = supervisor.once("sluice-upgrade", () -> watch(started, timeout));
            return status;
        } catch (IOException e) {
            // The message of the exception repeats the command; that of its cause is only the error.
            Throwable error = e.getCause() == null ? e : e.getCause();
            String reason = "cannot start '" + command.get(0) + "': " + error.getMessage();
            log.warn("upgrade failed: {}", reason);
            throw new IllegalStateException(reason, e);
        }
    }

    private void requireAvailable() {
        if (!unavailable.isEmpty()) {
            throw new IllegalStateException(unavailable);
        }
        if (command.isEmpty()) {
            throw new IllegalStateException(
                    "this process was not started by bin/sluice, so it cannot start another one in the same way");
        }
        if (process != null) {
            throw new IllegalStateException("an upgrade is in progress: process " + status.pid() + " is starting");
        }
        if (ended || !serving.getAsBoolean()) {
            throw new IllegalStateException("this process does not serve yet, or no longer; try again");
        }
    }

    /** Returns the state of the last upgrade. */
    public synchronized Status status() {
        return status;
    }

    /** Returns the process ID of the new process; 0 if there is none that has been started and has not taken over. */
    public synchronized long newPid() {
        return process == null ? 0 : process.pid();
    }

    private void watch(Process started, Duration timeout) throws InterruptedException {
        if (started.waitFor(timeout.toMillis(), TimeUnit.MILLISECONDS)) {
            int code = started.exitValue();
            String exited = code > SIGNALED ? "was ended by signal " + (code - SIGNALED) : "exited with code " + code;
            failed(started, exited + " before the handover; its log gives the reason");
        } else {
            stop(started, "did not take over within " + timeout.toSeconds() + " s and was stopped");
        }
    }

    /** Stops the new process, unless it has taken over. */
    private void stop(Process started, String reason) throws InterruptedException {
        changes.lock();
        try {
            if (!requestStop(started, reason)) {
                return;
            }
            started.destroy();
            if (!started.waitFor(STOP_TIMEOUT.toMillis(), TimeUnit.MILLISECONDS)) {
                started.destroyForcibly();
                started.waitFor(STOP_TIMEOUT.toMillis(), TimeUnit.MILLISECONDS);
            }
        } finally {
            changes.unlock();
        }
        failed(started, reason);
    }

    private synchronized boolean requestStop(Process started, String reason) {
        stopReason = reason;
        return started.equals(process);
    }

    private synchronized void failed(Process started, String reason) {
        if (started.equals(process)) {
            process = null;
            // A process that is being stopped exits because of that.
            String cause = stopReason.isEmpty() ? reason : stopReason;
            status = new Status(State.FAILED, started.pid(), "process " + started.pid() + " " + cause);
            log.warn("upgrade failed: {}{}", status.reason(), ended ? "" : "; continuing to serve");
        }
    }

    /** Leaves the new process alone, because it serves. Must be called with the lock held that a handover holds. */
    public synchronized void handedOver() {
        ended = true;
        process = null;
        if (watcher != null) {
            watcher.close();
        }
    }

    /** Stops a new process that has not taken over: it would serve although this process was stopped. */
    @Override
    public void close() {
        Process starting;
        synchronized (this) {
            ended = true;
            starting = process;
        }
        try {
            if (starting != null) {
                stop(starting, "was stopped, because this process is stopping");
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        } finally {
            handedOver();
        }
    }
}
