package io.sluice.daemon;

import io.sluice.daemon.Lifecycle.Phase;
import io.sluice.socket.UnixDatagram;
import java.io.IOException;
import java.util.function.LongSupplier;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Reports changes of the phase to the service manager, which is usually systemd, as sd_notify(3) describes. Does nothing
 * without the environment variable {@code NOTIFY_SOCKET}.
 *
 * <p>In an upgrade, the new process reports itself as the main process once it serves. The old process reports it, too,
 * before it exits: otherwise, the service manager could notice the exit first and would stop the service.
 */
final class ServiceManager {
    private static final Logger log = LoggerFactory.getLogger(ServiceManager.class);

    private final @Nullable String socket;
    private final LongSupplier newPid;
    private boolean failed;

    /** Creates the object for the socket in the environment of this process. */
    static ServiceManager ofEnvironment(LongSupplier newPid) {
        return new ServiceManager(System.getenv("NOTIFY_SOCKET"), newPid);
    }

    /**
     * Creates the object without sending anything.
     *
     * @param socket address from {@code NOTIFY_SOCKET}: a path, or {@code @} and the name of an abstract socket; null to
     *     send nothing
     * @param newPid process ID of the new process that this process has started; 0 if there is none
     */
    ServiceManager(@Nullable String socket, LongSupplier newPid) {
        this.socket = socket;
        this.newPid = newPid;
    }

    /** Reports a change of the phase; must not be called concurrently. */
    void phaseChanged(Phase before, Phase after) {
        switch (after) {
            case SERVING -> send("READY=1\nMAINPID=" + ProcessHandle.current().pid() + "\nSTATUS=serving");
            case HANDED_OVER -> {
                long pid = newPid.getAsLong();
                if (pid != 0) {
                    send("MAINPID=" + pid);
                }
            }
            case DRAINING -> {
                // A process that serves no longer or not yet is not the main process, and the service does not stop.
                if (before == Phase.STARTING || before == Phase.SERVING) {
                    send("STOPPING=1\nSTATUS=draining open connections");
                }
            }
            case WAITING, STARTING, HANDOVER_FAILED, CLOSED -> {}
        }
    }

    private void send(String message) {
        if (socket == null || socket.isEmpty()) {
            return;
        }
        try {
            UnixDatagram.send(socket, message);
        } catch (IOException e) {
            if (!failed) {
                log.warn(
                        "cannot report the state to the service manager at '{}' (NOTIFY_SOCKET): {}; it may stop this"
                                + " process",
                        socket,
                        e.getMessage());
            }
            failed = true;
        }
    }
}
