package io.sluice.handover;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import io.sluice.handover.Upgrade.State;
import io.sluice.thread.Supervisor;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.locks.ReentrantLock;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Starts scripts in the place of a new process. */
final class UpgradeTest {
    private static final Duration LONG = Duration.ofMinutes(1);

    @TempDir
    private Path directory;

    private final ReentrantLock changes = new ReentrantLock();
    private final AtomicBoolean serving = new AtomicBoolean(true);
    private Upgrade upgrade = new Upgrade(new Supervisor(), changes, serving::get, true, true);

    @AfterEach
    void close() {
        upgrade.close();
    }

    private void launcher(String script) throws IOException {
        Path file = Files.writeString(directory.resolve("launcher"), "#!/bin/sh\n" + script + "\n");
        Files.setPosixFilePermissions(file, PosixFilePermissions.fromString("rwxr-xr-x"));
        upgrade.setCommand(List.of(file.toString(), "run", "--feed=a b"));
    }

    private static boolean exists(long pid) {
        return Files.exists(Path.of("/proc/" + pid));
    }

    private void awaitFailure() {
        await().until(() -> upgrade.status().state() == State.FAILED);
    }

    @Test
    void reportsAProcessThatExitsBeforeTheHandoverAndStartsAnotherOne() throws Exception {
        launcher("exit 3");
        assertThat(upgrade.status()).isEqualTo(new Upgrade.Status(State.NONE, 0, ""));
        long pid = upgrade.start(LONG).pid();
        awaitFailure();
        assertThat(upgrade.status().reason())
                .isEqualTo("process " + pid + " exited with code 3 before the handover; its log gives the reason");
        assertThat(exists(pid)).as("no zombie").isFalse();
        launcher("kill -KILL $$");
        long second = upgrade.start(LONG).pid();
        awaitFailure();
        assertThat(upgrade.status().reason()).startsWith("process " + second + " was ended by signal 9 before");
    }

    @Test
    void passesArgumentsButNeitherDescriptorsNorStandardInput() throws Exception {
        Path seen = directory.resolve("seen");
        launcher("exec > '" + seen + "'; printf '<%s>' \"$@\"; readlink /proc/self/fd/0; ls /proc/$$/fd");
        upgrade.start(LONG);
        awaitFailure();
        // 10 or 255 is the script itself, as the shell reads it.
        assertThat(Files.readAllLines(seen))
                .startsWith("<run><--feed=a b>/dev/null", "0", "1")
                .allMatch(line -> line.startsWith("<")
                        || List.of("0", "1", "2", "10", "255").contains(line));
    }

    @Test
    void stopsAProcessThatTakesTooLong() throws Exception {
        launcher("trap '' TERM; while :; do sleep 0.1; done");
        long pid = upgrade.start(Duration.ofMillis(200)).pid();
        awaitFailure();
        assertThat(upgrade.status().reason()).endsWith(" did not take over within 0 s and was stopped");
        await().until(() -> !exists(pid));
        assertThat(changes.isLocked()).isFalse();
    }

    /** Stopping the new process at this moment would leave no process that serves. */
    @Test
    void doesNotStopAProcessDuringAHandover() throws Exception {
        launcher("exec sleep 60");
        long pid;
        changes.lock();
        try {
            pid = upgrade.start(Duration.ofMillis(1)).pid();
            await().until(changes::hasQueuedThreads);
            upgrade.handedOver();
        } finally {
            changes.unlock();
        }
        upgrade.close();
        assertThat(exists(pid)).isTrue();
        assertThat(ProcessHandle.of(pid).orElseThrow().destroyForcibly()).isTrue();
        assertThat(upgrade.status().state()).isNotEqualTo(State.FAILED);
    }

    @Test
    void stopsTheNewProcessWhenThisOneStops() throws Exception {
        launcher("exec sleep 60");
        long pid = upgrade.start(LONG).pid();
        upgrade.close();
        await().until(() -> !exists(pid));
        assertThat(upgrade.status().reason()).endsWith("was stopped, because this process is stopping");
        assertThatThrownBy(() -> upgrade.start(LONG)).hasMessageContaining("does not serve yet, or no longer");
    }

    @Test
    void rejectsASecondUpgradeAndOneWhileThisProcessDoesNotServe() throws Exception {
        assertThatThrownBy(() -> upgrade.start(LONG)).hasMessageContaining("was not started by bin/sluice");
        launcher("exec sleep 60");
        serving.set(false);
        assertThatThrownBy(() -> upgrade.start(LONG)).hasMessageContaining("does not serve yet, or no longer");
        serving.set(true);
        long pid = upgrade.start(LONG).pid();
        assertThatThrownBy(() -> upgrade.start(LONG))
                .hasMessage("an upgrade is in progress: process " + pid + " is starting");
    }

    @Test
    void rejectsAnUpgradeWithoutAHandoverSocketAndInAPod() throws Exception {
        upgrade = new Upgrade(new Supervisor(), changes, () -> true, false, true);
        launcher("exit");
        assertThatThrownBy(() -> upgrade.start(LONG)).hasMessageStartingWith("--handover-socket is not set");
        upgrade = new Upgrade(new Supervisor(), changes, () -> true, true, false);
        launcher("exit");
        assertThatThrownBy(() -> upgrade.start(LONG)).hasMessageContaining("update the DaemonSet");
    }

    @Test
    void reportsALauncherThatDoesNotExist() {
        upgrade.setCommand(List.of(directory.resolve("none").toString()));
        assertThatThrownBy(() -> upgrade.start(LONG)).hasMessageContaining("No such file or directory");
        assertThat(upgrade.status().state()).isEqualTo(State.NONE);
    }
}
