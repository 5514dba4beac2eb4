package io.sluice.cli;

import io.sluice.text.Table;
import java.time.Duration;
import java.util.Locale;
import java.util.concurrent.TimeUnit;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/** {@code sluice upgrade}: replaces the process of a running daemon, which hands over to a new one. */
@Command(
        name = "upgrade",
        description = "Replaces the process of a running Sluice without downtime: it starts its launcher again with the"
                + " same arguments, environment and log, and hands over to the new process. To change the version,"
                + " first replace the distribution, or the symbolic link through which it was started.",
        abbreviateSynopsis = true,
        optionListHeading = "%nOptions:%n",
        footerHeading = "%nExamples:%n",
        footer = {
            "  ln -sfn /opt/sluice-0.2.0 /opt/sluice && sluice upgrade",
            "  sluice upgrade --timeout 30s",
            "",
            "Needs the Unix socket of the daemon, which must run with --handover-socket. In a pod, update the DaemonSet"
                    + " instead.",
            "Exit codes: 0 the new process serves, 1 the upgrade failed and the old process continues to serve, or"
                    + " Sluice cannot be reached, 2 invalid command line."
        })
final class UpgradeCommand extends AdminCommand {
    private static final String DURATION = "[1-9]\\d{0,5}[smh]";

    private static final long POLL_MILLIS = 100;
    /** Additional time for the daemon to stop a new process that takes too long, and to report that. */
    private static final Duration GRACE = Duration.ofSeconds(10);

    private static final AdminRequest STATUS = AdminRequest.of("status");
    private static final AdminRequest UPGRADE = AdminRequest.of("upgrade");

    @Option(
            names = "--timeout",
            paramLabel = "TIME",
            defaultValue = "5m",
            description = "How long the new process may take to take over before it is stopped, from 1s to 1h. The"
                    + " command also waits so long for the exit of the old process. Default: 5m.")
    private String timeout = "5m";

    @Override
    void validate() {
        if (!timeout.matches(DURATION) || timeout().compareTo(Duration.ofHours(1)) > 0) {
            throw usage("--timeout: '" + timeout + "' is invalid; must be a duration from 1s to 1h, such as 90s or 5m");
        }
    }

    private Duration timeout() {
        return Duration.parse("PT" + timeout.toUpperCase(Locale.ROOT));
    }

    @Override
    AdminClient client(AdminOptions options) {
        return options.writer(spec());
    }

    @Override
    int run(AdminClient client) throws CommandFailedException, InterruptedException {
        long startNanos = System.nanoTime();
        long oldPid = client.get(STATUS).number("pid");
        // Absent if the daemon is in another PID namespace; its exit cannot be observed then.
        ProcessHandle oldProcess = ProcessHandle.of(oldPid).orElse(null);
        long newPid = client.send("POST", UPGRADE.with("timeout", timeout)).number("pid");
        print("started process " + newPid);
        Item status = awaitHandover(
                client, oldPid, newPid, startNanos + timeout().plus(GRACE).toNanos());
        print("process " + newPid + " (" + status.text("version") + ") serves" + received(status, oldPid));
        if (oldProcess == null) {
            return 0;
        }
        while (oldProcess.isAlive()) {
            if (System.nanoTime() - startNanos > timeout().toNanos()) {
                print("process " + oldPid + " still has open connections; it exits when they end or its drain timeout"
                        + " expires");
                return 0;
            }
            Thread.sleep(POLL_MILLIS);
        }
        print("process " + oldPid + " exited " + seconds(nanosToMillis(System.nanoTime() - startNanos))
                + " after the start of the upgrade");
        return 0;
    }

    private void print(String line) {
        out().println(line);
        out().flush();
    }

    /**
     * Returns the status of the new process once it serves and has received the open connections. Between the two
     * processes, requests may fail.
     */
    private Item awaitHandover(AdminClient client, long oldPid, long newPid, long deadlineNanos)
            throws CommandFailedException, InterruptedException {
        Item ofNewProcess = null;
        while (System.nanoTime() - deadlineNanos < 0) {
            try {
                Item status = client.get(STATUS);
                long pid = status.number("pid");
                if (pid == newPid) {
                    ofNewProcess = status;
                    if (isComplete(status)) {
                        return status;
                    }
                } else if (pid != oldPid) {
                    throw CommandFailedException.of("upgrade failed: process " + pid + ", which was started by another"
                            + " command, serves instead of process " + newPid);
                } else {
                    requireStarting(client.get(UPGRADE), oldPid);
                }
            } catch (CommandFailedException e) {
                if (!e.isTemporary()) {
                    throw e;
                }
            }
            Thread.sleep(POLL_MILLIS);
        }
        if (ofNewProcess != null) {
            return ofNewProcess;
        }
        throw CommandFailedException.of(
                "no response from process " + newPid + " within " + timeout + "; the log of Sluice gives the reason");
    }

    private static boolean isComplete(Item status) {
        return status.json().path("handover").path("complete").asBoolean(true);
    }

    private static void requireStarting(Item upgrade, long oldPid) throws CommandFailedException {
        if (upgrade.text("state").equals("failed")) {
            throw CommandFailedException.of(
                    "upgrade failed: " + upgrade.text("reason") + "; process " + oldPid + " continues to serve");
        }
    }

    private static String received(Item status, long oldPid) {
        if (!status.json().has("handover")) {
            // An older version, which does not report it.
            return "";
        }
        Item handover = status.object("handover");
        if (handover.text("receivedAt").isEmpty()) {
            return " without the sockets and state of process " + oldPid + " (cold start)";
        }
        long left = handover.number("connectionsLeft");
        return ": received " + StatusReport.received(handover) + " in " + seconds(handover.number("durationMillis"))
                + (left == 0 ? "" : "; " + Table.count(left, "connection") + " left in process " + oldPid);
    }

    private static long nanosToMillis(long nanos) {
        return TimeUnit.NANOSECONDS.toMillis(nanos);
    }

    private static String seconds(long millis) {
        return String.format(Locale.ROOT, "%.1f s", millis / 1e3);
    }
}
